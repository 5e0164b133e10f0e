"""docs/compatibility.md holds: what it says of versions is so, and what plugins rely on stays while the version does.

``python tests/test_compatibility.py`` writes down what a new API version consists of.
"""

import dataclasses
import importlib
import inspect
import json
import pkgutil
import re
import tomllib
from pathlib import Path
from textwrap import dedent

import pytest

import tokzoo
import tokzoo.nn
from tokzoo.contracts import capabilities, configs, formats, interfaces, outputs, specs
from tokzoo.registry import component, hookspecs
from tokzoo.registry.plugins import load_registry

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
SURFACE = ROOT / "tests" / "data" / "api" / f"{'.'.join(map(str, tokzoo.TOKZOO_API))}.json"
MODULES = (capabilities, configs, formats, interfaces, outputs, specs, component)
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("tokzoo_")}


def parameters(function):
    """The parameters of a function, each with whether it must be given."""
    found = inspect.signature(function).parameters.values()
    return {each.name: each.default is each.empty for each in found if each.name not in ("self", "cls")}


def shape_of(cls):
    """What one can rely on in a class: its fields, methods, and what must be written."""
    if dataclasses.is_dataclass(cls):
        missing = dataclasses.MISSING
        fields = {f.name: f.default is missing and f.default_factory is missing for f in dataclasses.fields(cls)}
    else:
        fields = {name: field.is_required() for name, field in getattr(cls, "model_fields", {}).items()}
    ours = [base for base in cls.__mro__ if base.__module__.startswith("tokzoo.")]
    members = {name: member for base in reversed(ours) for name, member in vars(base).items()}
    public = {name: member for name, member in members.items() if not name.startswith("_") and name not in fields}
    functions = {name: getattr(cls, name) for name, member in public.items() if inspect.isroutine(member)}
    own_init = "__init__" in {name for base in ours for name in vars(base)} and not dataclasses.is_dataclass(cls)
    return {
        "fields": fields,
        "properties": sorted(name for name, member in public.items() if isinstance(member, property)),
        "methods": {name: parameters(function) for name, function in functions.items()},
        "made_by": parameters(cls) if own_init else {},
        "required": sorted({*getattr(cls, "__abstractmethods__", ()), *_bare_class_vars(cls)}),
    }


def _bare_class_vars(cls):
    """The class variables a config must define."""
    return {name for name in getattr(cls, "__class_vars__", ()) if not hasattr(cls, name)}


def surface():
    """All that plugins are written against."""
    classes = {
        f"{module.__name__}.{name}": shape_of(cls)
        for module in MODULES
        for name, cls in vars(module).items()
        if inspect.isclass(cls) and cls.__module__ == module.__name__ and not name.startswith("_")
    }
    hooks = {name: list(parameters(hook)) for name, hook in HOOKS.items()}
    names = {"names": sorted(tokzoo.__all__), "kinds": list(configs.KINDS)}
    return {"hooks": hooks, **names, "classes": classes, "blocks": dict(blocks())}


def blocks():
    """The functions and classes of ``tokzoo.nn``, and what they are called with."""
    for found in pkgutil.iter_modules(tokzoo.nn.__path__, "tokzoo.nn."):
        for name, block in vars(importlib.import_module(found.name)).items():
            if getattr(block, "__module__", "") == found.name and not name.startswith("_"):
                yield f"{found.name}.{name}", called_with(block)


def called_with(block):
    """The parameters of a function or class; of a config its fields, whose signature stands only once it is used."""
    fields = getattr(block, "model_fields", None)
    return parameters(block) if fields is None else {name: field.is_required() for name, field in fields.items()}


def broken(before, now):
    """A line for each thing that a plugin written for ``before`` may fail at."""
    for hook, names in before["hooks"].items():
        if hook not in now["hooks"] or not set(names) <= set(now["hooks"][hook]):
            yield f"hook {hook} is gone, or an argument of it"
    for what in ("names", "kinds", "blocks"):
        yield from (f"{what}: {name} is gone" for name in set(before[what]) - set(now[what]))
    for name in before["blocks"].keys() & now["blocks"].keys():
        yield from _broken_order(name, before["blocks"][name], now["blocks"][name])
    for name, old in before["classes"].items():
        if name not in now["classes"]:
            yield f"{name} is gone"
        else:
            yield from (f"{name}: {line}" for line in _broken_class(old, now["classes"][name]))


