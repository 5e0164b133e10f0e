"""README is kept true: its commands and its plugin are run."""

import re
import shlex
import subprocess
import sys
import tomllib

import pytest

from tests.conftest import RECIPES, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(marker):
    """The text of the code block after ``<!-- marker -->``."""
    found = re.search(rf"<!-- {re.escape(marker)} -->\n```\w*\n(.*?)```", README, re.DOTALL)
    assert found, f"README has no block {marker}"
    return found.group(1)


def commands():
    """Every ``tokzoo`` command README shows in a shell block."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line for text in blocks for line in text.splitlines()]
    return [line[line.index("tokzoo run") :] for line in lines if "tokzoo run" in line and "--data" not in line]


@pytest.mark.parametrize("command", commands())
def test_commands_resolve(tokzoo, command):
    (tokzoo.folder / "my.py").write_text(block("file: my.py"), encoding="utf-8")
    text = tokzoo(*shlex.split(command)[1:], "--dry-run").stdout
    assert "nothing was trained" in text


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
