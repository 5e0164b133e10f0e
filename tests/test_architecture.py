"""The rules of who may import what, held by machine."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS = {contract["type"]: contract for contract in PROJECT["tool"]["importlinter"]["contracts"]}
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/tokzoo_*/plugin.py"))
PACKAGES = sorted(
    path.parent for path in (*ROOT.glob("plugins/tokzoo_*/plugin.py"), *ROOT.glob("plugins/*/*/plugin.py"))
)
FOR_PLUGINS = ("contracts", "registry", "data", "nn", "assembly")
TORCH_FREE_ROOMS = ("registry", "recipes", "records", "leaderboard", "scaffold", "cli")
TORCH_FREE = [
    *(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for room in TORCH_FREE_ROOMS
        for path in sorted((ROOT / "tokzoo" / room).rglob("*.py"))
    ),
    "tokzoo.contracts.configs",
    "tokzoo.data.config",
    "tokzoo.data.files",
    "tokzoo.api",
    "tokzoo.bench.plan",
    "tokzoo.bench.run",
]


def imports_no_torch(*modules):
    script = f"import sys, {', '.join(modules)}\nassert 'torch' not in sys.modules, 'torch was imported'"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_imports_run_one_way():
    environment = {**os.environ, "NO_COLOR": "1"}
    script = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True, no_logo=True))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(PROJECT['tool']['importlinter']['contracts'])} kept, 0 broken" in done.stdout


def test_every_room_has_its_layer():
    layers = {name for layer in CONTRACTS["layers"]["layers"] for name in layer.split(" | ")}
    rooms = {f"tokzoo.{path.parent.name}" for path in (ROOT / "tokzoo").glob("*/__init__.py")}
    assert layers == rooms


def test_every_plugin_is_shipped_found_and_held_to_the_rules():
    assert "tokzoo_quantizers" in PLUGINS
    assert {package.name for package in PACKAGES} == {*PLUGINS, "tokzoo_example"}
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == {
        "tokzoo",
        *(f"plugins/{plugin}" for plugin in PLUGINS),
    }
    points = PROJECT["project"]["entry-points"]["tokzoo"]
    assert points == {plugin.removeprefix("tokzoo_"): f"{plugin}.plugin" for plugin in PLUGINS}
    assert PROJECT["tool"]["importlinter"]["root_packages"] == ["tokzoo", *PLUGINS]
    assert CONTRACTS["forbidden"]["forbidden_modules"] == PLUGINS
    assert CONTRACTS["independence"]["modules"] == PLUGINS


def modules_imported(path):
    """The names of the modules a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_plugin_imports_the_lower_rooms_alone(package):
    for path in package.rglob("*.py"):
        for name in modules_imported(path):
            top, *inner = name.split(".")
            assert top in (package.name, "tokzoo") or not top.startswith("tokzoo_"), f"{path} imports {name}"
            assert top != "tokzoo" or not inner or inner[0] in FOR_PLUGINS, f"{path} imports {name}"


def test_the_rooms_without_torch_are_without_torch():
    imports_no_torch("tokzoo", *TORCH_FREE)
