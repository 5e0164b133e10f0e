"""Plugins as packages, each installed by pip into an environment of its own, from its folder to its row in a table."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.conftest import RECIPES, ROOT, write_small_fashion

EXAMPLE = ROOT / "plugins" / "example-dithered"


class Environment:
    """A virtual environment that shares the packages of this one, so that it takes a second to make."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        venv.create(folder / "venv", symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        variables = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
        own = Path(sysconfig.get_path("purelib", vars=variables))
        shared = sysconfig.get_path("purelib")
        # A line of code and not a path: the shared folder's own .pth files are read too.
        (own / "shared.pth").write_text(f"import site; site.addsitedir({shared!r})\n")
        write_small_fashion(self.folder / "fashion")

    def __call__(self, *arguments: str, code: int = 0, **more: str) -> str:
        environment = {**os.environ, "COLUMNS": "200", **more}
        done = subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def tokzoo(self, *arguments: str, **more) -> str:
        """The command line of this environment."""
        return self("-m", "tokzoo", *arguments, **more)

    def install(self, package: Path) -> None:
        """Install a package as a user does, but for the network."""
        offline = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", "--python", self.python, "install", *offline, package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


TINY = [
    "track.tokenizer.steps=8",
    "track.probe.steps=8",
    "track.dataset.root=fashion",
    "--device",
    "cpu",
    "--jobs",
    "1",
]


@pytest.fixture
def environment(tmp_path):
    return Environment(tmp_path)


def test_the_example_plugin_brings_one_of_everything(environment):
    assert "example" not in {plugin["name"] for plugin in json.loads(environment.tokzoo("plugins", "list", "--json"))}
    environment.install(EXAMPLE)
    shown = environment.tokzoo("plugins", "show", "example")
    for offer in (
        "quantizer/example/dithered",
        "recipe/example-dithered-nano",
        "track/example-minute@1",
        "suite/example",
        "renderer/tsv",
    ):
        assert offer in shown
    assert "0 failed, 0 not run" in environment.tokzoo("plugins", "check", "example")
    assert " passed" in environment("-m", "pytest", "-p", "no:xdist", "--rootdir", str(EXAMPLE), str(EXAMPLE / "tests"))
    assert "levels=8 dim=3  512 codes" in environment.tokzoo("lattices")
    table = environment.tokzoo("run", "example", *TINY, TOKZOO_EXAMPLE_LOG="log.jsonl")
    assert "example-dithered-nano" in table
    finished = [json.loads(line) for line in (environment.folder / "log.jsonl").read_text().splitlines()]
    assert [line["status"] for line in finished] == ["ok", "ok"]
    header, *rows = environment.tokzoo("leaderboard", "show", "--format", "tsv").splitlines()
    assert "reconstruction.psnr" in header.split("\t")
    assert {row.split("\t")[0] for row in rows} == {"example-dithered-nano", "gigatok-2d-nano"}


def test_from_an_empty_folder_to_a_row_of_the_leaderboard(environment):
    environment.tokzoo("plugins", "new", "lattice", "--kind", "quantizer")
    environment.install(environment.folder / "lattice")
    assert "my/lattice" in environment.tokzoo("list", "quantizer")
    assert "0 failed, 0 not run" in environment.tokzoo("plugins", "check", "lattice")
    assert " passed" in environment("-m", "pytest", "-p", "no:xdist", "lattice")
    track = ["--track", str(RECIPES / "tiny@1.yaml")]
    environment.tokzoo("run", "gigatok-2d-nano", "lattice-nano", *track, *TINY)
    (table,) = json.loads(environment.tokzoo("leaderboard", "show", "--json"))
    rows = {row["recipe"]: row for row in table["rows"]}
    assert rows.keys() == {"gigatok-2d-nano", "lattice-nano"}
    known = zip(table["columns"], rows["lattice-nano"]["values"], strict=True)
    measured = {column["metric"] for column, value in known if value is not None}
    assert measured >= {"reconstruction.psnr", "ar.bits_per_image"}
    (record,) = [
        json.loads(path.read_text())
        for path in (environment.folder / "runs" / "records").glob("*.json")
        if "lattice-nano" in path.read_text()
    ]
    assert record["versions"]["components"]["quantizer"]["use"] == "my/lattice"
    assert record["versions"]["components"]["quantizer"]["plugin"] == "lattice"
