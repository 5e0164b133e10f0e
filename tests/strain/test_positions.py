import math

import pytest
import torch

import tokzoo
from tokzoo.evaluation.metrics import reconstruction

GPT = {"use": "gpt", "size": None, "layers": 1, "heads": 1, "width": 8, "ffn_multiple": 8}


def test_a_bigram_learns_codes_of_many_vocabularies(lab):
    lab = lab("positions")
    tokenizer = lab.tokenizer(quantizer="strain/tapered")
    codes = tokenizer.chain.codes
    assert (codes.vocab, codes.levels, codes.largest) == (tuple(range(17, 1, -1)), 1, 17)
    assert codes.bits_per_image == pytest.approx(math.log2(math.factorial(17)))
    learned = lab.ar(tokenizer, "strain/bigram")
    assert (learned.samples < torch.tensor(codes.vocab)).all()
    found = reconstruction(tokenizer, lab.split, [lab.slot("metric", "codebook")], 0, 5, torch.device("cpu"))
    used = [len(column.unique()) / size for column, size in zip(learned.codes.unbind(1), codes.vocab, strict=True)]
    assert found["codes.usage"] == pytest.approx(sum(used) / 16)


def test_codes_beyond_their_position_s_vocabulary_are_refused(lab):
    lab = lab("positions")
    tokenizer = lab.tokenizer(quantizer="strain/tapered")
    codes = torch.zeros(1, 16, dtype=torch.int64)
    codes[0, 15] = 2
    with pytest.raises(tokzoo.TokzooError, match="codes outside the vocabulary: 4×4 codes of 2 to 17, by position"):
        tokenizer.decode(codes)


def test_gpt_refuses_them(lab):
    lab = lab("positions")
    with pytest.raises(tokzoo.Refusal, match="has one vocabulary for all positions, and these codes have one for each"):
        lab.check_probe(lab.tokenizer(quantizer="strain/tapered"), GPT)


def test_they_keep_to_the_kit(lab):
    lab = lab("positions")
    assert not lab.conformance("quantizer", "strain/tapered")
    assert not lab.conformance("ar", "strain/bigram")
    by_position = tokzoo.CodeSpec((4,), (5, 4, 3, 2), vocab_by="position")
    assert not lab.conformance("ar", "strain/bigram", codes=by_position)
