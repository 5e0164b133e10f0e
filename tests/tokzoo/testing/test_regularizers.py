"""The checks of regularizers beside the planted faults: what passes, what is tried with what, what is not tried."""

import pytest
from kit import Kit

from tokzoo.contracts.specs import ImageSpec
from tokzoo.testing import objectives
from tokzoo.testing.subject import CannotBuild

KIT = Kit("regularizer")


ANOTHER_WAY = {
    "patchgan": {"channels": 8, "start": 10, "lecam": {}, "augment": {}, "loss": "non-saturating", "adaptive": True},
    "shortcut": {"feature": "cosine", "stop": 10},
}
"""Configs that do more than the examples."""


@pytest.mark.parametrize("check", KIT.checks)
@pytest.mark.parametrize("name", ANOTHER_WAY)
def test_what_examples_leave_out_passes(name, check):
    KIT.run(check, KIT.subject(name, **ANOTHER_WAY[name]))


def test_what_only_grey_images_are_accepted_by_is_tried_on_those():
    (grid, sequence) = objectives.every_trial(KIT.subject("feature", teacher={"use": "fashion"}))
    assert [trial.chain.image for trial in (grid, sequence)] == [ImageSpec(1, (32, 32))] * 2
    assert [trial.chain.latent.layout for trial in (grid, sequence)] == ["grid", "sequence"]


def test_it_is_tried_where_its_gate_is_open():
    (trial,) = objectives.trials(KIT.subject("l1", start=0.25))
    assert trial.progress.is_open(0.25, None)
    assert trial.progress.step == trial.progress.total // 4
    assert "tested" in dict(trial.build().active(trial.progress))
    with pytest.raises(AssertionError, match="is never active in 1000000 steps with start: 5, stop: 5"):
        objectives.trials(KIT.subject("l1", start=5, stop=5))


def test_missing_weights_are_no_fault(tmp_path):
    lost = KIT.subject("lpips", vgg=str(tmp_path / "none.pth"), lin=str(tmp_path / "none.pth"))
    with pytest.raises(CannotBuild, match="weights are missing"):
        KIT.run("terms_are_scalars", lost)


def test_a_capability_of_others_is_no_fault():
    with pytest.raises(CannotBuild, match="needs the capability 'telepathy'"):
        KIT.run("accepts_a_tokenizer", KIT.subject("faulty/good-telepath"))