def _broken_class(old, new):
    yield from _broken_order("fields", old["fields"], new["fields"])
    yield from _broken_order("arguments", old["made_by"], new["made_by"])
    yield from (f"property {name} is gone" for name in set(old["properties"]) - set(new["properties"]))
    yield from (f"{name} must now be written" for name in set(new["required"]) - set(old["required"]))
    for method, given in old["methods"].items():
        if method not in new["methods"]:
            yield f"method {method} is gone"
        else:
            yield from _broken_order(f"{method}()", given, new["methods"][method])


def _broken_order(what, old, new):
    """What is added comes last and has a default."""
    if list(new)[: len(old)] != list(old):
        yield f"{what}: {', '.join(old)} became {', '.join(new)}"
    yield from (f"{what}: {name} must now be given" for name, needed in new.items() if needed and not old.get(name))


def test_nothing_plugins_rely_on_has_changed_without_a_new_version():
    assert SURFACE.is_file(), "a new API version: write it down by python tests/test_compatibility.py"
    changes = list(broken(json.loads(SURFACE.read_text(encoding="utf-8")), surface()))
    assert not changes, "raise the minor of TOKZOO_API (docs/compatibility.md says when):\n" + "\n".join(changes)


BREAKS = {
    "a hook goes": lambda s: s["hooks"].pop("tokzoo_tracks"),
    "an argument goes": lambda s: s["hooks"]["tokzoo_step_end"].remove("terms"),
    "a name goes": lambda s: s["names"].remove("Quantizer"),
    "a block goes": lambda s: s["blocks"].pop("tokzoo.nn.rms_norm.RMSNorm"),
    "a block needs more": lambda s: s["blocks"]["tokzoo.nn.rms_norm.RMSNorm"].update(more=True),
    "a class goes": lambda s: s["classes"].pop("tokzoo.contracts.outputs.View"),
    "a field goes": lambda s: s["classes"]["tokzoo.contracts.outputs.View"]["fields"].pop("target"),
    "a field must be given": lambda s: s["classes"]["tokzoo.contracts.outputs.View"]["fields"].update(more=True),
    "a default goes": lambda s: s["classes"]["tokzoo.contracts.outputs.Quantized"]["fields"].update(losses=True),
    "a method goes": lambda s: s["classes"]["tokzoo.contracts.interfaces.Quantizer"]["methods"].pop("after_step"),
    "a method must be written": lambda s: s["classes"]["tokzoo.contracts.interfaces.Encoder"]["required"].append("x"),
    "a property goes": lambda s: s["classes"]["tokzoo.contracts.specs.CodeSpec"]["properties"].remove("levels"),
    "a parameter is renamed": lambda s: s["classes"]["tokzoo.contracts.interfaces.Quantizer"]["methods"].update(
        decode={"indices": True}
    ),
    "a module is made otherwise": lambda s: s["classes"]["tokzoo.contracts.interfaces.Teacher"].update(
        made_by={"config": True, "image": True, "device": True}
    ),
}
HARMLESS = {
    "a hook comes": lambda s: s["hooks"].update(tokzoo_new=[]),
    "an argument comes": lambda s: s["hooks"]["tokzoo_step_end"].insert(0, "seconds"),
    "a name comes": lambda s: s["names"].append("New"),
    "a field with a default comes": lambda s: s["classes"]["tokzoo.contracts.outputs.View"]["fields"].update(
        more=False
    ),
    "a method with a body comes": lambda s: s["classes"]["tokzoo.contracts.interfaces.Quantizer"]["methods"].update(
        new={}
    ),
    "a method is no longer required": lambda s: s["classes"]["tokzoo.contracts.interfaces.Encoder"].update(required=[]),
}


@pytest.mark.parametrize("change", BREAKS.values(), ids=BREAKS)
def test_a_break_is_seen(change):
    now = surface()
    change(now)
    assert list(broken(surface(), now))


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_growth_breaks_nothing(change):
    now = surface()
    change(now)
    assert not list(broken(surface(), now))


def test_the_page_names_the_versions_there_are():
    from tokzoo.data.codes import FORMAT as CODES
    from tokzoo.recipes.saved import AR_FORMAT as AR
    from tokzoo.recipes.saved import FORMAT as TOKENIZER
    from tokzoo.records.schema import SCHEMA

    assert len(PAGE.splitlines()) <= 80
    assert f"now `{tokzoo.TOKZOO_API}`" in PAGE
    assert f"TOKZOO_API = ({tokzoo.TOKZOO_API}, {tokzoo.TOKZOO_API})" in PAGE
    for schema in (SCHEMA, TOKENIZER, AR, CODES):
        assert f"`{schema}`" in PAGE
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"Python ≥ {project['requires-python'].removeprefix('>=')}" in PAGE
    stated = dict(re.findall(r"(torch|pydantic|pluggy) ≥ ([0-9.]+[0-9])", PAGE))
    assert stated == {
        name: bound for name, _, bound in (each.partition(">=") for each in project["dependencies"]) if name in stated
    }
    assert set(stated) == {"torch", "pydantic", "pluggy"}


