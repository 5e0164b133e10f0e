"""The checks of a kind, and components to try them on: those installed, and those of a plugin with planted faults."""

from tests.conftest import ROOT
from tokzoo.registry.plugins import load_registry
from tokzoo.testing.conformance import checks_for, run_check
from tokzoo.testing.subject import Subject

FILES = (ROOT / "tests" / "data" / "plugins" / "faulty.py",)
REGISTRY = load_registry(FILES)
assert not REGISTRY.broken


class Kit:
    """The kit for one kind."""

    def __init__(self, kind):
        self.kind = kind
        self.checks = {check.__name__: check for check in checks_for(kind)}

    def subject(self, name, **fields):
        """A component, in its example config or in one of such fields."""
        entry = REGISTRY.components.get(self.kind, name)
        return Subject.of(entry, REGISTRY.components, fields or None, files=FILES)

    def run(self, check, subject):
        """Run a check by its name."""
        run_check(self.checks[check], subject)
