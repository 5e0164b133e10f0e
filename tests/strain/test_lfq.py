import pytest
import torch
from PIL import Image

import tokzoo
from tokzoo.assembly.codes_file import CodesFile, Maker, decode_to_folder, encode_pictures
from tokzoo.evaluation.metrics import reconstruction

GPT = {"use": "gpt", "size": None, "layers": 1, "heads": 1, "width": 8, "ffn_multiple": 8}


def test_eighteen_bits_in_two_factors(lab):
    lab = lab("lfq")
    quantizer = {"use": "strain/lfq", "bits": 18, "groups": [6, 12]}
    tokenizer = lab.tokenizer(quantizer=quantizer, regularizers={"entropy": "entropy"})
    factors = tokenizer.quantizer.assignment(tokenizer.encoder(lab.images).latent)
    assert [len(factor.codes) for factor in factors] == [2**6, 2**12]
    assert tokenizer.chain.codes.vocab == (2**18,)
    assert lab.events[-1].keys() >= {"entropy.sample", "entropy.codebook"}
    lab.check_probe(tokenizer, GPT)


def test_the_entropy_of_a_latent_is_the_sum_over_its_bits(lab):
    lab = lab("lfq")
    found = []
    for groups in ([6], [2, 4], None):
        quantizer = {"use": "strain/lfq", "bits": 6, "groups": groups}
        lab.tokenizer(steps=1, quantizer=quantizer, regularizers={"entropy": "entropy"})
        found.append(lab.events[-1]["entropy.sample"])
    assert found[1:] == pytest.approx([found[0]] * 2, rel=1e-4)


def test_more_codes_than_any_table_holds(lab):
    lab = lab("lfq")
    tokenizer = lab.tokenizer(quantizer={"use": "strain/lfq", "bits": 36}, regularizers={"entropy": "entropy"})
    codes = tokenizer.encode(lab.images)
    assert codes.max() >= 2**32
    assert len(tokenizer.quantizer.assignment(tokenizer.encoder(lab.images).latent)) == 36
    assert lab.codes(tokenizer).codes.dtype == torch.int64
    assert lab.codes(tokenizer).codes[0].equal(codes)
    with pytest.raises(tokzoo.Refusal, match=r"quantizer → ar: ar 'gpt' has a row .* for each of 68,719,476,736 codes"):
        lab.check_probe(tokenizer, GPT)


def test_its_codes_are_stored_and_read_back(lab, tmp_path):
    lab = lab("lfq")
    tokenizer = lab.tokenizer(quantizer={"use": "strain/lfq", "bits": 36})
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path in paths:
        Image.effect_noise((16, 16), 90).convert("RGB").save(path)
    codes = encode_pictures(tokenizer, paths, 1)
    maker = Maker.of(tokenizer, lab.folder / "tokenizer")
    CodesFile(codes, tuple(path.name for path in paths), maker).save(tmp_path / "codes.safetensors")
    read = CodesFile.load(tmp_path / "codes.safetensors")
    assert read.codes.equal(codes)
    decode_to_folder(tokenizer, read, tmp_path / "decoded", 2)
    assert sorted(path.name for path in (tmp_path / "decoded").iterdir()) == ["0.png", "1.png"]


@pytest.mark.parametrize("bits", [6, 36])
def test_its_usage_is_measured_however_many_codes_there_are(lab, bits):
    lab = lab("lfq")
    tokenizer = lab.tokenizer(quantizer={"use": "strain/lfq", "bits": bits})
    found = reconstruction(tokenizer, lab.split, [lab.slot("metric", "codebook")], 0, 5, torch.device("cpu"))
    assert found["codes.usage"] * 2**bits == pytest.approx(len(tokenizer.encode(lab.images).unique()))


def test_it_keeps_to_the_kit(lab):
    lab = lab("lfq")
    assert not lab.conformance("quantizer", "strain/lfq")
    assert not lab.conformance("quantizer", "strain/lfq", {"bits": 36})
