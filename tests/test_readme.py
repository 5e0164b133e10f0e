"""README is kept true: its commands and its plugin are run."""

import io
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pytest
from PIL import Image
from rich.console import Console

from tests.conftest import RECIPES, ROOT
from tokzoo.leaderboard.rows import build_tables
from tokzoo.leaderboard.terminal import print_tables
from tokzoo.recipes.load import load_track
from tokzoo.records.schema import MetricValue, Named, make_record
from tokzoo.registry.plugins import load_registry

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(marker):
    """The text of the code block after ``<!-- marker -->``."""
    found = re.search(rf"<!-- {re.escape(marker)} -->\n```\w*\n(.*?)```", README, re.DOTALL)
    assert found, f"README has no block {marker}"
    return found.group(1)


def commands(start="tokzoo run"):
    """The commands that begin so, of those README shows in shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line for text in blocks for line in text.splitlines()]
    return [line[line.index(start) :] for line in lines if start in line]


AT_80_COLUMNS = {"COLUMNS": "80"}


@pytest.fixture
def photos(tokzoo):
    """A folder of pictures, as README's reader has one."""
    for number in range(40):
        path = tokzoo.folder / "photos" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (60, 40), (number, 0, 0)).save(path)
    return path.parent


@pytest.mark.parametrize("command", commands())
def test_commands_resolve(tokzoo, photos, command):
    (tokzoo.folder / "my.py").write_text(block("file: my.py"), encoding="utf-8")
    env = {**AT_80_COLUMNS, "TOKZOO_CACHE": str(tokzoo.folder / "cache")}
    done = tokzoo(*shlex.split(command)[1:], "--dry-run", env=env)
    assert "nothing was trained" in done.stdout
    kept = "track.dataset.channels=3 regularizers.perceptual=null keeps colour" in done.stderr
    assert kept == ("--data" in command)


def test_pictures_are_encoded_and_decoded_and_a_tokenizer_is_loaded_and_judged(finished, tokzoo, photos):
    (cell,) = (finished.folder / "runs" / "cells").iterdir()
    shutil.copytree(finished.folder / "runs", tokzoo.folder / "runs")
    for command in (*commands("tokzoo encode"), *commands("tokzoo decode")):
        tokzoo(*shlex.split(command.replace("CELL", cell.name))[1:])
    assert len(list((tokzoo.folder / "decoded").iterdir())) == 40
    script = block("python: load").replace("gigatok-2d-nano", "tiny").replace("photo.jpg", "photos/0.jpg")
    (tokzoo.folder / "script.py").write_text(script + "print(codes.shape, images.shape)", encoding="utf-8")
    done = subprocess.run([sys.executable, "script.py"], cwd=tokzoo.folder, capture_output=True, text=True, check=False)
    assert done.stdout == "torch.Size([1, 16]) torch.Size([1, 1, 32, 32])\n", done.stderr
    assert "nothing was trained" in tokzoo("run", "saved/", *tokzoo.tiny[2:], "--dry-run").stdout


def test_its_table_is_what_a_terminal_of_80_columns_shows():
    shown = block("output: run")
    registry = load_registry()
    track = load_track("fashion-quick", registry)
    infos = {info.id: info for slot in track.metrics for info in slot.config.reports}
    numbers: dict[str, list[str]] = {}
    for line in shown.splitlines():
        if line.lstrip().startswith("·"):
            _, recipe, *rest = re.split(r" {2,}", line.strip())
            numbers.setdefault(recipe, []).extend(rest[2:] if rest[0] == "measured" else rest)
    records = []
    for recipe, (*values, bits) in numbers.items():
        metrics = {}
        for metric, text in zip(track.columns, values, strict=True):
            info = infos[metric]
            value = float(text.removesuffix(" k")) * (1000 if text.endswith(" k") else 1)
            about = {"label": info.label, "unit": info.unit, "better": info.better, "digits": info.digits}
            metrics[metric] = MetricValue(value=value, protocol="p", **about)
        content = {"main": track.main, "columns": list(track.columns), "seeds": track.seeds}
        record = make_record(
            status="ok",
            track=Named(name=track.id, hash=re.search(r"\((\w+)\)", shown)[1], content=content),
            recipe=Named(name=recipe, hash=recipe, content={}),
            shapes={"bits_per_image": float(bits)},
            metrics=metrics,
            protocols={"p": {}},
            **{"probe": None, "seed": 0, "versions": {}, "execution": {}, "stages": {}, "not_applicable": []},
        )
        records.append(record)
    console = Console(file=io.StringIO(), width=80, color_system=None)
    print_tables(build_tables(records), console)
    assert "\n".join(map(str.rstrip, console.file.getvalue().splitlines())) == shown.rstrip()


