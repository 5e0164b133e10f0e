"""The tutorial is kept true: its files are what ``tokzoo plugins new`` writes, its commands exist, its examples load.

``python tests/test_write_a_plugin.py`` copies the files into it after a template was changed.
"""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import typer
from installing import register

from tokzoo.scaffold.package import write_package

ROOT = Path(__file__).parent.parent
TUTORIAL = ROOT / "docs" / "write-a-plugin.md"
TEXT = TUTORIAL.read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- (file|add|python): (\S+) -->\n```(\w*)\n(.*?)```\n", re.DOTALL)


def blocks(what):
    """The marked code blocks: the file each belongs to, and its text."""
    return [(name, text) for marker, name, _, text in BLOCK.findall(TEXT) if marker == what]


def commands():
    """Every command of a shell block."""
    lines = [line for text in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in text.splitlines()]
    return [shlex.split(line) for line in lines if line]


def with_written_files(text, folder):
    """The tutorial with each file as it is written now."""

    def fresh(match):
        marker, name, language, _ = match.groups()
        if marker != "file":
            return match.group(0)
        return f"<!-- file: {name} -->\n```{language}\n{(folder / name).read_text(encoding='utf-8')}```\n"

    return BLOCK.sub(fresh, text)


class Installed:
    """The tutorial's package, with everything the tutorial adds to it, as an installer would leave it."""

    def __init__(self, folder):
        self.folder = folder
        package = write_package("lattice", "quantizer", folder)
        site = folder / "site"
        register(site, "tokzoo-lattice", {"lattice": "tokzoo_lattice.plugin"}, "0.1.0")
        for name, text in blocks("add"):
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            before = path.read_text(encoding="utf-8") + "\n\n" if path.exists() else ""
            path.write_text(before + text, encoding="utf-8")
        (folder / "my.py").write_text(readme_plugin(), encoding="utf-8")
        self.paths = os.pathsep.join(map(str, (site, package.folder)))

    def __call__(self, *arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": self.paths, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done


def readme_plugin():
    """The file ``my.py`` of README, which the tutorial begins with."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.search(r"<!-- file: my.py -->\n```python\n(.*?)```", readme, re.DOTALL).group(1)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return Installed(tmp_path_factory.mktemp("installed"))


def test_its_files_are_what_is_written(tmp_path):
    package = write_package("lattice", "quantizer", tmp_path)
    shown = {name for name, _ in blocks("file")}
    sources = {f"lattice/{path}" for path in package.files if path.suffix in (".py", ".yaml")}
    assert shown == sources - {"lattice/tokzoo_lattice/__init__.py"}
    assert with_written_files(TEXT, tmp_path) == TEXT, "run python tests/test_write_a_plugin.py"


def test_its_list_of_files_is_whole(tmp_path):
    listed = re.search(r"```text\nlattice/\n(.*?)```", TEXT, re.DOTALL).group(1)
    package = write_package("lattice", "quantizer", tmp_path)
    for path in package.files:
        assert str(path) in listed or path.name == "__init__.py", path


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_its_commands_exist(command):
    """Each is understood by the command line, and none is run."""
    if command[0] in ("pip", "pytest"):
        return
    from tokzoo.cli.main import app

    assert command[0] == "tokzoo"
    group = typer.main.get_command(app)
    name, rest = command[1], command[2:]
    while hasattr(group.commands[name], "commands"):
        group, name, rest = group.commands[name], rest[0], rest[1:]
    # Raises where an option is unknown, a value is of the wrong type, or an argument is missing.
    group.commands[name].make_context(name, rest)


def test_its_runs_fit(installed):
    """One process for all of them, as importing torch takes longest."""
    runs = [[*command[1:], "--dry-run"] for command in commands() if command[:2] == ["tokzoo", "run"]]
    assert len(runs) >= 4
    script = f"from tokzoo.cli.main import app\nfor run in {runs!r}:\n    app(run, standalone_mode=False)\n"
    text = installed("-c", script).stdout
    for recipe in ("gigatok-2d-nano", "lattice-nano", "lattice-nano quantizer.levels=4"):
        assert recipe in text
    assert "4×4 codes of 512, 144 bits" in text
    assert not (installed.folder / "runs").exists()


def test_the_kinds_it_names_are_those_there_are():
    from tokzoo.scaffold.package import KINDS

    table = TEXT.partition("## The other kinds")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(KINDS)


def test_every_hook_has_an_example(installed):
    from tokzoo.registry.offers import HOOKS

    examples = set(re.findall(r"@tokzoo.hookimpl\ndef (\w+)", TEXT))
    # Tracks are folders as recipes are, and another kind's template has one.
    assert examples == set(HOOKS) - {"tokzoo_tracks"}
    assert "`tokzoo_tracks`" in TEXT
    script = (
        "import json\n"
        "from tokzoo.registry.plugins import load_registry\n"
        "from tokzoo.recipes.load import load_suite, plan_recipes\n"
        "registry = load_registry()\n"
        "lattice = next(plugin for plugin in registry.plugins if plugin.name == 'lattice')\n"
        "recipes = [recipe.name for recipe, _ in plan_recipes(load_suite('lattice-levels', registry), registry)]\n"
        "print(json.dumps([lattice.error, lattice.notes, lattice.offers, recipes]))\n"
    )
    error, notes, offers, recipes = json.loads(installed("-c", script).stdout)
    assert error is None
    assert not notes
    assert offers == [
        "quantizer/my/lattice",
        "recipe/lattice-nano",
        "suite/lattice-levels",
        "format/lattice",
        "renderer/names",
    ]
    assert recipes == [f"lattice-nano quantizer.levels={levels}" for levels in (4, 8, 16)]


def test_its_command_and_its_renderer_work(installed):
    assert installed("-m", "tokzoo", "lattice-size", "8", "3").stdout == "512\n"
    script = "from tokzoo_lattice.tables import names\nprint(names([{'rows': [{'recipe': 'a'}, {'recipe': 'b'}]}]))"
    assert installed("-c", script).stdout == "a\nb\n"


def test_its_function_is_a_component(tmp_path):
    from tokzoo.registry.local import local_spec

    ((name, text),) = blocks("python")
    path = tmp_path / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = local_spec(module.charbonnier)
    assert (made.kind, made.name) == ("regularizer", "charbonnier")
    assert made.config(epsilon=0.01).epsilon == 0.01


def main():
    """Copy each file into the tutorial as it is written now."""
    with tempfile.TemporaryDirectory() as folder:
        write_package("lattice", "quantizer", Path(folder))
        TUTORIAL.write_text(with_written_files(TEXT, Path(folder)), encoding="utf-8")


if __name__ == "__main__":
    main()


def test_its_baseline_is_that_of_readme():
    def shown(text):
        rows = [line.split() for line in text.splitlines() if " gigatok-2d-nano  " in line]
        return re.findall(r"fashion-quick@1  \(\w+\)", text), rows

    assert shown(TEXT) == shown((ROOT / "README.md").read_text(encoding="utf-8"))
