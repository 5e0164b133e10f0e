"""The checks of decoders: each planted fault fails the one meant for it, and good decoders pass all."""

import re

import pytest
import torch

from tests.conftest import ROOT
from tokzoo.registry.plugins import load_registry
from tokzoo.testing import any_kind, decoders
from tokzoo.testing.subject import Subject

FILE = ROOT / "tests" / "data" / "plugins" / "faulty_parts.py"
REGISTRY = load_registry([FILE])
CHECKS = {check.__name__: check for check in (*any_kind.CHECKS, *decoders.CHECKS)}

FAULTS = {
    "faulty/half-size": ("specs_agree_with_shapes", "forward gives (3, 3, 16, 16) on meta, not (3, 3, 32, 32)"),
    "faulty/accepts-no-latent": ("specs_agree_with_shapes", "accepts refuses every latent it was tried with"),
    "faulty/detached-images": ("gradients_reach_the_latent", "no gradient reaches the latent"),
    "faulty/unused-layer": ("gradients_reach_its_parameters", "no gradient reaches spare.weight, spare.bias"),
    "faulty/unasked-tap": ("taps_serve_what_was_promised", "built with taps () it serves {1: (3, 16, 8)}"),
    "faulty/missing-tap": ("taps_serve_what_was_promised", "hidden_spec promised {1: (3, 16, 8), 2: (3, 16, 8)}"),
    "faulty/narrow-tap": ("taps_serve_what_was_promised", "hidden_spec promised {1: (3, 16, 16)}"),
    "faulty/detached-tap": ("taps_serve_what_was_promised", "hidden states at tap 1 are detached"),
    "faulty/unseeded-noise": ("decoding_is_seeded", "decode with two generators of one seed: differs"),
    "faulty/no-map-decoding": ("feature_maps_are_decoded", "has no method decode_feature_map"),
    "faulty/accepts-no-map": ("feature_maps_are_decoded", "accepts_feature_map refuses every map"),
    "faulty/loss-of-each-image": ("losses_are_weighed_scalars", "loss 'flow' must be a scalar and has the shape (3,)"),
    "faulty/contrast-of-batch": ("rows_are_independent", "depends on what else is in the batch: images: differs"),
    "faulty/tanh-of-its-input": ("input_is_left_alone", "changes its input in place"),
}
"""The check meant for each planted fault, and words of what it says."""


def subject(name, **fields):
    entry = REGISTRY.components.get("decoder", name)
    torch.manual_seed(0)
    return Subject.of(entry, REGISTRY.components, fields, files=(FILE,))


def test_every_planted_fault_is_listed():
    names = {entry.spec.name for entry in REGISTRY.components.of_kind("decoder")}
    planted = {name for name in names if name.startswith("faulty/") and not name.startswith("faulty/good-")}
    assert planted == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_the_check_meant_for_it(name):
    check, words = FAULTS[name]
    with pytest.raises(AssertionError, match=re.escape(words)):
        CHECKS[check](subject(name))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ["decoder", "flow"])
def test_good_ones_pass(name, check):
    CHECKS[check](subject(f"faulty/good-{name}"))
