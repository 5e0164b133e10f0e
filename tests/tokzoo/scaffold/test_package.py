"""``tokzoo plugins new``: what it writes is right from the start, and where it refuses it writes nothing."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from installing import register

from tests.conftest import ROOT
from tokzoo.contracts.errors import TokzooError
from tokzoo.scaffold.package import KINDS, LONGEST, TEMPLATES, TOKZOO_API, write_package

NAMES = {
    "encoder": "patches",
    "quantizer": "lattice",
    "decoder": "squares",
    "regularizer": "robust",
    "ar": "gated",
    "dataset": "shapes",
    "teacher": "cosines",
    "metric": "levels",
}
"""A name for a package of each kind."""


class Written:
    """A package of every kind, as an installer would leave them: folders for PYTHONPATH, and metadata."""

    def __init__(self, folder):
        self.folder = folder
        self.packages = {kind: write_package(name, kind, folder) for kind, name in NAMES.items()}
        self.site = folder / "site"
        for package in self.packages.values():
            install(package, self.site)

    def run(self, *arguments):
        """A Python process in which all of them are installed."""
        paths = [self.site, *(package.folder for package in self.packages.values()), ROOT]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


def install(package, site):
    """Write the metadata by which an installed package is found, read off its pyproject."""
    project = tomllib.loads((package.folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    register(site, project["name"], project["entry-points"]["tokzoo"])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return Written(tmp_path_factory.mktemp("written"))


def ruff(folder, *arguments):
    """Run ruff in a folder, by our rules and by those the package brings."""
    ours = ["--config", str(ROOT / "pyproject.toml")]
    for config in ([], ours):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--no-cache", *config, "."],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{config}\n{done.stdout}{done.stderr}"


def test_every_kind_has_a_template():
    assert NAMES.keys() == KINDS.keys()
    assert {path.name for path in TEMPLATES.iterdir()} == {"common", *KINDS}
    # A template is neither Python for linters nor a test for pytest.
    assert all(path.suffix == ".tmpl" for path in TEMPLATES.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written(written, kind):
    package = written.packages[kind]
    name, module = NAMES[kind], f"tokzoo_{NAMES[kind]}"
    found = {path.relative_to(package.folder) for path in package.folder.rglob("*") if path.is_file()}
    assert found == set(package.files)
    offered = {"dataset": f"tracks/{name}-quick@1", "metric": f"tracks/{name}-quick@1"}.get(
        kind, f"recipes/{name}-nano"
    )
    assert {str(path) for path in found} == {
        "pyproject.toml",
        "README.md",
        ".gitignore",
        ".github/workflows/ci.yml",
        "tests/test_conformance.py",
        *(f"{module}/{file}" for file in ("__init__.py", "plugin.py", "configs.py", f"{name}.py", f"{offered}.yaml")),
    }
    for path in found:
        text = (package.folder / path).read_text(encoding="utf-8")
        assert text.endswith("\n")
        assert str(written.folder) not in text
        assert "$" not in text
        if path.suffix == ".py":
            compile(text, str(path), "exec")
    assert (package.plugin, package.distribution, package.package) == (name, f"tokzoo-{name}", module)
    assert package.component == f"my/{name}"


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_clean(written, kind):
    folder = written.packages[kind].folder
    ruff(folder, "check")
    ruff(folder, "format", "--check")


@pytest.mark.parametrize("name", ["ab", "q" * LONGEST, f"{'q' * 9}-{'2' * (LONGEST - 10)}"])
def test_it_is_clean_whatever_the_length_of_its_name(tmp_path, name):
    assert len(name) in (2, LONGEST)
    for kind in KINDS:
        folder = write_package(f"{'g' * len(name)}/{name}", kind, tmp_path / kind).folder
        folder.rename(tmp_path / f"of-{kind}")
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_they_load_without_torch_and_say_nothing(written):
    script = (
        "import json, sys\n"
        "from tokzoo.registry.plugins import load_registry\n"
        "found = load_registry(strict=True).plugins\n"
        "assert 'torch' not in sys.modules\n"
        "print(json.dumps({plugin.name: [plugin.api, plugin.notes, plugin.offers] for plugin in found}))"
    )
    done = written.run("-c", script)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    for kind, package in written.packages.items():
        api, notes, offers = loaded[package.plugin]
        assert api == [list(TOKZOO_API)] * 2
        assert not notes
        assert offers[0] == f"{kind}/{package.component}"
        assert len(offers) == 2


def test_each_can_be_run_as_its_readme_says(written):
    """Every shape fits; one process, as importing torch takes longest."""
    commands = []
    for package in written.packages.values():
        readme = (package.folder / "README.md").read_text(encoding="utf-8")
        shown = re.findall(r"^tokzoo run (.*)$", readme, re.MULTILINE)
        assert shown == [package.trial]
        workflow = (package.folder / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
        assert f"tokzoo run {package.trial} --dry-run" in workflow
        assert package.component in " ".join(path.read_text() for path in package.folder.rglob("*.yaml"))
        commands.append(["run", *shlex.split(package.trial), "--dry-run", "--out", "nowhere"])
    script = (
        "from tokzoo.cli.main import app\n"
        f"for command in {commands!r}:\n"
        "    app(command, standalone_mode=False)\n"
        "    print('fits', *command)\n"
    )
    done = written.run("-c", script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("fits run") == len(KINDS)
    assert "warning:" not in done.stderr


def test_their_own_tests_pass(written):
    """The conformance kit, through the test file that each package brings."""
    folders = [str(package.folder) for package in written.packages.values()]
    options = ["-p", "no:cacheprovider", "-p", "no:xdist", "--import-mode=importlib", "-q", "--rootdir", "."]
    done = written.run("-m", "pytest", *options, "-c", "/dev/null", *folders)
    assert done.returncode == 0, done.stdout + done.stderr
    counted = re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)
    assert counted, done.stdout
    assert int(counted.group(1)) >= 5 * len(KINDS)
    assert "skipped" not in done.stdout


@pytest.mark.parametrize(
    ("name", "distribution", "module", "component", "folder"),
    [
        ("lattice", "tokzoo-lattice", "tokzoo_lattice", "my/lattice", "lattice"),
        ("tokzoo-lattice", "tokzoo-lattice", "tokzoo_lattice", "my/lattice", "tokzoo-lattice"),
        ("tokzoo_lattice", "tokzoo-lattice", "tokzoo_lattice", "my/lattice", "tokzoo_lattice"),
        ("fine_lattice", "tokzoo-fine-lattice", "tokzoo_fine_lattice", "my/fine-lattice", "fine_lattice"),
        ("acme/lattice", "tokzoo-acme-lattice", "tokzoo_lattice", "acme/lattice", "lattice"),
        (
            "acme/tokzoo-fine-lattice",
            "tokzoo-acme-fine-lattice",
            "tokzoo_fine_lattice",
            "acme/fine-lattice",
            "tokzoo-fine-lattice",
        ),
    ],
)
def test_names(tmp_path, name, distribution, module, component, folder):
    package = write_package(name, "quantizer", tmp_path / "there" / "is" / "no-such-folder")
    assert (package.distribution, package.package, package.component) == (distribution, module, component)
    assert package.folder.name == folder
    assert (package.folder / module / "plugin.py").is_file()
    told = "name of your group" in (package.folder / "README.md").read_text(encoding="utf-8")
    assert told == component.startswith("my/")
    # A temporary folder is its owner's alone; this one is as readable as any.
    assert package.folder.stat().st_mode == package.folder.parent.stat().st_mode


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("lattice", "quantiser", "--kind quantiser: unknown; did you mean 'quantizer'?"),
        ("Lattice", "quantizer", "'Lattice'.*lower-case"),
        ("a/b/c", "quantizer", "'a/b/c'.*lower-case"),
        ("../lattice", "quantizer", "'../lattice'.*lower-case"),
        ("", "quantizer", "''.*lower-case"),
        ("3d-lattice", "quantizer", "begins with a letter"),
        ("q", "quantizer", "two or more"),
        ("q" * (LONGEST + 1), "quantizer", "at most"),
        ("class", "quantizer", "'class': a word of the Python language"),
        ("none", "quantizer", "'none': a word of the Python language"),
        ("configs", "quantizer", "'configs': the package has a part of that name"),
        ("data", "dataset", "tokzoo_data is the name of a plugin of tokzoo already"),
        ("me/losses", "regularizer", "tokzoo_losses is the name of a plugin of tokzoo already"),
        ("fashion", "dataset", "track/fashion-quick@1 is already offered by plugin data"),
        ("gigatok-2d", "quantizer", "recipe/gigatok-2d-nano is already offered by plugin gigatok"),
    ],
)
def test_refusals_leave_nothing_behind(tmp_path, name, kind, message):
    with pytest.raises(TokzooError, match=message) as refused:
        write_package(name, kind, tmp_path / "into")
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_left_as_it_is(tmp_path):
    (tmp_path / "lattice").mkdir()
    (tmp_path / "lattice" / "thesis.tex").write_text("years of work")
    with pytest.raises(TokzooError, match="is there already, and not empty"):
        write_package("lattice", "quantizer", tmp_path)
    (tmp_path / "file").write_text("a file")
    with pytest.raises(TokzooError, match="is there already"):
        write_package("file", "quantizer", tmp_path)
    with pytest.raises(TokzooError, match="cannot be written"):
        write_package("lattice", "quantizer", tmp_path / "file")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "file",
        "lattice",
        "lattice/thesis.tex",
    ]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "lattice").mkdir()
    assert write_package("lattice", "quantizer", tmp_path).folder == tmp_path / "lattice"
    assert [path.name for path in tmp_path.iterdir()] == ["lattice"]


def test_nothing_is_half_written(tmp_path, monkeypatch):
    written = []

    def write_text(self, text, **options):
        written.append(self)
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        return original(self, text, **options)

    original = Path.write_text
    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(TokzooError, match="No space left on device"):
        write_package("lattice", "quantizer", tmp_path)
    assert len(written) == 4
    assert not list(tmp_path.iterdir())


def test_templates_import_only_what_stays():
    """What docs/compatibility.md covers: what tokzoo exports, its contracts, its blocks, and the kit."""
    for path in TEMPLATES.rglob("*.tmpl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            found = re.match(r"(?:from|import) tokzoo\.(\w+)", line)
            assert not found or found[1] in ("contracts", "nn", "testing"), f"{path}: {line}"
