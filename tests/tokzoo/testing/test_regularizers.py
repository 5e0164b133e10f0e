"""The checks of regularizers: each planted fault fails the one meant for it, and good regularizers pass all."""

import re

import pytest

from tests.conftest import ROOT
from tokzoo.contracts.specs import ImageSpec
from tokzoo.registry.plugins import load_registry
from tokzoo.testing import objectives
from tokzoo.testing.conformance import checks_for, run_check
from tokzoo.testing.subject import CannotBuild, Subject

FILE = ROOT / "tests" / "data" / "plugins" / "faulty_judges.py"
REGISTRY = load_registry([FILE])
CHECKS = {check.__name__: check for check in checks_for("regularizer")}

FAULTS = {
    "faulty/adds-up-its-terms": ("leaves_no_graph", "still holds tensors of the graph (() of MulBackward0)"),
    "faulty/keeps-its-term": ("leaves_no_graph", "still holds tensors of the graph (() of MeanBackward0)"),
    "faulty/term-of-each-image": ("terms_are_scalars", "loss '' must be a scalar and has the shape (3,)"),
    "faulty/not-finite": ("terms_are_scalars", "losses: '' is not finite"),
    "faulty/detached": ("terms_are_scalars", "loss '' is detached"),
    "faulty/number-for-a-tensor": ("terms_are_scalars", "term '' is a float, not a tensor"),
    "faulty/weighs-another-term": ("terms_are_scalars", "weight_of('') raised KeyError"),
    "faulty/pulls-itself-alone": ("terms_reach_the_tokenizer", "no gradient of term '' reaches the tokenizer"),
    "faulty/refuses-everything": ("accepts_a_tokenizer", "refuses the kit's tokenizer with a grid and with a sequence"),
    "faulty/refuses-late": (
        "accepts_a_tokenizer",
        "its config accepts what it then refuses (in a tokenizer whose latent is a sequence",
    ),
    "faulty/starts-at-fractions-alone": ("gate_is_in_steps_or_a_fraction", "takes no start: 10 with stop: 20"),
    "faulty/shortens-the-latent": (
        "transform_keeps_the_shape",
        "transform makes torch.float32 (3, 15, 4) of torch.float32 (3, 16, 4)",
    ),
    "faulty/detaches-the-latent": ("transform_keeps_the_shape", "transform detaches the latent"),
    "faulty/small-view": (
        "views_are_reconstructions",
        "view 'noisy': images (3, 3, 32, 32) with a target (3, 3, 16, 16)",
    ),
    "faulty/replaces-the-main-view": ("views_are_reconstructions", "a view of its own is called 'main'"),
    "faulty/likeness-for-a-distance": ("distance_grows_with_noise", "images are 0 from themselves and -0.2"),
    "faulty/idle-head": ("trained_parameters_get_gradients", "no gradient reaches head.weight, head.bias"),
    "faulty/writes-into-the-images": ("input_is_left_alone", "changes its input in place"),
    "faulty/counts-in-python": ("training_resumes_exactly", "training resumed from its parameters and buffers"),
    "faulty/own-randomness": ("training_is_seeded", "trained twice from one seed"),
    "faulty/overflows-in-bf16": ("autocast_stays_finite", "training under bf16 autocast: the loss is not finite"),
    "faulty/counts-numbers-at-the-start": ("builds_without_memory", "cannot be built on the meta device"),
    "faulty/adversary-keeps-the-pass": ("adversary_moves_itself_alone", "adversary_terms reaches tokenizer.encoder"),
    "faulty/adversary-decodes-again": ("adversary_moves_itself_alone", "adversary_terms reaches tokenizer.decoder"),
    "faulty/adversary-forgets-its-head": (
        "adversary_moves_itself_alone",
        "head.weight, which adversary_parameters does not give",
    ),
    "faulty/adversary-thaws-itself": ("terms_are_scalars", "terms lets gradients reach the adversary"),
    "faulty/adversary-of-nothing": ("adversary_owns_its_parameters", "adversary_parameters gives none"),
    "faulty/adversary-of-ever-new-parameters": ("adversary_owns_its_parameters", "other parameters the second time"),
    "faulty/adversary-of-foreign-parameters": (
        "adversary_owns_its_parameters",
        "parameters that are not its own: (2, 2)",
    ),
    "faulty/adversary-term-of-each-image": (
        "adversary_terms_are_scalars",
        "loss 'loss' must be a scalar and has the shape (3,)",
    ),
    "faulty/trains-its-teacher": ("teachers_are_not_trained", "trains copy.weight, which is its teacher's"),
}
"""The check meant for each planted fault, and words of what it says."""


def subject(name, **fields):
    entry = REGISTRY.components.get("regularizer", name)
    return Subject.of(entry, REGISTRY.components, fields or None, files=(FILE,))


def test_every_planted_fault_is_listed():
    names = {entry.spec.name for entry in REGISTRY.components.of_kind("regularizer")}
    planted = {name for name in names if name.startswith("faulty/") and not name.startswith("faulty/good-")}
    assert planted == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_the_check_meant_for_it(name):
    check, words = FAULTS[name]
    with pytest.raises(AssertionError, match=re.escape(words)):
        run_check(CHECKS[check], subject(name))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ["term", "view", "adversary", "aligned"])
def test_good_ones_pass(name, check):
    run_check(CHECKS[check], subject(f"faulty/good-{name}"))


FIRST_PARTY = {
    "feature": {"teacher": {"use": "fashion"}},
    "semantic": {"teacher": {"use": "fashion"}, "tap": 2},
    "patchgan": {"channels": 8, "start": 10, "lecam": {}, "augment": {}, "loss": "non-saturating"},
    "shortcut": {"feature": "cosine", "stop": 10},
}
"""Configs whose weights come along, beside the examples."""


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", FIRST_PARTY)
def test_first_party_ones_pass_with_weights_at_hand(name, check):
    run_check(CHECKS[check], subject(name, **FIRST_PARTY[name]))


def test_what_only_grey_images_are_accepted_by_is_tried_on_those():
    (grid, sequence) = objectives.trials(subject("feature", teacher={"use": "fashion"}))
    assert [trial.chain.image for trial in (grid, sequence)] == [ImageSpec(1, (32, 32))] * 2
    assert [trial.chain.latent.layout for trial in (grid, sequence)] == ["grid", "sequence"]


def test_it_is_tried_where_its_gate_is_open():
    (trial, _) = objectives.trials(subject("l1", start=0.25))
    assert trial.progress.is_open(0.25, None)
    assert trial.progress.step == trial.progress.total // 4
    assert "tested" in dict(trial.build().active(trial.progress))
    with pytest.raises(AssertionError, match="is never active in 1000000 steps with start: 5, stop: 5"):
        objectives.trials(subject("l1", start=5, stop=5))


def test_missing_weights_are_no_fault(tmp_path):
    lost = subject("lpips", vgg=str(tmp_path / "none.pth"), lin=str(tmp_path / "none.pth"))
    with pytest.raises(CannotBuild, match="weights are missing"):
        run_check(CHECKS["terms_are_scalars"], lost)


def test_a_capability_of_others_is_no_fault():
    with pytest.raises(CannotBuild, match="needs the capability 'telepathy'"):
        run_check(CHECKS["accepts_a_tokenizer"], subject("faulty/good-telepath"))
