"""What every component must keep to, whatever its kind."""

import functools
import json
import subprocess
import sys
from typing import Any

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.interfaces import INTERFACES
from tokzoo.recipes.slots import Slot
from tokzoo.registry.component import load_target
from tokzoo.testing.subject import Subject

SECONDS = 120
"""How long importing a config may take before it counts as stuck."""

IMPORT = """
import importlib, sys
importlib.import_module(sys.argv[1])
print([name for name in ("torch", "tensorflow", "jax") if name in sys.modules])
"""


def config_round_trips(subject: Subject) -> None:
    """The config is JSON, and reads back as itself."""
    config = subject.config
    name = type(config).__name__
    try:
        text = json.dumps(config.model_dump(mode="json"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{name} cannot be written as JSON: {error}") from error
    references = {key: v for key in type(config).model_fields if isinstance(v := getattr(config, key), Slot)}
    data: dict[str, Any] = {**json.loads(text), **references}
    try:
        again = type(config).model_validate(data)
    except ValueError as error:
        raise AssertionError(f"{text} does not read back as a {name}: {error}") from error
    assert again == config, f"{text} does not read back as the same {name}"


def target_is_of_its_kind(subject: Subject) -> None:
    """Its target can be imported, and is a complete class of the interface its kind promises."""
    interface = INTERFACES[subject.kind]
    try:
        target = load_target(subject.slot.entry.spec)
    except TokzooError as error:
        raise AssertionError(str(error)) from error
    right = isinstance(target, type) and issubclass(target, interface)
    assert right, f"its target is {target!r}, not a subclass of {interface.__name__}"
    missing = ", ".join(sorted(getattr(target, "__abstractmethods__", ())))
    assert not missing, f"{target.__name__} does not implement {missing}"


def config_imports_no_torch(subject: Subject) -> None:
    """Importing the config of an installed component imports no torch: ``tokzoo list`` stays quick."""
    if not subject.slot.entry.source.distribution:
        return
    module = type(subject.config).__module__
    heavy = _heavy(module)
    assert heavy == "[]", f"importing {module} imports {heavy}: keep configs apart from modules"


@functools.cache
def _heavy(module: str) -> str:
    """The frameworks a fresh process has imported with a module, as a list in text."""
    command = [sys.executable, "-c", IMPORT, module]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, f"{module} cannot be imported by itself: {done.stderr.strip().splitlines()[-1:]}"
    return done.stdout.strip().splitlines()[-1]


CHECKS = (config_round_trips, config_imports_no_torch, target_is_of_its_kind)
