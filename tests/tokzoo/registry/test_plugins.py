"""A plugin that is broken in any way is named, offers nothing, and harms nobody else."""

import subprocess
import sys
from textwrap import dedent

import pytest

from tokzoo.contracts.errors import TokzooError
from tokzoo.registry.component import load_target
from tokzoo.registry.plugins import find_file, load_registry

HEAD = """
import tokzoo
class Config(tokzoo.QuantizerConfig):
    def code_spec(self, latent): return tokzoo.CodeSpec(latent.shape, (4,))
def spec(name, kind="quantizer", **more):
    return tokzoo.ComponentSpec(kind, name, Config, "somewhere:Q", "a quantizer", **more)
"""
GOOD = """
@tokzoo.hookimpl
def tokzoo_components():
    return [spec("me/good")]
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """A function from plugin texts (by file name) to the registry that loads these plugins and no other."""
    monkeypatch.setenv("TOKZOO_PLUGINS", "")

    def make(*, strict=False, **texts):
        paths = []
        for name, text in texts.items():
            path = tmp_path / f"{name}.py"
            path.write_text(HEAD + dedent(text))
            paths.append(path)
        return load_registry(paths, strict=strict)

    return make


def names(registry):
    return {f"{entry.spec.kind}/{entry.spec.name}" for entry in registry.components}


BROKEN = {
    "raises at import": ("raise RuntimeError('not today')", "RuntimeError: not today"),
    "does not parse": ("def (", "SyntaxError: "),
    "exits at import": ("import sys; sys.exit('bye')", "SystemExit: bye"),
    "raises what cannot be printed": (
        "class Odd(Exception):\n    def __str__(self): return 1 / 0\nraise Odd",
        "Odd: it cannot be printed (ZeroDivisionError)",
    ),
    "raises half of a surrogate pair": ("raise ValueError('\\ud800')", r"ValueError: \ud800"),
    "imports what is not there": ("import no_such_module", "No module named 'no_such_module'"),
    "raises in a hook": (
        "@tokzoo.hookimpl\ndef tokzoo_components(): raise ValueError('two\\nlines')",
        "tokzoo_components raised ValueError: two lines",
    ),
    "exits in a hook": (
        "@tokzoo.hookimpl\ndef tokzoo_tracks(): raise SystemExit(3)",
        "tokzoo_tracks raised SystemExit: 3",
    ),
    "raises while listing": (
        "@tokzoo.hookimpl\ndef tokzoo_components():\n    yield spec('me/one')\n    raise ValueError('then not')",
        "ValueError: then not",
    ),
    "returns a number": ("@tokzoo.hookimpl\ndef tokzoo_components(): return 5", "tokzoo_components returned 5"),
    "returns one component": (
        "@tokzoo.hookimpl\ndef tokzoo_components(): return spec('me/one')",
        "not a list of ComponentSpec",
    ),
    "returns names": ("@tokzoo.hookimpl\ndef tokzoo_components(): return ['vq']", "tokzoo_components returned 'vq'"),
    "returns no folder": (
        "@tokzoo.hookimpl\ndef tokzoo_recipes(): return 'nowhere'",
        "'nowhere', which is not a folder",
    ),
    "returns a number as folder": ("@tokzoo.hookimpl\ndef tokzoo_suites(): return 5", "tokzoo_suites returned '5'"),
    "returns no renderers": (
        "@tokzoo.hookimpl\ndef tokzoo_renderers(): return ['md']",
        "tokzoo_renderers returned ['md']",
    ),
    "returns a lazy renderer without function": (
        "@tokzoo.hookimpl\ndef tokzoo_renderers(): return {'md': 'module'}",
        "not a dict of names to 'module:function'",
    ),
    "takes the name of a renderer of tokzoo": (
        "@tokzoo.hookimpl\ndef tokzoo_renderers(): return {'csv': 'a:b'}",
        "renderer/csv comes with tokzoo; rename yours",
    ),
    "registers nonsense": (
        "@tokzoo.hookimpl\ndef tokzoo_components(): return [spec('me/one', kind='quantiser')]",
        "component quantiser/me/one: unknown kind; did you mean 'quantizer'?",
    ),
    "misspells a hook": (
        "@tokzoo.hookimpl\ndef tokzoo_componets(): return []",
        "tokzoo_componets: there is no such hook; did you mean 'tokzoo_components'?",
    ),
    "wants an argument the hook has not": (
        "@tokzoo.hookimpl\ndef tokzoo_components(catalogue): return []",
        "'catalogue'",
    ),
    "is written for another API": ("TOKZOO_API = ((7, 0), (8, 0))", "written for tokzoo API (7, 0) to (8, 0); this is"),
    "was written for an older API": ("TOKZOO_API = ((0, 0), (0, 0))", "written for tokzoo API (0, 0) to (0, 0)"),
    "states its API as one version": ("TOKZOO_API = (0, 1)", "TOKZOO_API is (0, 1), not a range such as"),
    "states its API as text": ("TOKZOO_API = '0.1'", "TOKZOO_API is '0.1', not a range"),
    "offers a name twice": (
        "@tokzoo.hookimpl\ndef tokzoo_components(): return [spec('me/one'), spec('me/one')]",
        "offers quantizer/me/one twice",
    ),
}


@pytest.mark.parametrize(("text", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_named_in_one_line_and_the_others_work(load, text, said):
    offered = "@tokzoo.hookimpl\ndef tokzoo_renderers(): return {'left': 'a:b'}\n"
    registry = load(bad=offered * ("tokzoo_renderers" not in text) + text, good=GOOD)
    bad, good = registry.plugins
    assert registry.broken == [bad]
    assert said in bad.error
    assert "\n" not in bad.error
    assert good.error is None
    assert names(registry) == {"quantizer/me/good"}
    assert registry.renderers == {}
    assert [str(path) for path in registry.files] == [good.origin]
    assert [module for _, module in registry.manager.list_name_plugin()] == [good.module]


@pytest.mark.parametrize("text", [BROKEN["raises at import"][0], BROKEN["misspells a hook"][0]])
def test_strict_raises_at_the_first_broken_plugin(load, text):
    with pytest.raises(TokzooError, match=r"plugin bad \(.*bad.py\): "):
        load(bad=text, good=GOOD, strict=True)


def test_a_file_that_failed_leaves_no_module_behind(load):
    before = set(sys.modules)
    load(bad="raise RuntimeError")
    assert set(sys.modules) == before


def test_a_claimed_component_stays_with_the_first_and_both_are_told(load):
    registry = load(first=GOOD, second=GOOD + "\n@tokzoo.hookimpl\ndef tokzoo_renderers(): return {'md': 'a:b'}")
    first, second = registry.plugins
    assert first.error is None
    assert registry.components.get("quantizer", "me/good").plugin == "first"
    assert "quantizer/me/good is already offered by plugin first" in second.error
    assert registry.renderers == {}
    (note,) = first.notes
    assert "plugin second" in note
    assert "claims quantizer/me/good too" in note


@pytest.mark.parametrize("what", ["recipe", "track", "suite"])
def test_a_claimed_file_is_refused_like_a_component(load, tmp_path, what):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine@1.yaml").write_text("name: mine\n")
    text = "from pathlib import Path\n@tokzoo.hookimpl\ndef tokzoo_{}s(): return Path(r'{}')"
    registry = load(first=text.format(what, tmp_path / "one"), second=text.format(what, tmp_path / "two"))
    first, second = registry.plugins
    assert find_file(registry, f"{what}s", "mine@1") == tmp_path / "one" / "mine@1.yaml"
    assert f"{what}/mine@1 is already offered by plugin first" in second.error
    assert f"claims {what}/mine@1 too" in first.notes[0]


def test_a_track_belongs_to_one_plugin_in_all_its_versions(load, tmp_path):
    """Its name alone means its highest version: another plugin must not change what that is."""
    text = "@tokzoo.hookimpl\ndef tokzoo_tracks(): return r'{}'"
    for version in (1, 2):
        (tmp_path / str(version)).mkdir()
        (tmp_path / str(version) / f"mine@{version}.yaml").write_text("name: mine\n")
    registry = load(first=text.format(tmp_path / "1"), second=text.format(tmp_path / "2"))
    assert list(registry.tracks) == ["mine@1"]
    assert "track/mine@2 is already offered by plugin first" in registry.plugins[1].error


def test_what_a_plugin_prints_does_not_mix_with_the_output_of_a_command(load, capsys):
    load(chatty="print('hello from the plugin')\n" + GOOD)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "hello from the plugin\n"


def test_a_claimed_renderer_is_refused(load):
    text = "@tokzoo.hookimpl\ndef tokzoo_renderers(): return {'md': '%s:render'}"
    registry = load(first=text % "one", second=text % "two")
    assert registry.renderers == {"md": "one:render"}
    assert "renderer/md is already offered" in registry.plugins[1].error


def test_a_function_that_looks_like_a_hook_is_noted(load):
    registry = load(
        forgot="def tokzoo_components(): return [spec('me/one')]\ndef tokzoo_componets(): return []\n",
        good=GOOD,
    )
    forgot, good = registry.plugins
    assert forgot.error is None
    assert good.notes == []
    first, second = forgot.notes
    assert "tokzoo_components is never called: it is not marked with @tokzoo.hookimpl" in first
    assert "did you mean 'tokzoo_components'?" in second
    assert names(registry) == {"quantizer/me/good"}


def test_what_was_taken_in_is_listed(load, tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    recipes = f"\n@tokzoo.hookimpl\ndef tokzoo_recipes(): return r'{tmp_path}'"
    (plugin,) = load(good=GOOD + recipes).plugins
    assert plugin.offers == ("quantizer/me/good", "recipe/mine")


def test_an_implementation_may_take_fewer_arguments(load):
    registry = load(
        some="seen = []\n@tokzoo.hookimpl\ndef tokzoo_step_end(step): seen.append(step)",
        none="seen = []\n@tokzoo.hookimpl\ndef tokzoo_step_end(): seen.append('called')",
    )
    registry.notify("tokzoo_step_end", cell="c", stage="ar", step=7, terms={})
    assert [plugin.module.seen for plugin in registry.plugins] == [[7], ["called"]]


@pytest.mark.parametrize("how", ["raise ValueError('oh')", "raise SystemExit(1)"])
def test_an_observer_that_raises_is_reported_and_harmless(load, capsys, how):
    registry = load(
        bad=f"@tokzoo.hookimpl\ndef tokzoo_cell_finished(cell): {how}",
        good="seen = []\n@tokzoo.hookimpl\ndef tokzoo_cell_finished(cell): seen.append(cell)",
    )
    registry.notify("tokzoo_cell_finished", cell="c", record={})
    assert registry.plugins[1].module.seen == ["c"]
    assert capsys.readouterr().err.startswith("plugin bad: tokzoo_cell_finished raised ")


def test_a_broken_plugin_is_not_notified(load):
    text = "seen = []\n@tokzoo.hookimpl\ndef tokzoo_cell_finished(): seen.append(1)\n"
    registry = load(bad=text + "@tokzoo.hookimpl\ndef tokzoo_components(): return 5")
    registry.notify("tokzoo_cell_finished", cell="c", record={})
    assert registry.plugins[0].module is None


def test_a_file_given_twice_is_loaded_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKZOO_PLUGINS", "")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.py"
    path.write_text(HEAD + GOOD)
    registry = load_registry([path, path.relative_to(tmp_path)])
    assert [plugin.error for plugin in registry.plugins] == [None]


def test_files_of_one_name_in_two_folders_are_two_modules(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKZOO_PLUGINS", "")
    paths = [tmp_path / folder / "mine.py" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(HEAD + GOOD.replace("good", path.parent.name))
    registry = load_registry(paths)
    assert names(registry) == {"quantizer/me/a", "quantizer/me/b"}
    configs = [entry.config for entry in registry.components]
    assert [sys.modules[config.__module__].Config for config in configs] == configs


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(TokzooError, match=r"--plugin .*none.py: no such file"):
        load_registry([tmp_path / "none.py"])


def test_the_allow_list_restricts_installed_plugins(monkeypatch):
    monkeypatch.setenv("TOKZOO_PLUGINS", "losses, metrics")
    registry = load_registry()
    assert [plugin.name for plugin in registry.plugins] == ["losses", "metrics"]
    assert {entry.spec.kind for entry in registry.components} == {"regularizer", "metric"}


def test_a_name_on_the_allow_list_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setenv("TOKZOO_PLUGINS", "losses,quantizer")
    registry = load_registry()
    (missing,) = registry.broken
    assert (missing.name, missing.origin) == ("quantizer", "TOKZOO_PLUGINS")
    assert missing.error == "not installed; did you mean 'quantizers'?"


def test_an_unknown_file_name_gets_the_nearest(load, tmp_path):
    (tmp_path / "tiny@1.yaml").write_text("name: tiny\n")
    registry = load(mine=f"@tokzoo.hookimpl\ndef tokzoo_tracks(): return r'{tmp_path}'")
    with pytest.raises(TokzooError, match=r"track 'tiny': unknown; did you mean 'tiny@1'\?"):
        find_file(registry, "tracks", "tiny")


def test_loading_every_installed_plugin_imports_no_config_and_the_configs_import_no_torch():
    script = (
        "import sys\n"
        "from tokzoo.registry.plugins import load_registry\n"
        "registry = load_registry(strict=True)\n"
        "assert len(list(registry.components)) > 10\n"
        "assert not [plugin.notes for plugin in registry.plugins if plugin.notes]\n"
        "assert not [name for name in sys.modules if name.endswith('configs') and name.startswith('tokzoo_')]\n"
        "assert all(entry.config for entry in registry.components)\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_lazy_targets_of_a_file_find_it_by_its_own_name(load):
    registry = load(
        mine="""
        class Q: pass
        @tokzoo.hookimpl
        def tokzoo_components():
            return [tokzoo.ComponentSpec("quantizer", "me/q", "mine:Config", "mine:Q", "a quantizer")]
        @tokzoo.hookimpl
        def tokzoo_renderers(): return {"md": "mine:names", "others": "another:names"}
        """
    )
    module = registry.plugins[0].module
    entry = registry.components.get("quantizer", "me/q")
    assert entry.config is module.Config
    assert load_target(entry.spec) is module.Q
    assert registry.renderers == {"md": f"{module.__name__}:names", "others": "another:names"}


def test_a_plugin_without_hooks_is_told_why_it_offers_nothing(load):
    registry = load(unmarked=GOOD.replace("@tokzoo.hookimpl", ""), empty="", good=GOOD)
    assert [(plugin.name, plugin.nothing) for plugin in registry.idle] == [
        ("unmarked", "offers nothing: tokzoo_components is never called: it is not marked with @tokzoo.hookimpl"),
        ("empty", "offers nothing: nothing in it is marked with @tokzoo.hookimpl"),
    ]
