"""What one plugin offers: asked hook by hook, and checked before any of it is taken in."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from tokzoo.contracts.errors import TokzooError, describe, suggest
from tokzoo.contracts.guard import foreign_code
from tokzoo.registry import hookspecs
from tokzoo.registry.component import ComponentSpec
from tokzoo.registry.formats import FormatSpec, checked_formats

FILES = ("recipes", "tracks", "suites")
RENDERERS = {name: f"tokzoo.leaderboard.formats:{name}" for name in ("markdown", "csv", "latex", "json")}
"""Those that come with tokzoo, whose names no plugin may take."""

HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("tokzoo_"))


@dataclass(slots=True)
class Offers:
    """Everything a plugin offers."""

    components: list[ComponentSpec]
    files: dict[str, dict[str, Path]]
    formats: dict[str, FormatSpec]
    renderers: dict[str, str]

    def names(self) -> list[str]:
        """Each offer as ``kind/name``."""
        components = [f"{spec.kind}/{spec.name}" for spec in self.components]
        files = [f"{what[:-1]}/{name}" for what in FILES for name in self.files[what]]
        others = [*(f"format/{name}" for name in self.formats), *(f"renderer/{name}" for name in self.renderers)]
        return [*components, *files, *others]

    def moved(self, module: str, to: str) -> "Offers":
        """The same with lazy targets in a module looked up in another: a file is imported under no name it can know."""

        def target(given: Any) -> Any:
            return (
                f"{to}:{given.partition(':')[2]}"
                if isinstance(given, str) and given.startswith(f"{module}:")
                else given
            )

        return Offers(
            [replace(spec, config=target(spec.config), target=target(spec.target)) for spec in self.components],
            self.files,
            {name: replace(spec, target=target(spec.target)) for name, spec in self.formats.items()},
            {name: target(given) for name, given in self.renderers.items()},
        )


def ask(manager: pluggy.PluginManager, module: ModuleType) -> Offers:
    """Ask a registered plugin for all it offers.

    Raises:
        TokzooError: a hook raises or returns something else than it should, named with the hook.
    """
    components = _components(_answer(manager, module, "tokzoo_components"))
    files = {what: _yaml_files(_answer(manager, module, f"tokzoo_{what}"), f"tokzoo_{what}") for what in FILES}
    formats = checked_formats(_answer(manager, module, "tokzoo_formats"))
    return Offers(components, files, formats, _renderers(_answer(manager, module, "tokzoo_renderers")))


def call(manager: pluggy.PluginManager, module: ModuleType, hook: str, **arguments: Any) -> Any:
    """One hook on one plugin; None where it does not implement it."""
    others = [other for other in manager.get_plugins() if other is not module]
    results = manager.subset_hook_caller(hook, remove_plugins=others)(**arguments)
    return results[0] if results else None


def misspelt(manager: pluggy.PluginManager, module: ModuleType) -> Iterator[str]:
    """A note for each function that looks like a hook and is not marked as one.

    Raises:
        TokzooError: a function is marked as a hook there is none of.
    """
    for name, function in vars(module).items():
        if not inspect.isfunction(function):
            continue
        options = manager.parse_hookimpl_opts(module, name)
        hook = (options and options.get("specname")) or name
        hint = "" if hook in HOOKS else f"; {suggest(hook, HOOKS)}"
        if options is None and name.startswith("tokzoo_"):
            yield f"{name} is never called: it is not marked with @tokzoo.hookimpl{hint}"
        elif options is not None and hook not in HOOKS and not options.get("optionalhook"):
            raise TokzooError(f"{name}: there is no such hook{hint}")


def _answer(manager: pluggy.PluginManager, module: ModuleType, hook: str) -> Any:
    try:
        with foreign_code():
            return call(manager, module, hook)
    except Exception as error:
        raise TokzooError(f"{hook} raised {describe(error)}") from error


def _components(answer: Any) -> list[ComponentSpec]:
    if answer is None:
        return []
    # Materialised inside the caller's guard: a generator runs the plugin's code.
    if not isinstance(answer, Iterable) or isinstance(answer, str | Mapping):
        raise TokzooError(f"tokzoo_components returned {answer!r}, not a list of ComponentSpec")
    specs = list(answer)
    for spec in specs:
        if not isinstance(spec, ComponentSpec):
            raise TokzooError(f"tokzoo_components returned {spec!r} among others, not a ComponentSpec")
        spec.check()
    return specs


def _yaml_files(answer: Any, hook: str) -> dict[str, Path]:
    if answer is None:
        return {}
    if not isinstance(answer, str | Path) or not Path(answer).is_dir():
        raise TokzooError(f"{hook} returned {str(answer)!r}, which is not a folder")
    return {path.stem: path for path in sorted(Path(answer).glob("*.yaml"))}


def _renderers(answer: Any) -> dict[str, str]:
    if answer is None:
        return {}
    if not isinstance(answer, dict) or not all(
        isinstance(name, str) and isinstance(target, str) and target.count(":") == 1 for name, target in answer.items()
    ):
        raise TokzooError(f"tokzoo_renderers returned {answer!r}, not a dict of names to 'module:function'")
    for name in answer.keys() & RENDERERS.keys():
        raise TokzooError(f"renderer/{name} comes with tokzoo; rename yours")
    return answer