def test_the_plugin_is_listed_and_trains(tokzoo):
    plugin = block("file: my.py")
    assert len([line for line in plugin.splitlines() if line.strip()]) <= 25
    (tokzoo.folder / "my.py").write_text(plugin, encoding="utf-8")
    assert "me/sign" in tokzoo("list", "quantizer", "--plugin", "my.py").stdout
    change = ["--plugin", "my.py", "quantizer.use=me/sign", "regularizers.entropy=null"]
    tokzoo(*tokzoo.tiny, *change)
    (record,) = tokzoo.records()
    assert record["status"] == "ok"
    assert record["versions"]["components"]["quantizer"]["use"] == "me/sign"
    assert record["shapes"]["codes"]["vocab"] == [512]
    # Once its code says something else, what it made is made anew; a comment says nothing else.
    (tokzoo.folder / "my.py").write_text(plugin + "\n# a comment\n", encoding="utf-8")
    assert "tokenizer: cached" in tokzoo(*tokzoo.tiny, *change, "--dry-run").stdout
    (tokzoo.folder / "my.py").write_text(plugin.replace("latent > 0", "latent >= 0"), encoding="utf-8")
    assert "tokenizer: new" in tokzoo(*tokzoo.tiny, *change, "--dry-run").stdout


def test_the_plugin_conforms(tmp_path):
    from tokzoo.registry.plugins import load_registry
    from tokzoo.testing.conformance import Subject, checks_for

    path = tmp_path / "my.py"
    path.write_text(block("file: my.py"), encoding="utf-8")
    registry = load_registry([path])
    subject = Subject.of(registry.components.get("quantizer", "me/sign"), registry.components)
    for check in checks_for("quantizer"):
        check(subject)


def test_the_script_trains(tokzoo):
    script = block("python: script")
    assert 'track="fashion-quick"' in script
    # The same on few images, for a few steps.
    track = f'track={str(RECIPES / "tiny@1.yaml")!r}, changes={{"track.dataset.root": "fashion"}}'
    script = script.replace('track="fashion-quick"', track).replace(
        '"gigatok-2d-nano"', repr(str(RECIPES / "tiny.yaml"))
    )
    (tokzoo.folder / "script.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tokzoo.folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (record,) = tokzoo.records()
    assert record["recipe"]["content"]["regularizers"]["l1"]["use"] == "charbonnier"
    assert "tiny" in done.stdout


def test_the_map_names_every_room():
    rooms = {path.name for path in (ROOT / "tokzoo").iterdir() if (path / "__init__.py").is_file()}
    assert rooms == set(re.findall(r"`tokzoo/(\w+)`", README))


def test_ci_runs_the_test_command_of_readme():
    assert "command: test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "pytest" in block("command: test")


def test_constraints_are_names_and_versions_and_pin_every_dependency():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {}
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", line), line
        name, _, version = line.partition("==")
        pinned[name.lower().replace("_", "-")] = version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[<>=\[; ]", need)[0].lower() for need in needed}
    assert names <= pinned.keys()
