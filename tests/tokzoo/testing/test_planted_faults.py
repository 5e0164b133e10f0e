"""Each planted fault fails the check meant for it, with words that tell; what has none passes every check."""

import re

import pytest
from faults import FAULTS, GOOD
from kit import REGISTRY, Kit

from tokzoo.testing.any_kind import config_imports_no_torch
from tokzoo.testing.conformance import CHECKS
from tokzoo.testing.datasets import fingerprint_needs_no_torch

KITS = {kind: Kit(kind) for kind in CHECKS}
ON_INSTALLED = (config_imports_no_torch, fingerprint_needs_no_torch)
"""They ask nothing of the file plugin that has the faults; test_any_kind and test_datasets show that they can fail."""


def named(check):
    """The function a check is, or is made of for each kind."""
    return check.__module__, check.__name__


@pytest.mark.parametrize("kind", CHECKS)
def test_every_fault_is_listed(kind):
    names = {entry.spec.name for entry in REGISTRY.components.of_kind(kind)}
    ours = {name.removeprefix("faulty/") for name in names if name.startswith("faulty/")}
    planted = {name for name in ours if not name.startswith("good-")}
    assert planted == FAULTS[kind].keys()


def test_every_check_fails_on_a_fault():
    """Of those that several kinds share, on a fault of one of them."""
    checks = {named(check) for kit in KITS.values() for check in kit.checks.values()}
    failed = {named(KITS[kind].checks[check]) for kind, faults in FAULTS.items() for check, _ in faults.values()}
    assert checks - failed == {named(check) for check in ON_INSTALLED}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, faults in FAULTS.items() for name in faults])
def test_a_fault_fails_the_check_meant_for_it(kind, name):
    check, words = FAULTS[kind][name]
    with pytest.raises(AssertionError, match=re.escape(words)):
        KITS[kind].run(check, KITS[kind].subject(f"faulty/{name}"))


@pytest.mark.parametrize(
    ("kind", "name", "check"),
    [(kind, name, check) for kind, names in GOOD.items() for name in names for check in KITS[kind].checks],
)
def test_what_is_good_passes(kind, name, check):
    KITS[kind].run(check, KITS[kind].subject(f"faulty/good-{name}"))
