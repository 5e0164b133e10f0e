"""Every registered component, first-party or not, keeps to the six checks."""

import pytest
import torch

from tokzoo.registry.plugins import load_registry
from tokzoo.testing.conformance import CHECKS, Subject, checks_for

REGISTRY = load_registry()
CASES = [(entry, check) for entry in REGISTRY.components for check in checks_for(entry.spec.kind)]


@pytest.mark.parametrize(
    ("entry", "check"), CASES, ids=[f"{e.spec.kind}/{e.spec.name}-{check.__name__}" for e, check in CASES]
)
def test_component(entry, check):
    torch.manual_seed(0)
    check(Subject.of(entry, REGISTRY.components))


def test_every_kind_of_module_is_checked():
    kinds = {entry.spec.kind for entry, _ in CASES}
    assert {"encoder", "quantizer", "decoder", "ar", "regularizer", "dataset", "metric"} <= kinds
    assert len(CHECKS) == 6
    assert not REGISTRY.broken
