"""Finding plugins and taking in what they offer, each on its own: a broken one is named and harms nobody else."""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from tokzoo._version import TOKZOO_API
from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.registry import hookspecs
from tokzoo.registry.catalogue import Catalogue, Entry
from tokzoo.registry.component import ComponentSpec

GROUP = "tokzoo"
ALLOW_VARIABLE = "TOKZOO_PLUGINS"
FILES = ("recipes", "tracks", "suites")


@dataclass(slots=True)
class Plugin:
    """One plugin and how it fared.

    Attributes:
        origin: its distribution, or the path of a file plugin.
        source_hash: of a file plugin's text; part of what its components are cached by.
        error: one line, where it could not be taken in; it then offers nothing.
        notes: what its author should know although it works.
    """

    name: str
    origin: str
    version: str = ""
    source_hash: str | None = None
    error: str | None = None
    notes: list[str] = field(default_factory=list)
    module: ModuleType | None = None


@dataclass(slots=True)
class Registry:
    """Everything the installed plugins offer."""

    plugins: list[Plugin] = field(default_factory=list)
    components: Catalogue = field(default_factory=Catalogue)
    recipes: dict[str, Path] = field(default_factory=dict)
    tracks: dict[str, Path] = field(default_factory=dict)
    suites: dict[str, Path] = field(default_factory=dict)
    renderers: dict[str, str] = field(default_factory=dict)
    manager: pluggy.PluginManager = field(default_factory=lambda: pluggy.PluginManager(hookspecs.PROJECT))

    @property
    def broken(self) -> list[Plugin]:
        """The plugins that could not be taken in."""
        return [plugin for plugin in self.plugins if plugin.error]

    @property
    def files(self) -> list[Path]:
        """The paths of file plugins, for processes that must load the same."""
        return [Path(plugin.origin) for plugin in self.plugins if plugin.source_hash and not plugin.error]

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call an observer hook on every plugin; one that raises is reported and does not stop the run."""
        for plugin in self.plugins:
            if plugin.error is None and plugin.module is not None:
                try:
                    _call(self.manager, plugin.module, hook, **arguments)
                except Exception as error:
                    sys.stderr.write(f"plugin {plugin.name}: {hook} raised {_describe(error)}\n")


def load_registry(files: Iterable[Path] = (), *, strict: bool = False) -> Registry:
    """Load every installed plugin, then the file plugins.

    Plugins come from the entry-point group ``tokzoo``; the environment variable ``TOKZOO_PLUGINS`` (names joined by
    commas) restricts them while developing.

    Raises:
        TokzooError: with ``strict``, at the first plugin that cannot be taken in.
    """
    registry = Registry()
    registry.manager.add_hookspecs(hookspecs)
    for plugin, load in [*_installed(), *map(_from_file, files)]:
        registry.plugins.append(plugin)
        _take_in(registry, plugin, load)
        if strict and plugin.error:
            raise TokzooError(f"plugin {plugin.name} ({plugin.origin}): {plugin.error}")
    return registry


Loader = Callable[[], ModuleType]


def _installed() -> list[tuple[Plugin, Loader]]:
    allowed = os.environ.get(ALLOW_VARIABLE)
    names = None if allowed is None else {name.strip() for name in allowed.split(",")}
    found = []
    for point in importlib.metadata.entry_points(group=GROUP):
        if names is not None and point.name not in names:
            continue
        origin = point.dist.name if point.dist else "?"
        version = point.dist.version if point.dist else ""
        found.append((Plugin(point.name, origin, version), point.load))
    # Ours first: where two claim one name, the newcomer is the one refused, whatever the installation order.
    return sorted(found, key=lambda pair: (pair[0].origin != GROUP, pair[0].origin, pair[0].name))


def _from_file(path: Path) -> tuple[Plugin, Loader]:
    path = path.resolve()
    if not path.is_file():
        raise TokzooError(f"--plugin {path}: no such file")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    name = f"tokzoo_file_{path.stem}"

    def load() -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise TokzooError("not a Python file")
        module = importlib.util.module_from_spec(spec)
        # Registered before it runs, so that its classes can be pickled and its pydantic models resolve their types.
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    return Plugin(path.stem, str(path), source_hash=digest), load


def _take_in(registry: Registry, plugin: Plugin, load: Loader) -> None:
    """Load, register and ask one plugin; on any error, leave the registry as it was."""
    manager = registry.manager
    module: ModuleType | None = None
    try:
        module = load()
        _check_api(getattr(module, "TOKZOO_API", (TOKZOO_API, TOKZOO_API)))
        manager.register(module, name=f"{plugin.origin}:{plugin.name}")
        manager.check_pending()
        offers = _ask(manager, module, plugin)
        _reject_claimed(registry, plugin, offers)
    # SystemExit too: a plugin that calls sys.exit at import must not end the command line.
    except (Exception, SystemExit) as error:
        plugin.error = _describe(error)
        if module is not None and manager.is_registered(module):
            manager.unregister(module)
        return
    plugin.module = module
    for entry in offers.entries:
        registry.components.add(entry)
    for what in FILES:
        getattr(registry, what).update(offers.files[what])
    registry.renderers.update(offers.renderers)


@dataclass(slots=True)
class _Offers:
    entries: list[Entry]
    files: dict[str, dict[str, Path]]
    renderers: dict[str, str]


def _ask(manager: pluggy.PluginManager, module: ModuleType, plugin: Plugin) -> _Offers:
    entries = []
    for spec in _call(manager, module, "tokzoo_components") or ():
        if not isinstance(spec, ComponentSpec):
            raise TokzooError(f"tokzoo_components returned {spec!r}, not a ComponentSpec")
        spec.check()
        entries.append(Entry(spec, plugin.name, plugin.source_hash))
    files = {}
    for what in FILES:
        folder = _call(manager, module, f"tokzoo_{what}")
        files[what] = _yaml_files(Path(folder), what) if folder is not None else {}
    return _Offers(entries, files, _call(manager, module, "tokzoo_renderers") or {})


def _yaml_files(folder: Path, what: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise TokzooError(f"tokzoo_{what} returned {folder}, which is not a folder")
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _reject_claimed(registry: Registry, plugin: Plugin, offers: _Offers) -> None:
    """Raise where something offered has a name already taken; the earlier claimant is told as well."""
    seen: set[tuple[str, str]] = set()
    for entry in offers.entries:
        key = (entry.spec.kind, entry.spec.name)
        owner = plugin.name if key in seen else registry.components.owner(*key)
        if owner is not None:
            _tell(registry, owner, plugin, "/".join(key))
        seen.add(key)
    for what in FILES:
        for name in offers.files[what].keys() & getattr(registry, what).keys():
            raise TokzooError(f"{what[:-1]} {name} is already offered by {getattr(registry, what)[name]}")


def _tell(registry: Registry, owner: str, plugin: Plugin, name: str) -> None:
    for other in registry.plugins:
        if other.name == owner and other is not plugin:
            other.notes.append(f"plugin {plugin.name} ({plugin.origin}) claims {name} too, and was refused")
    raise TokzooError(f"{name} is already offered by plugin {owner}; name yours 'org/name'")


def _check_api(wanted: Sequence[tuple[int, int]]) -> None:
    lowest, highest = wanted
    if not lowest <= TOKZOO_API <= highest:
        raise TokzooError(f"written for tokzoo API {lowest} to {highest}; this is {TOKZOO_API}")


def _call(manager: pluggy.PluginManager, module: ModuleType, hook: str, **arguments: Any) -> Any:
    """One hook on one plugin; None where it does not implement it."""
    others = [other for other in manager.get_plugins() if other is not module]
    results = manager.subset_hook_caller(hook, remove_plugins=others)(**arguments)
    return results[0] if results else None


def _describe(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    kind = "" if isinstance(error, TokzooError) else f"{type(error).__name__}: "
    return kind + (text[0] if text else "no message")


def find_file(registry: Registry, what: str, name: str) -> Path:
    """The YAML file of a recipe, track or suite by name.

    Raises:
        TokzooError: no such name, with the nearest.
    """
    known: dict[str, Path] = getattr(registry, what)
    if name in known:
        return known[name]
    raise TokzooError(f"{what[:-1]} '{name}': unknown; {suggest(name, known)}")
