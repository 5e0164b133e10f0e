"""Plugins as their users meet them: installed, looked at, checked, and harmless where they are broken."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from installing import install, install_quantizer, register

HEAD = "import tokzoo\n"
COMPONENT = """
class Config(tokzoo.QuantizerConfig):
    def wants(self, layout): return 4
    def code_spec(self, latent): return tokzoo.CodeSpec(latent.shape, (16,))
@tokzoo.hookimpl
def tokzoo_components():
    return [tokzoo.ComponentSpec({kind!r}, {name!r}, Config, {target!r}, "a quantizer")]
"""
OBSERVER = "@tokzoo.hookimpl\ndef tokzoo_cell_finished(cell): raise ValueError('cannot watch')"
COMMANDS = "@tokzoo.hookimpl\ndef tokzoo_commands(app): raise ValueError('no commands today')"
AT_LOADING = {
    "import": ("raise RuntimeError('not today')", "plugin import (import) is left out: RuntimeError: not today"),
    "exit": ("import sys\nprint('bye')\nsys.exit(1)", "plugin exit (exit) is left out: SystemExit: 1"),
    "interrupt": ("raise KeyboardInterrupt", "plugin interrupt (interrupt) is left out: KeyboardInterrupt: no message"),
    "nonsense": (
        COMPONENT.format(kind="quantiser", name="me/q", target="m:Q"),
        "plugin nonsense (nonsense) is left out: component quantiser/me/q: unknown kind; did you mean 'quantizer'?",
    ),
    "hook": (
        "@tokzoo.hookimpl\ndef tokzoo_tracks(): raise KeyError('tracks')",
        "plugin hook (hook) is left out: tokzoo_tracks raised KeyError: 'tracks'",
    ),
    "misspelt": (
        "@tokzoo.hookimpl\ndef tokzoo_recipe(): return '.'",
        "plugin misspelt (misspelt) is left out: tokzoo_recipe: there is no such hook; did you mean 'tokzoo_recipes'?",
    ),
    "clash": (
        COMPONENT.format(kind="quantizer", name="vq", target="m:Q"),
        "plugin clash (clash) is left out: quantizer/vq is already offered by plugin quantizers (tokzoo); rename yours",
    ),
}
LATER = {
    "observer": OBSERVER,
    "commands": COMMANDS,
    "shapes": COMPONENT.format(kind="quantizer", name="bad/shapes", target="build_parts:Q").replace(
        "return tokzoo.CodeSpec", "return print('loud') or 1 / 0 or tokzoo.CodeSpec"
    ),
    "validator": COMPONENT.format(kind="quantizer", name="bad/validator", target="build_parts:Q").replace(
        "def wants", "def model_post_init(self, context): raise KeyError('no such level')\n    def wants"
    ),
    "build": COMPONENT.format(kind="quantizer", name="bad/q", target="build_parts:Q"),
}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder that is on PYTHONPATH, to install into."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH")))))
    return folder


def install_broken(site):
    """A plugin for each way to be broken."""
    for name, (text, _) in AT_LOADING.items():
        install(site, name, HEAD + text)
    for name, text in LATER.items():
        install(site, name, HEAD + text)
    register(site, "tokzoo", {"impostor": "plugin_import"})
    (site / "build_parts.py").write_text(
        "import tokzoo\nclass Q(tokzoo.Quantizer):\n"
        "    def __init__(self, config, latent): raise ValueError('no codebook today')\n"
        "    def forward(self, latent): ...\n    def decode(self, codes): ...\n"
    )


def test_broken_plugins_leave_the_quickstart_working(tokzoo, site):
    install_broken(site)
    track = tokzoo.tiny[2:-4]
    done = tokzoo("run", "quickstart", *track, "track.tokenizer.steps=6", "track.probe.steps=6", "--jobs", "2")
    assert [record["status"] for record in tokzoo.records()] == ["ok", "ok"]
    lines = done.stderr.splitlines()
    impostor = f"plugin impostor ({site}) is left out: its distribution is called tokzoo, as tokzoo's own is; give it "
    assert f"{impostor}another name" in lines
    for _, told in AT_LOADING.values():
        assert lines.count(told) == 1
    assert lines.count("plugin observer: tokzoo_cell_finished raised ValueError: cannot watch") == 2
    assert "bye" in lines
    assert "bye" not in done.stdout


def test_a_component_that_cannot_be_built_is_a_failed_cell_with_one_line(tokzoo, site):
    install_broken(site)
    done = tokzoo(*tokzoo.tiny, "quantizer=bad/q", "regularizers.entropy=null", code=1)
    (record,) = tokzoo.records()
    told = "quantizer 'bad/q' (plugin build) cannot be built: ValueError: no codebook today"
    assert record["failure"]["message"] == told
    assert told in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("bad/shapes", "quantizer 'bad/shapes' (plugin shapes) raised ZeroDivisionError: division by zero"),
        ("bad/validator", "quantizer 'bad/validator' (plugin validator): its config raised KeyError: 'no such level'"),
    ],
)
def test_a_config_that_raises_is_told_in_one_line_before_anything_runs(tokzoo, site, name, told):
    install_broken(site)
    done = tokzoo(*tokzoo.tiny, f"quantizer={name}", code=2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tokzoo.folder / "runs").exists()


def test_help_shows_plugins_commands_and_none_in_the_place_of_ours(tokzoo, site):
    install_broken(site)
    greet = (
        "@tokzoo.hookimpl\ndef tokzoo_commands(app):\n"
        "    @app.command()\n    def greet(name: str):\n        'Say hello.'\n        print('hello', name)\n"
        "    @app.command('run')\n    def mine(): print('mine')\n"
    )
    install(site, "greeter", HEAD + greet)
    install(
        site,
        "typeless",
        HEAD + "@tokzoo.hookimpl\ndef tokzoo_commands(app):\n    @app.command()\n    def x(a: list[list[int]]): ...\n",
    )
    done = tokzoo("--help")
    assert "Say hello." in done.stdout
    assert "Train, judge and rank tokenizers." in done.stdout
    assert "plugin commands: tokzoo_commands raised ValueError: no commands today" in done.stderr
    assert "plugin greeter: its command 'run' is left out: tokzoo has one of that name" in done.stderr
    assert "plugin typeless: its commands are left out: " in done.stderr
    assert tokzoo("greet", "you").stdout == "hello you\n"
    assert "No such command" in tokzoo("greeet", code=2).stderr


def test_list_and_show_tell_what_a_plugin_offers(tokzoo, site):
    install_broken(site)
    install_quantizer(site, "third")
    about = {plugin["name"]: plugin for plugin in json.loads(tokzoo("plugins", "list", "--json").stdout)}
    assert about["third"]["offers"] == ["quantizer/third/third"]
    assert about["third"]["api"] == [[0, 2], [0, 2]]
    assert about["third"]["hooks"] == ["tokzoo_components"]
    assert about["hook"]["error"] == "tokzoo_tracks raised KeyError: 'tracks'"
    assert "claims quantizer/vq too" in about["quantizers"]["notes"][0]
    shown = tokzoo("plugins", "show", "third").stdout
    assert "written for (0, 2) to (0, 2)" in shown
    assert "quantizer/third/third a quantizer" in shown
    assert "did you mean 'third'?" in tokzoo("plugins", "show", "thrid", code=2).stderr
    assert "third/third" in tokzoo("list", "quantizers", "third/*").stdout
    assert "no name matches 'fourth/*'" in tokzoo("list", "quantizers", "fourth/*", code=2).stderr


def test_doctor_finds_what_is_broken_and_what_is_slow(tokzoo, site):
    (site / "heavy.py").write_text(
        "import time\nend = time.process_time() + 1\nwhile time.process_time() < end: pass\n"
    )
    install(site, "slow", "import heavy\nimport tokzoo\n")
    install(site, "torchy", "import torch\nimport tokzoo\n")
    install_quantizer(site, "third")
    (site / "plugin_third_configs.py").unlink()
    install(site, "import", AT_LOADING["import"][0])
    command = [sys.executable, "-m", "tokzoo", "plugins", "doctor", "--traceback"]
    wide = {**os.environ, "COLUMNS": "300"}
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=wide)
    done = found.stdout
    assert found.returncode == 1
    assert "!  import (import 1.0)" in done
    assert "RuntimeError: not today" in done
    assert "to load, which every command waits for" in done
    assert "slowest imports: heavy" in done
    assert "imports torch when it is loaded" in done
    for what in ("configs:Config", "modules:Quantizer"):
        assert f"component quantizer/third/third: cannot load plugin_third_{what}" in done
    assert "ok quantizers (tokzoo" in done
    assert 'plugin_import.py", line 1' in done


def test_doctor_has_nothing_to_say_of_our_own(tokzoo):
    lines = tokzoo("plugins", "doctor").stdout.splitlines()
    assert len(lines) == 8
    assert all(line.startswith("ok ") for line in lines)


def test_check_runs_the_kit(tokzoo, site):
    assert "no plugins are installed besides tokzoo's own" in tokzoo("plugins", "check", code=2).stderr
    install_quantizer(site, "third")
    done = tokzoo("plugins", "check", code=1).stdout
    assert "target is of its kind: component quantizer/third/third: cannot load plugin_third_modules:Quantizer" in done
    findings = json.loads(tokzoo("plugins", "check", "quantizer/fsq", "--json").stdout)
    assert {finding["component"] for finding in findings} == {"quantizer/fsq"}
    assert {finding["result"] for finding in findings} == {"passed"}
    assert len(findings) > 10
    done = tokzoo("plugins", "check", "dataset/images", "root=none").stdout
    assert done.count("no such folder") == 1
    assert "not run  images are as promised, and what follows: dataset images: root none: no such folder" in done
    done = tokzoo("plugins", "check", "quantizer/fsq", "levelz=3", code=1).stdout
    assert "did you mean 'levels'?" in done
    assert "KEY=VALUE is for a single component" in tokzoo("plugins", "check", "third", "dim=3", code=2).stderr


def test_a_file_that_was_asked_for_by_name_is_no_less_than_loaded(tokzoo):
    (tokzoo.folder / "bad.py").write_text("raise RuntimeError('not today')\n")
    (tokzoo.folder / "unmarked.py").write_text("def tokzoo_components(): return []\n")
    told = tokzoo("list", "quantizer", "--plugin", "bad.py", code=2).stderr
    assert told == f"error: --plugin {tokzoo.folder}/bad.py: RuntimeError: not today\n"
    told = tokzoo("list", "quantizer", "--plugin", "unmarked.py").stderr
    assert told.startswith(f"plugin unmarked ({tokzoo.folder}/unmarked.py) offers nothing: tokzoo_components is never")
    told = tokzoo("plugins", "check", "lattice", code=2).stderr
    assert "plugin 'lattice': not installed; install its package first (pip install -e FOLDER)" in told


def test_check_solves_the_recipes_and_suites_that_a_plugin_ships(tokzoo):
    unfit = "extends: gigatok-2d-nano\ndecoder: {use: gigatok-qformer, size: tiny}\n"
    files = {
        "recipes/fits.yaml": "extends: gigatok-2d-nano\n",
        "recipes/unfit.yaml": unfit,
        "suites/all.yaml": "recipes: [fits, unfit]\ntrack: fashion-quick\n",
    }
    for name, text in files.items():
        path = tokzoo.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    hooks = "".join(
        f"@tokzoo.hookimpl\ndef tokzoo_{what}(): return {str(tokzoo.folder / what)!r}\n"
        for what in ("recipes", "suites")
    )
    (tokzoo.folder / "mine.py").write_text(f"import tokzoo\n{hooks}")
    done = tokzoo("plugins", "check", "--plugin", "mine.py", "--json", code=1)
    found = {each["component"]: each for each in json.loads(done.stdout)}
    assert found["recipe/fits"]["result"] == "passed"
    assert found["recipe/unfit"]["message"].startswith("it fits together on no track: quantizer → decoder")
    assert found["suite/all"]["message"].startswith(
        "unfit does not fit together on fashion-quick@1: quantizer → decoder"
    )


def test_check_says_of_a_hook_without_its_mark_what_is_amiss(tokzoo):
    (tokzoo.folder / "mine.py").write_text("def tokzoo_components(): return []\n")
    lines = tokzoo("plugins", "check", "--plugin", "mine.py", code=1).stdout.splitlines()
    said = "loads without warnings: tokzoo_components is never called: it is not marked with @tokzoo.hookimpl"
    assert f"  failed   {said}" in lines


def test_a_renderer_of_a_plugin_prints_the_table(finished):
    Path(finished.folder / "tsv.py").write_text(
        "import tokzoo\n"
        "def tsv(tables):\n"
        "    return '\\n'.join(f\"{row['recipe']}\\t{row['bits_per_image']}\" for row in tables[0]['rows'])\n"
        "def broken(tables): return tables[0]['nothing']\n"
        "@tokzoo.hookimpl\n"
        "def tokzoo_renderers(): return {'tsv': f'{__name__}:tsv', 'broken': f'{__name__}:broken'}\n"
    )
    show = ["leaderboard", "show", "--plugin", "tsv.py", "--format"]
    assert finished(*show, "tsv").stdout == "tiny\t96.0\n"
    assert "did you mean 'tsv'?" in finished(*show, "tsvv", code=2).stderr
    assert "renderer broken (plugin tsv): KeyError: 'nothing'" in finished(*show, "broken", code=2).stderr