@pytest.fixture
def load(tmp_path, monkeypatch):
    """A function from the text of a plugin to how it fared, and to the registry it was loaded into."""
    monkeypatch.setenv("TOKZOO_PLUGINS", "")

    def make(text):
        path = tmp_path / "mine.py"
        path.write_text("import tokzoo\n" + dedent(text))
        registry = load_registry([path])
        return registry.plugins[0], registry

    return make


@pytest.mark.parametrize("low", [(0, 0), tokzoo.TOKZOO_API])
@pytest.mark.parametrize("high", [tokzoo.TOKZOO_API, (0, 99), (1, 0)])
def test_a_range_that_holds_this_version_is_taken(load, low, high):
    assert load(f"TOKZOO_API = ({low}, {high})")[0].error is None


@pytest.mark.parametrize("text", ["((0, 0), (0, 0))", "((0, 99), (1, 0))", "((1, 0), (2, 0))"])
def test_another_range_is_refused_before_any_hook_is_called(load, text):
    plugin, registry = load(
        f"TOKZOO_API = {text}\n@tokzoo.hookimpl\ndef tokzoo_components(): raise RuntimeError('called')"
    )
    assert "written for tokzoo API" in plugin.error
    assert str(tokzoo.TOKZOO_API) in plugin.error
    assert not list(registry.components)


def test_without_a_range_nothing_is_checked(load):
    assert load("")[0].error is None


WHOLE = """
seen = {}

@tokzoo.hookimpl
def tokzoo_components(): return []

@tokzoo.hookimpl
def tokzoo_recipes(): return None

@tokzoo.hookimpl
def tokzoo_tracks(): return None

@tokzoo.hookimpl
def tokzoo_suites(): return None

@tokzoo.hookimpl
def tokzoo_formats(): return []

@tokzoo.hookimpl
def tokzoo_renderers(): return {}

@tokzoo.hookimpl
def tokzoo_commands(app): seen["tokzoo_commands"] = locals()

@tokzoo.hookimpl
def tokzoo_cell_started(cell, recipe, track, seed): seen["tokzoo_cell_started"] = locals()

@tokzoo.hookimpl
def tokzoo_step_end(cell, stage, step, terms): seen["tokzoo_step_end"] = locals()

@tokzoo.hookimpl
def tokzoo_cell_finished(cell, record): seen["tokzoo_cell_finished"] = locals()
"""
TOLD = {
    "tokzoo_commands": {"app": "a"},
    "tokzoo_cell_started": {"cell": "c", "recipe": "r", "track": "t", "seed": 3},
    "tokzoo_step_end": {"cell": "c", "stage": "ar", "step": 7, "terms": {"loss": 1.0}},
    "tokzoo_cell_finished": {"cell": "c", "record": {"id": "x"}},
}


def test_every_hook_can_be_implemented_with_every_argument(load):
    plugin, registry = load(WHOLE)
    assert (plugin.error, plugin.notes) == (None, [])
    for hook, arguments in TOLD.items():
        registry.notify(hook, **arguments)
    assert plugin.module.seen == TOLD
    assert set(re.findall(r"def (tokzoo_\w+)", WHOLE)) == set(HOOKS)


def test_every_hook_can_be_implemented_without_any_argument(load, capsys):
    plugin, registry = load(re.sub(r"\(\w[\w, ]*\): seen\[(.*?)\] = locals\(\)", r"(): seen[\1] = True", WHOLE))
    assert plugin.error is None
    for hook, arguments in TOLD.items():
        registry.notify(hook, **arguments)
    assert plugin.module.seen == dict.fromkeys(TOLD, True)
    assert not capsys.readouterr().err


def test_a_hook_of_another_version_can_be_marked_as_optional(load):
    text = "@tokzoo.hookimpl{}\ndef tokzoo_of_the_future(cell): pass"
    assert load(text.format("(optionalhook=True)"))[0].error is None
    assert "there is no such hook" in load(text.format(""))[0].error


if __name__ == "__main__":
    SURFACE.write_text(json.dumps(surface(), indent=1) + "\n", encoding="utf-8")
