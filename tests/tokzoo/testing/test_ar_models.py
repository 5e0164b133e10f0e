"""The checks of AR models: each planted fault fails the one meant for it, and good AR models pass all."""

import math
import re
from dataclasses import replace

import pytest
import torch
from scipy import stats

from tests.conftest import ROOT
from tokzoo.contracts.specs import CodeSpec
from tokzoo.registry.plugins import load_registry
from tokzoo.testing import ar_trials, likelihoods
from tokzoo.testing.conformance import checks_for, run_check
from tokzoo.testing.subject import CannotBuild, Subject

FILE = ROOT / "tests" / "data" / "plugins" / "faulty_judges.py"
REGISTRY = load_registry([FILE])
CHECKS = {check.__name__: check for check in checks_for("ar")}

FAULTS = {
    "faulty/sees-the-future": ("likelihoods_add_up_to_one", "the probabilities of all 81 sequences add up to 1.0"),
    "faulty/sees-itself": ("likelihoods_add_up_to_one", "the probabilities of all 81 sequences add up to 0.7"),
    "faulty/not-normalised": ("likelihoods_add_up_to_one", "not 1 (learning 2×2 codes of 3 with 5 classes)"),
    "faulty/sums-over-tokens": ("likelihoods_add_up_to_one", "the probabilities of all 81 sequences add up to 0.1"),
    "faulty/forgets-its-cache": (
        "samples_follow_the_likelihood",
        "4096 samples do not follow the model's own likelihood",
    ),
    "faulty/decodes-one-place-late": ("samples_follow_the_likelihood", "decoding step by step is another model"),
    "faulty/cold-samples": ("samples_follow_the_likelihood", "or the sampler's defaults change it"),
    "faulty/one-code-too-many": ("sampled_codes_are_in_range", "sampled codes from 1 to 32 in a vocabulary of 32"),
    "faulty/small-integers": (
        "sampled_codes_are_in_range",
        "samples are torch.int32 (16, 16), promised torch.int64 (16, 16)",
    ),
    "faulty/one-sample-for-all-seeds": ("sampled_codes_are_in_range", "16 seeds give the same sample"),
    "faulty/seeds-of-the-batch": ("samples_are_their_own", "samples depend on the order of the batch"),
    "faulty/global-generator": ("sampling_leaves_everything_alone", "sampling draws from torch's global generator"),
    "faulty/stays-in-eval-mode": ("sampling_leaves_everything_alone", "sampling leaves another training mode behind"),
    "faulty/deaf-to-labels": ("labels_matter", "the label changes nothing"),
    "faulty/nats-of-the-batch": ("loss_is_a_scalar", "nats_per_token has the shape (), not (3,)"),
    "faulty/loss-of-each-image": ("loss_is_a_scalar", "the loss must be a scalar and has the shape (3,)"),
    "faulty/pooled-features": ("features_can_be_read", "features of layer 1 have the shape (3, 16), not [B, T, D]"),
    "faulty/no-depth": ("features_can_be_read", "depth is 0"),
    "faulty/idle-parameter": ("gradients_reach_its_parameters", "no gradient reaches idle.weight, idle.bias"),
    "faulty/normalises-the-batch": ("rows_are_independent", "depends on what else is in the batch: nats_per_token"),
    "faulty/refuses-all-codes": ("accepts_codes", "refuses 4×4 codes of 32, and codes of every layout: learns words"),
}
"""The check meant for each planted fault, and words of what it says."""


def subject(name, **fields):
    entry = REGISTRY.components.get("ar", name)
    return Subject.of(entry, REGISTRY.components, fields or None, files=(FILE,))


def test_every_planted_fault_is_listed():
    names = {entry.spec.name for entry in REGISTRY.components.of_kind("ar")}
    planted = {name for name in names if name.startswith("faulty/") and not name.startswith("faulty/good-")}
    assert planted == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_the_check_meant_for_it(name):
    check, words = FAULTS[name]
    with pytest.raises(AssertionError, match=re.escape(words)):
        run_check(CHECKS[check], subject(name))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ["ar", "cold"])
def test_good_ones_pass(name, check):
    run_check(CHECKS[check], subject(f"faulty/good-{name}"))


SMALL = {"size": None, "layers": 2, "heads": 2, "width": 32, "ffn_multiple": 32}
KINDS = {
    "learned": {},
    "grid": {"positions": "rotary-2d", "adaln": "shared", "drop_path": 0.1},
    "sequence": {"positions": "rotary", "adaln": "full", "qk_norm": True},
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("kind", KINDS)
def test_gpt_passes(kind, check):
    run_check(CHECKS[check], subject("gpt", **SMALL, **KINDS[kind]))


def test_every_sequence_has_its_number():
    for codes in ar_trials.COUNTABLE:
        sequences = likelihoods.sequences_of(codes)
        assert len(sequences) == math.prod(codes.vocab) ** codes.positions
        assert sequences.shape[1:] == codes.batch_shape(1)[1:]
        ar_trials.assert_in_range(sequences, codes, len(sequences))
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
    plain = ar_trials.sampler_of(subject("gpt", **SMALL))
    assert plain == type(plain)()
    assert ar_trials.sampler_of(subject("faulty/good-cold")).temperature == 1.0


def test_likelihoods_of_no_countable_codes_are_not_asked():
    only = subject("faulty/good-ar", smallest=100)
    with pytest.raises(CannotBuild, match="whose every sequence can be asked about: learns 100 codes or more"):
        run_check(CHECKS["likelihoods_add_up_to_one"], replace(only, codes=CodeSpec((2, 2), (128,))))
    run_check(CHECKS["samples_are_their_own"], replace(only, codes=CodeSpec((2, 2), (128,))))
