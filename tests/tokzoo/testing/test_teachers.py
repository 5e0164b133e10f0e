"""The checks of teachers: each planted fault fails the one meant for it, and good teachers pass all."""

import re

import pytest
import timm
import torch
from safetensors.torch import save_file

from tests.conftest import ROOT
from tokzoo.registry.plugins import load_registry
from tokzoo.testing.conformance import checks_for, run_check
from tokzoo.testing.subject import CannotBuild, Subject

FILE = ROOT / "tests" / "data" / "plugins" / "faulty_judges.py"
REGISTRY = load_registry([FILE])
CHECKS = {check.__name__: check for check in checks_for("teacher")}

FAULTS = {
    "faulty/wrong-width": ("features_are_as_promised", "features have the shape (3, 16, 5), promised (3, 16, 6)"),
    "faulty/feature-map": ("features_are_as_promised", "features have the shape (3, 6, 4, 4), promised (3, 16, 6)"),
    "faulty/not-a-number": ("features_are_as_promised", "features is not finite"),
    "faulty/refuses-all-images": (
        "features_are_as_promised",
        "refuses a 3×32×32 image, and one of one channel: sees sounds",
    ),
    "faulty/stays-in-training-mode": ("it_is_frozen", "once built, it is in training mode"),
    "faulty/thaws-itself": ("it_is_frozen", "once asked, patches.weight asks for a gradient"),
    "faulty/keeps-statistics": ("it_is_frozen", "asking it changes mean"),
    "faulty/drops-out-always": ("it_is_deterministic", "asked twice about the same images"),
    "faulty/drawn-weights": ("one_start_does_for_all", "built twice, from two seeds"),
    "faulty/flat-gradient": ("gradients_pass_to_the_images", "the gradient of the images is zero everywhere"),
    "faulty/normalises-the-batch": ("rows_are_independent", "depends on what else is in the batch: features"),
    "faulty/normalises-in-place": ("input_is_left_alone", "changes its input in place"),
    "faulty/reads-its-weights-when-built": ("builds_without_memory", "cannot be built on the meta device"),
}
"""The check meant for each planted fault, and words of what it says."""


def subject(name, **fields):
    entry = REGISTRY.components.get("teacher", name)
    return Subject.of(entry, REGISTRY.components, fields or None, files=(FILE,))


def test_every_planted_fault_is_listed():
    names = {entry.spec.name for entry in REGISTRY.components.of_kind("teacher")}
    planted = {name for name in names if name.startswith("faulty/") and not name.startswith("faulty/good-")}
    assert planted == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_the_check_meant_for_it(name):
    check, words = FAULTS[name]
    with pytest.raises(AssertionError, match=re.escape(words)):
        run_check(CHECKS[check], subject(name))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ["teacher"])
def test_good_ones_pass(name, check):
    run_check(CHECKS[check], subject(f"faulty/good-{name}"))


@pytest.fixture(scope="module")
def transformer(tmp_path_factory):
    """The fields of a real model of timm, with weights of our own making."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(timm.create_model("vit_tiny_patch16_224", pretrained=False).state_dict(), path)
    return {"model": "vit_tiny_patch16_224", "image_size": 32, "weights": str(path)}


@pytest.mark.parametrize("check", CHECKS)
def test_a_teacher_with_its_weights_passes(check, transformer):
    run_check(CHECKS[check], subject("timm", **transformer))


@pytest.mark.parametrize("check", CHECKS)
def test_a_teacher_of_grey_images_passes(check):
    run_check(CHECKS[check], subject("fashion"))


def test_missing_weights_are_no_fault(tmp_path):
    lost = subject("timm", model="vit_tiny_patch16_224", weights=str(tmp_path / "none.safetensors"))
    with pytest.raises(CannotBuild, match="there is no file"):
        run_check(CHECKS["features_are_as_promised"], lost)
