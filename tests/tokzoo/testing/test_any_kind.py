"""The checks of every kind beside the planted faults: what is asked of installed components alone."""

import importlib
import os
import sys

import pytest
from kit import Kit

from tokzoo.registry.catalogue import Catalogue, Entry
from tokzoo.registry.component import ComponentSpec
from tokzoo.registry.source import Source
from tokzoo.testing.subject import Subject

KIT = Kit("executor")
CONFIG = """
{line}
import tokzoo

class Config(tokzoo.ExecutorConfig):
    pass
"""
INSTALLED = Source("x", "1", False)


@pytest.fixture
def tested(tmp_path, monkeypatch):
    """A function from a module's name, a line of it, and where it comes from, to a component with its config there."""

    def make(module, line, source):
        (tmp_path / f"{module}.py").write_text(CONFIG.format(line=line), encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.delitem(sys.modules, module, raising=False)
        config = importlib.import_module(module).Config
        entry = Entry(ComponentSpec("executor", "x", config, f"{module}:X", "slow to list"), "x", source)
        known = Catalogue()
        known.add(entry)
        return Subject.of(entry, known)

    return make


def test_an_installed_config_that_imports_torch_fails(tested):
    with pytest.raises(AssertionError, match=r"imports \['torch'\]: keep configs apart from modules"):
        KIT.run("config_imports_no_torch", tested("heavy_config", "import torch", INSTALLED))


def test_an_installed_config_that_does_not_passes(tested):
    KIT.run("config_imports_no_torch", tested("light_config", "", INSTALLED))


def test_a_config_in_a_file_may_import_torch(tested):
    KIT.run("config_imports_no_torch", tested("heavy_file", "import torch", Source()))
