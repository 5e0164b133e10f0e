"""A stamp changes when Python files say something else, and only then; it tells what is under development."""

import importlib
import itertools
import json
import sys

import pytest
from installing import register

from tokzoo.registry.plugins import load_registry
from tokzoo.registry.source import ROOMS, Source, tokzoo_source
from tokzoo.registry.stamps import package_stamp, stamp

TEXT = '''
"""A module."""
import math


def area(radius):
    """Of a disc."""
    return math.pi * radius**2  # in square metres


class Empty:
    """Nothing."""


SIDE = 1
"""Of a square."""

if __name__ == "__main__":
    print(area(1))
'''


@pytest.fixture
def stamp_of(tmp_path, monkeypatch):
    """A function from a text to the stamp of a file that says so."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def write(text):
        (tmp_path / "one.py").write_text(text)
        return stamp({"one": tmp_path / "one.py"})

    return write


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# in square metres", "# m²"),
        ("Of a disc.", "Of a circle."),
        ('    """Nothing."""', "    pass"),
        ("Of a square.", "Of a cube."),
        ("import math\n", "import math\n\n"),
        ("print(area(1))", "print(area(2))"),
    ],
)
def test_what_is_said_to_readers_does_not_count(stamp_of, old, new):
    assert old in TEXT
    assert stamp_of(TEXT.replace(old, new)) == stamp_of(TEXT)


@pytest.mark.parametrize(("old", "new"), [("radius**2", "radius**3"), ("SIDE = 1", "SIDE = 2"), ("math.pi", "(")])
def test_what_the_code_says_counts(stamp_of, old, new):
    assert old in TEXT
    assert stamp_of(TEXT.replace(old, new)) != stamp_of(TEXT)


def test_which_file_says_what_counts(tmp_path):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("x = 1")
    two.write_text("x = 2")
    assert stamp({"one": one, "two": two}) != stamp({"one": two, "two": one})


def test_a_stamp_is_worked_out_once(stamp_of, monkeypatch):
    first = stamp_of(TEXT)
    monkeypatch.setattr("ast.parse", None)
    assert stamp_of(TEXT) == first


def test_a_cache_folder_that_cannot_be_written_to_does_no_harm(stamp_of, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    assert stamp_of(TEXT) == stamp_of(TEXT)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of an importable package with a module and a subpackage."""
    folder = tmp_path / f"package_{next(_count)}"
    (folder / "inner").mkdir(parents=True)
    for name in ("__init__", "plugin", "inner/__init__", "inner/model"):
        (folder / f"{name}.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return folder


_count = itertools.count()


def test_every_file_of_a_package_counts_and_none_is_imported(package):
    def now():
        return package_stamp([f"{package.name}.plugin"])

    first = now()
    assert now() == first
    (package / "inner" / "model.py").write_text("x = 2\n")
    second = now()
    (package / "inner" / "new.py").write_text("x = 2\n")
    assert len({first, second, now()}) == 3
    assert package.name not in sys.modules


def test_only_the_rooms_that_shape_results_count_of_tokzoo_itself():
    assert tokzoo_source().stamp == package_stamp([f"tokzoo.{room}" for room in ROOMS])
    assert tokzoo_source().stamp == package_stamp([f"tokzoo.{room}.deeper" for room in ROOMS])
    assert tokzoo_source().stamp != package_stamp(["tokzoo.training"])


PLUGIN = """
import tokzoo
@tokzoo.hookimpl
def tokzoo_components():
    return [tokzoo.ComponentSpec("quantizer", "me/q", "{0}.inner.model:Config", "elsewhere_{0}:Q", "a quantizer")]
"""


@pytest.fixture
def source(package, monkeypatch):
    """A function to the source of an installed quantizer, as a new command would find it."""
    register(package.parent, "lattice", {"lattice": f"{package.name}.plugin"})
    (package / "plugin.py").write_text(PLUGIN.format(package.name))
    monkeypatch.setenv("TOKZOO_PLUGINS", "lattice")

    def found():
        importlib.invalidate_caches()
        return load_registry(strict=True).components.get("quantizer", "me/q").source

    return found


@pytest.mark.parametrize(
    ("direct_url", "editable"),
    [
        (None, False),
        ("not JSON", False),
        ('{"url": "file:///home/me/lattice", "dir_info": {}}', False),
        ('{"url": "file:///home/me/lattice", "dir_info": {"editable": true}}', True),
    ],
)
def test_an_editable_install_is_under_development(source, package, direct_url, editable):
    if direct_url is not None:
        (package.parent / "lattice-1.0.dist-info" / "direct_url.json").write_text(direct_url)
    assert source() == Source("lattice", "1.0", editable)


def test_an_edit_of_an_installed_plugin_is_seen_and_so_is_one_of_what_its_targets_name(source, package):
    first = source().stamp
    (package / "inner" / "model.py").write_text("x = 2\n")
    second = source().stamp
    (package.parent / f"elsewhere_{package.name}.py").write_text("class Q: ...\n")
    assert len({first, second, source().stamp}) == 3


def test_a_file_counts_with_the_users_own_modules_it_imports(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKZOO_PLUGINS", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    helper = f"helper_{next(_count)}"
    (tmp_path / f"{helper}.py").write_text("x = 1\n")
    (tmp_path / "mine.py").write_text(f"import torch\nfrom {helper} import x\n")

    def source():
        (plugin,) = load_registry([tmp_path / "mine.py"], strict=True).plugins
        return plugin.source

    first = source()
    assert (first.distribution, first.in_development) == ("", True)
    (tmp_path / f"{helper}.py").write_text("x = 1  # as before\n")
    assert source().stamp == first.stamp
    (tmp_path / f"{helper}.py").write_text("x = 2\n")
    assert source().stamp != first.stamp


@pytest.mark.parametrize(
    "text",
    [
        "def later():\n    from {0} import x\n",
        "import importlib\nimportlib.import_module('{0}')\n",
        "import tokzoo\n@tokzoo.hookimpl\ndef tokzoo_components():\n"
        "    return [tokzoo.ComponentSpec('quantizer', 'me/q', '{0}:Config', '{0}:Q', 'a quantizer')]\n",
    ],
    ids=["in a function", "by import_module", "by a target"],
)
def test_what_a_file_brings_in_later_counts_and_is_not_imported_for_that(tmp_path, monkeypatch, text):
    monkeypatch.setenv("TOKZOO_PLUGINS", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    helper = f"helper_{next(_count)}"
    (tmp_path / helper).mkdir()
    (tmp_path / helper / "__init__.py").write_text("from . import inner\nraise RuntimeError\n")
    (tmp_path / helper / "inner.py").write_text("x = 1\n")
    (tmp_path / "mine.py").write_text(
        "try:\n    " + text.format(helper).replace("\n", "\n    ") + "pass\nexcept RuntimeError: ..."
    )

    def now():
        (plugin,) = load_registry([tmp_path / "mine.py"], strict=True).plugins
        return plugin.source.stamp

    first = now()
    (tmp_path / helper / "inner.py").write_text("x = 2\n")
    assert now() != first


@pytest.mark.parametrize("editable", [True, False])
def test_another_package_of_ones_own_counts_with_a_plugin_under_development(
    source, package, tmp_path, monkeypatch, editable
):
    other = f"other_{next(_count)}"
    (tmp_path / "src").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    (tmp_path / "src" / f"{other}.py").write_text("x = 1\n")
    (package / "inner" / "model.py").write_text(f"from {other} import x\n")
    about = {"dir_info": {"editable": editable}}
    (package.parent / "lattice-1.0.dist-info" / "direct_url.json").write_text(json.dumps(about))
    first = source().stamp
    (tmp_path / "src" / f"{other}.py").write_text("x = 2\n")
    assert (source().stamp != first) == editable
