"""Each planted fault fails the check meant for it, with words that tell; what has none passes every check."""

import re

import pytest
from faults import FAULTS, GOOD
from kit import REGISTRY, Kit

from tokzoo.testing.conformance import CHECKS

KITS = {kind: Kit(kind) for kind in CHECKS}


@pytest.mark.parametrize("kind", CHECKS)
def test_every_fault_is_listed(kind):
    names = {entry.spec.name for entry in REGISTRY.components.of_kind(kind)}
    ours = {name.removeprefix("faulty/") for name in names if name.startswith("faulty/")}
    planted = {name for name in ours if not name.startswith("good-")}
    assert planted == FAULTS[kind].keys()
    assert len(planted) >= len(CHECKS[kind])


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
