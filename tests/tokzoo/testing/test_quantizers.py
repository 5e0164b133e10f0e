"""The checks of quantizers: each planted fault fails the one meant for it, and good quantizers pass all."""

import re

import pytest
import torch

from tests.conftest import ROOT
from tokzoo.registry.plugins import load_registry
from tokzoo.testing import any_kind, quantizers, ranks
from tokzoo.testing.subject import Subject

FILE = ROOT / "tests" / "data" / "plugins" / "faulty_parts.py"
REGISTRY = load_registry([FILE])
CHECKS = {check.__name__: check for check in (*any_kind.CHECKS, *quantizers.CHECKS)}

FAULTS = {
    "faulty/codes-as-grid": ("specs_agree_with_shapes", "codes are (3, 4, 4) on meta; code_spec promised (3, 16)"),
    "faulty/out-of-range": ("codes_are_int64_in_range", "go from 1 to 16, in a vocabulary of 16"),
    "faulty/extremes-out-of-range": (
        "codes_are_int64_in_range",
        "codes of latents times 10000 go from 0 to 2, in a vocabulary of 2",
    ),
    "faulty/int32-codes": ("codes_are_int64_in_range", "codes of latents times 1 are torch.int32, not torch.int64"),
    "faulty/straight-through-in-eval": (
        "decode_equals_the_quantized_latent",
        "decode(codes) is not the latent that eval mode hands on: differs by",
    ),
    "faulty/flat-decode": ("any_code_can_be_decoded", "decode gives (48, 4); hands_on promised (3, 16, 4)"),
    "faulty/no-straight-through": ("gradients_reach_the_encoder", "no gradient reaches the encoder's latent"),
    "faulty/loss-of-each": (
        "losses_are_weighed_scalars",
        "loss 'commitment' must be a scalar and has the shape (3, 16)",
    ),
    "faulty/detached-loss": ("losses_are_weighed_scalars", "loss 'codebook' is detached"),
    "faulty/unweighed-loss": ("losses_are_weighed_scalars", "weight_of('surprise') raised KeyError"),
    "faulty/attached-statistics": ("statistics_are_detached_scalars", "statistic 'norm' has a graph"),
    "faulty/no-assignment": ("assignment_is_given_as_promised", "provides 'assignment' and has no method assignment"),
    "faulty/detached-assignment": ("assignment_is_given_as_promised", "the queries of assignment are detached"),
    "faulty/rows-as-numbers": ("training_leaves_all_finite", "the rows of Overwritten are torch.int64"),
    "faulty/tells-nothing": ("training_leaves_all_finite", "after_step returned None, not a sequence of Overwritten"),
    "faulty/divides-by-zero": ("training_leaves_all_finite", "after 4 training steps: codebook is not finite"),
    "faulty/own-codes": ("ranks_keep_one_state", "two ranks come to different states"),
    "faulty/own-draws": ("ranks_keep_one_state", "two ranks come to different states"),
    "faulty/fails-on-second-rank": ("ranks_keep_one_state", "in process 1 of 2: only made for one process"),
    "faulty/centred-by-batch": ("rows_are_independent", "depends on what else is in the batch: latent: differs"),
    "faulty/logarithm-in-bf16": ("autocast_stays_finite", "training under bf16 autocast: the loss is not finite"),
    "faulty/plain-codebook": ("state_dict_holds_everything", "a loaded state dict gives other answers: latent"),
}
"""The check meant for each planted fault, and words of what it says."""


def subject(name, **fields):
    entry = REGISTRY.components.get("quantizer", name)
    torch.manual_seed(0)
    return Subject.of(entry, REGISTRY.components, fields, files=(FILE,))


def test_every_planted_fault_is_listed():
    names = {entry.spec.name for entry in REGISTRY.components.of_kind("quantizer")}
    planted = {name for name in names if name.startswith("faulty/") and not name.startswith("faulty/good-")}
    assert planted == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_the_check_meant_for_it(name):
    check, words = FAULTS[name]
    with pytest.raises(AssertionError, match=re.escape(words)):
        CHECKS[check](subject(name))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ["quantizer", "continuous", "levels"])
def test_good_ones_pass(name, check):
    CHECKS[check](subject(f"faulty/good-{name}"))


EMA = {"codes": 24, "dim": 4, "ema": {"decay": 0.9}, "warmup": 1, "kmeans": True, "revive": {"threshold": 0.6}}


@pytest.mark.parametrize("check", CHECKS)
def test_a_codebook_that_no_gradient_moves_passes(check):
    CHECKS[check](subject("vq", **EMA))


def test_the_plugin_of_the_readme_passes(tmp_path):
    found = re.search(r"<!-- file: my.py -->\n```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    file = tmp_path / "my.py"
    file.write_text(found.group(1), encoding="utf-8")
    components = load_registry([file]).components
    for check in CHECKS.values():
        torch.manual_seed(0)
        check(Subject.of(components.get("quantizer", "me/sign"), components, files=(file,)))


def test_processes_that_take_too_long_are_ended(monkeypatch):
    monkeypatch.setattr(ranks, "SECONDS", 0.1)
    with pytest.raises(AssertionError, match="2 processes wait for each other"):
        quantizers.ranks_keep_one_state(subject("faulty/good-quantizer"))
