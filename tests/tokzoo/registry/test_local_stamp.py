"""The stamp of classes and functions of a script or a notebook changes when what they do may have changed."""

import importlib.util
import itertools
import linecache
import sys
from types import SimpleNamespace

import pytest

import tokzoo
from tokzoo.contracts.errors import TokzooError
from tokzoo.registry.local import add_components
from tokzoo.registry.local_stamp import local_stamp
from tokzoo.registry.plugins import load_registry

SCRIPT = """
import tokzoo
from helper_of_local import half

SCALE = 2.0


class Half(tokzoo.ImageTerm):
    def distance(self, images, target):
        return half(images - target).mean() * SCALE


def made(power):
    def term(images, target):
        return (images - target).pow(power).mean()
    return term


if __name__ == "__main__":
    print(1)
"""
HELPER = "def half(x):\n    return x / 2\n"
_count = itertools.count()


@pytest.fixture
def stamp_of(tmp_path, monkeypatch):
    """The stamp of a thing in a script, which is imported under a name of its own each time."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(script=SCRIPT, helper=HELPER, pick=lambda module: module.Half):
        (tmp_path / "helper_of_local.py").write_text(helper)
        name = f"script_of_local_{next(_count)}"
        path = tmp_path / f"{name}.py"
        path.write_text(script)
        monkeypatch.delitem(sys.modules, "helper_of_local", raising=False)
        importlib.invalidate_caches()
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        spec.loader.exec_module(module)
        return local_stamp([pick(module)], "x")

    return load


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SCALE = 2.0", "SCALE = 2.0  # a factor\n\n"),
        ("    def distance", '    """What it is."""\n\n    def distance'),
        ("    print(1)", "    print(2)"),
    ],
)
def test_what_does_not_change_the_code_does_not_change_its_stamp(stamp_of, old, new):
    assert old in SCRIPT
    assert stamp_of(SCRIPT.replace(old, new)) == stamp_of()


@pytest.mark.parametrize(
    ("old", "new"),
    [("SCALE = 2.0", "SCALE = 3.0"), (".mean() * SCALE", ".sum() * SCALE"), ("import tokzoo", "import tokzoo, torch")],
)
def test_what_changes_the_module_changes_the_stamp(stamp_of, old, new):
    assert old in SCRIPT
    assert stamp_of(SCRIPT.replace(old, new)) != stamp_of()


def test_what_the_module_imports_counts_where_it_is_the_users_own(stamp_of):
    assert stamp_of(helper=HELPER.replace("/ 2", "/ 4")) != stamp_of()
    assert stamp_of(helper=HELPER + "# a remark\n") == stamp_of()


def test_what_a_function_was_made_with_counts(stamp_of):
    two, three = (stamp_of(pick=lambda module, p=p: module.made(p)) for p in (2, 3))
    assert two != three
    assert two == stamp_of(pick=lambda module: module.made(2))


def test_a_call_of_run_is_not_part_of_the_code(stamp_of, monkeypatch):
    monkeypatch.setattr(tokzoo, "run", lambda *what: None)
    lines = ("done = tokzoo.run('a')", "done = tokzoo.run('b', 'c')", "print(tokzoo.run('d'))")
    assert {stamp_of(SCRIPT.replace("SCALE = 2.0", f"SCALE = 2.0\n{line}")) for line in lines} == {stamp_of()}


NOTEBOOK = """
import dataclasses
import torch
import tokzoo

LEVELS = [1, 2]
TABLE = torch.tensor([1.0, 2.0])
unrelated = 1

@dataclasses.dataclass
class Setting:
    value: int

SETTING = Setting(4)

def helper(x):
    return x * LEVELS[0]

class OwnConfig(tokzoo.ImageTermConfig):
    factor: float = 1.0

class Own(tokzoo.ImageTerm):
    '''A term.'''
    config: OwnConfig
    bias = 0.5

    @torch.no_grad()
    def other(self):
        return [TABLE[i] for i in range(2)], SETTING

    def distance(self, images, target):
        return helper(images - target).mean() + self.bias
"""


def notebook(text, name="__main__"):
    """A cell as IPython runs it: no file, its source known to linecache alone."""
    file = f"<cell {next(_count)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space = {"__name__": name}
    module = SimpleNamespace(__name__=name)
    before = sys.modules[name]
    sys.modules[name] = module
    try:
        exec(compile(text, file, "exec"), space)
        return local_stamp([space["Own"], space["OwnConfig"]], "component regularizer/own")
    finally:
        sys.modules[name] = before


@pytest.mark.parametrize(
    ("old", "new"),
    [("unrelated = 1", "unrelated = 2"), ("'''A term.'''", "'''Another.'''"), ("return helper", "return  helper")],
)
def test_in_a_notebook_what_a_component_does_not_need_does_not_count(old, new):
    assert old in NOTEBOOK
    assert notebook(NOTEBOOK.replace(old, new)) == notebook(NOTEBOOK)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return x * LEVELS[0]", "return x / LEVELS[0]"),
        ("LEVELS = [1, 2]", "LEVELS = [1, 3]"),
        ("[1.0, 2.0]", "[1.0, 3.0]"),
        ("factor: float = 1.0", "factor: float = 2.0"),
        ("bias = 0.5", "bias = 0.6"),
        ("+ self.bias", "- self.bias"),
        ("Setting(4)", "Setting(5)"),
        ("class Own(tokzoo.ImageTerm)", "class Own(tokzoo.ImageTerm, tokzoo.Adversary)"),
    ],
)
def test_in_a_notebook_whatever_a_component_needs_counts(old, new):
    assert old in NOTEBOOK
    assert notebook(NOTEBOOK.replace(old, new)) != notebook(NOTEBOOK)


def test_code_without_a_source_is_refused():
    space = {"__name__": "nowhere", "tokzoo": tokzoo}
    exec("class Own(tokzoo.ImageTerm):\n    def distance(self, images, target): ...", space)
    with pytest.raises(TokzooError, match=r"regularizer/own: the source of Own.distance cannot be read.* into a file"):
        add_components(load_registry(), [space["Own"]])
