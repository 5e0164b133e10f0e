"""The checks of AR models beside the planted faults: what passes, what is tried with what, what is not tried."""

import math
from dataclasses import replace

import pytest
import torch
from kit import Kit
from scipy import stats

from tokzoo.contracts.specs import CodeSpec
from tokzoo.testing import ar_trials, likelihoods
from tokzoo.testing.codes import assert_codes, sizes_of
from tokzoo.testing.subject import CannotBuild

KIT = Kit("ar")


SMALL = {"size": None, "layers": 2, "heads": 2, "width": 32, "ffn_multiple": 32}
KINDS = {
    "learned": {},
    "grid": {"positions": "rotary-2d", "adaln": "shared", "drop_path": 0.1},
    "sequence": {"positions": "rotary", "adaln": "full", "qk_norm": True},
}


@pytest.mark.parametrize("check", KIT.checks)
@pytest.mark.parametrize("kind", KINDS)
def test_gpt_passes(kind, check):
    KIT.run(check, KIT.subject("gpt", **SMALL, **KINDS[kind]))


def test_every_sequence_has_its_number():
    for codes in ar_trials.COUNTABLE:
        sequences = likelihoods.sequences_of(codes)
        assert len(sequences) == math.prod(sizes_of(codes))
        assert sequences.shape[1:] == codes.batch_shape(1)[1:]
        assert_codes(sequences, codes, len(sequences), "sequences")
        assert likelihoods.numbers_of(sequences, codes).tolist() == list(range(len(sequences)))


def test_the_chance_is_that_of_the_chi_square_test():
    torch.manual_seed(0)
    probabilities = torch.rand(20).double().softmax(0)
    drawn = probabilities.multinomial(2000, replacement=True)
    expected = probabilities * 2000
    wanted = stats.chisquare(torch.bincount(drawn, minlength=20), expected).pvalue
    assert likelihoods.chance_of(drawn, probabilities) == pytest.approx(wanted)


def test_rare_sequences_are_counted_together():
    probabilities = torch.tensor([0.999, 0.0005, 0.0005]).double()
    drawn = torch.tensor([0] * 999 + [2])
    # Of a thousand, one is expected in the two rare cells together: a single cell of 1, and one of 999.
    assert likelihoods.chance_of(drawn, probabilities) == pytest.approx(1.0)
    assert likelihoods.chance_of(torch.tensor([0] * 900 + [2] * 100), probabilities) < 1e-9


def test_a_sampler_is_asked_to_change_nothing():
    plain = ar_trials.sampler_of(KIT.subject("gpt", **SMALL))
    assert plain == type(plain)()
    assert ar_trials.sampler_of(KIT.subject("faulty/good-cold")).temperature == 1.0


def test_likelihoods_of_no_countable_codes_are_not_asked():
    only = KIT.subject("faulty/good-ar", smallest=100)
    with pytest.raises(CannotBuild, match="whose every sequence can be asked about: learns 100 codes or more"):
        KIT.run("likelihoods_add_up_to_one", replace(only, codes=CodeSpec((2, 2), (128,))))
    KIT.run("samples_are_their_own", replace(only, codes=CodeSpec((2, 2), (128,))))
