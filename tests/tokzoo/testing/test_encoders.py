"""The checks of encoders: each planted fault fails the one meant for it, and a good encoder passes all."""

import re

import pytest
import torch

from tests.conftest import ROOT
from tokzoo.registry.plugins import load_registry
from tokzoo.testing import any_kind, encoders
from tokzoo.testing.subject import Subject

FILE = ROOT / "tests" / "data" / "plugins" / "faulty_parts.py"
REGISTRY = load_registry([FILE])
CHECKS = {check.__name__: check for check in (*any_kind.CHECKS, *encoders.CHECKS)}

FAULTS = {
    "faulty/cut-latent": (
        "specs_agree_with_shapes",
        "the latent is (3, 15, 8) on meta; latent_spec promised (3, 16, 8)",
    ),
    "faulty/no-map": (
        "specs_agree_with_shapes",
        "the feature map is None on meta; feature_map_spec promised (3, 8, 4, 4)",
    ),
    "faulty/own-channels": ("latent_spec_honours_the_channels_asked_for", "asked for 1 channels and promises 8"),
    "faulty/wrong-layout": (
        "latent_spec_honours_the_channels_asked_for",
        "layout is 'sequence' and latent_spec says 'grid'",
    ),
    "faulty/detached": ("gradients_reach_its_parameters", "detached from its parameters"),
    "faulty/unused-parameter": ("gradients_reach_its_parameters", "no gradient reaches forgotten"),
    "faulty/batch-statistics": (
        "rows_are_independent",
        "depends on what else is in the batch: latent: differs by up to",
    ),
    "faulty/first-of-batch": ("rows_are_independent", "depends on the order of the batch: latent: differs by up to"),
    "faulty/margin-lost-in-bf16": ("autocast_stays_finite", "training under bf16 autocast: the loss is not finite"),
    "faulty/running-mean": ("state_dict_holds_everything", "a loaded state dict gives other answers: latent"),
    "faulty/numpy-start": ("training_is_seeded", "built twice from one seed: project.bias: differs"),
    "faulty/numpy-noise": ("training_is_seeded", "answered twice from one seed in training mode: latent: differs"),
    "faulty/counts-in-python": (
        "training_resumes_exactly",
        "training resumed from its parameters and buffers: patches.weight: differs",
    ),
    "faulty/in-place": ("input_is_left_alone", "changes its input in place"),
    "faulty/counts-in-eval": ("eval_changes_no_state", "eval mode changes its state: calls: differs"),
    "faulty/config-not-json": ("config_round_trips", "ObjectConfig cannot be written as JSON"),
    "faulty/config-reads-back-differently": ("config_round_trips", "does not read back as the same DoublingConfig"),
    "faulty/any-module": ("target_is_of_its_kind", "AnyModule'>, not a subclass of Encoder"),
    "faulty/abstract": ("target_is_of_its_kind", "Abstract does not implement forward"),
}
"""The check meant for each planted fault, and words of what it says."""


def subject(name, **fields):
    entry = REGISTRY.components.get("encoder", name)
    torch.manual_seed(0)
    return Subject.of(entry, REGISTRY.components, fields, files=(FILE,))


def test_every_planted_fault_is_listed():
    names = {entry.spec.name for entry in REGISTRY.components.of_kind("encoder")}
    planted = {name for name in names if name.startswith("faulty/") and not name.startswith("faulty/good-")}
    assert planted == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_the_check_meant_for_it(name):
    check, words = FAULTS[name]
    with pytest.raises(AssertionError, match=re.escape(words)):
        CHECKS[check](subject(name))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ["encoder"])
def test_good_ones_pass(name, check):
    CHECKS[check](subject(f"faulty/good-{name}"))
