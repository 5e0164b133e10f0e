"""Finding plugins and taking in what they offer, each on its own: a broken one is named and harms nobody else."""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from tokzoo._version import TOKZOO_API
from tokzoo.contracts.errors import TokzooError, describe, suggest
from tokzoo.contracts.guard import foreign_code
from tokzoo.registry import hookspecs
from tokzoo.registry.catalogue import Catalogue, Entry
from tokzoo.registry.component import ComponentSpec
from tokzoo.registry.formats import FormatSpec
from tokzoo.registry.offers import FILES, Offers, ask, call, misspelt
from tokzoo.registry.source import UNKNOWN, Source, is_editable, named_tokzoo
from tokzoo.registry.stamps import own_stamp, package_stamp

__all__ = ["FILES", "Plugin", "Registry", "find_file", "load_registry"]

GROUP = "tokzoo"
ALLOW_VARIABLE = "TOKZOO_PLUGINS"
SLOW_SECONDS = 0.5
"""Processor time above which loading one plugin is worth a note, since every command waits for it."""


@dataclass(slots=True)
class Plugin:
    """One plugin and how it fared.

    Attributes:
        origin: its distribution, or the path of a file plugin.
        target: the module its entry point names; "" for a file plugin.
        file: of a file plugin.
        source: where its code comes from, and the stamp of that.
        api: the range of API versions it states; None: it states none.
        error: one line, where it could not be taken in; it then offers nothing.
        traceback: where in its code that happened.
        notes: what its author should know, although it works.
        offers: what was taken in of it, each as ``kind/name``.
        hooks: the hooks it implements.
        seconds: processor time it took to load and to ask.
    """

    name: str
    origin: str
    version: str = ""
    target: str = ""
    file: Path | None = None
    source: Source = UNKNOWN
    api: Any = None
    error: str | None = None
    traceback: str = ""
    notes: list[str] = field(default_factory=list)
    offers: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    seconds: float = 0.0
    module: ModuleType | None = None

    @property
    def ours(self) -> bool:
        """Whether it comes with tokzoo itself."""
        return self.origin == GROUP and self.file is None

    @property
    def nothing(self) -> str:
        """Why it offers nothing, if it has no hook."""
        return f"offers nothing: {'; '.join(self.notes) or 'nothing in it is marked with @tokzoo.hookimpl'}"


@dataclass(slots=True)
class Registry:
    """Everything the installed plugins offer."""

    plugins: list[Plugin] = field(default_factory=list)
    components: Catalogue = field(default_factory=Catalogue)
    recipes: dict[str, Path] = field(default_factory=dict)
    tracks: dict[str, Path] = field(default_factory=dict)
    suites: dict[str, Path] = field(default_factory=dict)
    formats: dict[str, FormatSpec] = field(default_factory=dict)
    renderers: dict[str, str] = field(default_factory=dict)
    manager: pluggy.PluginManager = field(default_factory=lambda: pluggy.PluginManager(hookspecs.PROJECT))

    @property
    def broken(self) -> list[Plugin]:
        """The plugins that could not be taken in."""
        return [plugin for plugin in self.plugins if plugin.error]

    @property
    def idle(self) -> list[Plugin]:
        """The plugins that could be taken in, but have no hook."""
        return [each for each in self.plugins if not (each.error or each.hooks)]

    def refuse_broken_files(self) -> None:
        """Raise :class:`TokzooError` where a file plugin could not be taken in: somebody asked for it by name."""
        for plugin in self.broken:
            if plugin.file is not None:
                raise TokzooError(f"--plugin {plugin.file}: {plugin.error}")

    @property
    def files(self) -> list[Path]:
        """The paths of file plugins, for processes that must load the same."""
        return [plugin.file for plugin in self.plugins if plugin.file and not plugin.error]

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call an observer hook on every plugin; one that raises is reported and does not stop the run."""
        for plugin in self.plugins:
            self.notify_one(plugin, hook, **arguments)

    def notify_one(self, plugin: Plugin, hook: str, **arguments: Any) -> None:
        """Call a hook on one plugin; where it raises, that is reported and nothing else happens."""
        if plugin.module is None:
            return
        try:
            with foreign_code():
                call(self.manager, plugin.module, hook, **arguments)
        except Exception as error:
            sys.stderr.write(f"plugin {plugin.name}: {hook} raised {describe(error)}\n")


def load_registry(files: Iterable[Path] = (), *, strict: bool = False) -> Registry:
    """Load every installed plugin, then the file plugins.

    Plugins come from the entry-point group ``tokzoo``; the environment variable ``TOKZOO_PLUGINS`` (names joined by
    commas) restricts them while developing. A file given twice is loaded once.

    Raises:
        TokzooError: no such file; with ``strict``, at the first plugin that cannot be taken in.
    """
    registry = Registry()
    registry.manager.add_hookspecs(hookspecs)
    paths = dict.fromkeys(Path(path).resolve() for path in files)
    for plugin, load in [*_installed(), *map(_from_file, paths)]:
        registry.plugins.append(plugin)
        _take_in(registry, plugin, load)
        if strict and plugin.error:
            raise TokzooError(f"plugin {plugin.name} ({plugin.origin}): {plugin.error}")
    return registry


Loader = Callable[[], ModuleType]


def _installed() -> list[tuple[Plugin, Loader]]:
    allowed = os.environ.get(ALLOW_VARIABLE)
    names = None if allowed is None else {name.strip() for name in allowed.split(",")} - {""}
    found: list[tuple[Plugin, Loader]] = []
    known = set()
    # A distribution reads its metadata anew for each question: it is asked once, for all its plugins.
    asked: dict[int, Source] = {}
    # Of each name Python knows one distribution, the first on the path: one called as ours is would hide ours.
    own, others = named_tokzoo()
    for point in (*_points(own), *importlib.metadata.entry_points(group=GROUP)):
        if id(point.dist) not in asked:
            asked[id(point.dist)] = _source(point.dist)
        source = asked[id(point.dist)]
        if source.distribution.lower() == GROUP and point.dist is not own:
            continue
        known.add(point.name)
        if names is None or point.name in names:
            plugin = Plugin(point.name, source.distribution, source.version, point.value, source=source)
            found.append((plugin, point.load))
    for other in others:
        found += [(Plugin(point.name, str(other.locate_file(""))), _called_as_we_are) for point in _points(other)]
    missing = (names or set()) - known
    found += [(Plugin(name, ALLOW_VARIABLE), partial(_not_installed, name, known)) for name in missing]
    # Ours first: where two claim one name, the newcomer is the one refused, whatever the installation order.
    return sorted(found, key=lambda pair: (pair[0].origin != GROUP, pair[0].origin, pair[0].name))


def _points(distribution: importlib.metadata.Distribution | None) -> Iterable[importlib.metadata.EntryPoint]:
    return () if distribution is None else distribution.entry_points.select(group=GROUP)


def _source(distribution: importlib.metadata.Distribution | None) -> Source:
    """What a distribution says of itself, before it is known which modules a plugin's code stands in."""
    if distribution is None:
        return UNKNOWN
    about = distribution.metadata
    return Source(about["Name"] or "?", about["Version"] or "", is_editable(distribution))


def _not_installed(name: str, known: set[str]) -> ModuleType:
    raise TokzooError(f"not installed; {suggest(name, known)}")


def _called_as_we_are() -> ModuleType:
    raise TokzooError(f"its distribution is called {GROUP}, as tokzoo's own is; give it another name")


def _from_file(path: Path) -> tuple[Plugin, Loader]:
    if not path.is_file():
        raise TokzooError(f"--plugin {path}: no such file")
    # Files of one name in two folders are two modules.
    name = f"tokzoo_file_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"

    def load() -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise TokzooError("not a Python file")
        module = importlib.util.module_from_spec(spec)
        # Registered before it runs, so that its classes can be pickled and its pydantic models resolve their types.
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    return Plugin(path.stem, str(path), file=path, source=Source(in_development=True)), load


def _take_in(registry: Registry, plugin: Plugin, load: Loader) -> None:
    """Load, register and ask one plugin; on any error, leave the registry as it was."""
    manager = registry.manager
    had_torch, started = "torch" in sys.modules, time.process_time()
    try:
        with foreign_code():
            offers = _offers(registry, plugin, load)
    except Exception as error:
        plugin.error = describe(error)
        plugin.traceback = "".join(traceback.format_exception(error))
        if plugin.module is not None and manager.is_registered(plugin.module):
            manager.unregister(plugin.module)
        plugin.module = None
        return
    finally:
        plugin.seconds = time.process_time() - started
    plugin.offers = tuple(offers.names())
    plugin.notes += _speed_notes(plugin, not had_torch and "torch" in sys.modules)
    for spec in offers.components:
        registry.components.add(Entry(spec, plugin.name, plugin.source))
    for what in FILES:
        getattr(registry, what).update(offers.files[what])
    registry.formats.update(offers.formats)
    registry.renderers.update(offers.renderers)


def _offers(registry: Registry, plugin: Plugin, load: Loader) -> Offers:
    """What a plugin offers, all of it checked; the plugin is then registered."""
    manager = registry.manager
    module = plugin.module = load()
    plugin.api = getattr(module, "TOKZOO_API", None)
    if plugin.api is not None:
        _check_api(plugin.api)
    plugin.notes += misspelt(manager, module)
    manager.register(module, name=f"{plugin.origin}:{plugin.name}")
    manager.check_pending()
    plugin.hooks = tuple(sorted(caller.name for caller in manager.get_hookcallers(module) or ()))
    offers = ask(manager, module)
    if plugin.file is not None:
        offers = offers.moved(plugin.file.stem, module.__name__)
    plugin.source = replace(plugin.source, read=partial(_stamp, plugin, offers.components))
    _reject_claimed(registry, plugin, offers)
    return offers


def _stamp(plugin: Plugin, components: Iterable[ComponentSpec]) -> str:
    """The stamp of a file with the user's own modules it imports, or of the packages the plugin's code stands in."""
    named = [what for spec in components for what in (spec.config, spec.target)]
    modules = [what.partition(":")[0] if isinstance(what, str) else what.__module__ for what in named]
    if plugin.file is not None:
        return own_stamp({"": plugin.file}, also=modules)
    return package_stamp([plugin.target.partition(":")[0], *modules], follow=plugin.source.in_development)


def _speed_notes(plugin: Plugin, brought_torch: bool) -> Iterable[str]:
    if brought_torch and plugin.file is None:
        yield (
            "imports torch when it is loaded, which every command waits for: give configs and targets as 'module:Class'"
        )
    # A file plugin holds its classes themselves: it imports torch, and that is told to nobody.
    elif plugin.seconds > SLOW_SECONDS and not (brought_torch and plugin.file is not None):
        yield f"takes {plugin.seconds:.1f} s to load, which every command waits for: import later what it needs"


def _reject_claimed(registry: Registry, plugin: Plugin, offers: Offers) -> None:
    """Raise where something offered has a name already taken; the earlier claimant is told as well."""
    names = offers.names()
    for name, count in Counter(names).items():
        if count > 1:
            raise TokzooError(f"offers {name} twice")
    for other in registry.plugins:
        owned = {_owned(offer) for offer in other.offers}
        taken = ", ".join(name for name in names if _owned(name) in owned)
        if taken:
            other.notes.append(f"plugin {plugin.name} ({plugin.origin}) claims {taken} too, and was refused")
            raise TokzooError(f"{taken} is already offered by plugin {other.name} ({other.origin}); rename yours")


def _owned(offer: str) -> str:
    """What an offer claims: a track all of its versions, for its name alone means the highest of them."""
    return offer.partition("@")[0] if offer.startswith("track/") else offer


def _check_api(wanted: Any) -> None:
    try:
        (low, low_minor), (high, high_minor) = wanted
        fits = (low, low_minor) <= TOKZOO_API <= (high, high_minor)
    except (TypeError, ValueError):
        raise TokzooError(f"TOKZOO_API is {wanted!r}, not a range such as ({TOKZOO_API}, {TOKZOO_API})") from None
    if not fits:
        raise TokzooError(f"written for tokzoo API {wanted[0]} to {wanted[1]}; this is {TOKZOO_API}")


def find_file(registry: Registry, what: str, name: str) -> Path:
    """The YAML file of a recipe, track or suite by name.

    Raises:
        TokzooError: no such name, with the nearest.
    """
    known: dict[str, Path] = getattr(registry, what)
    if name in known:
        return known[name]
    raise TokzooError(f"{what[:-1]} '{name}': unknown; {suggest(name, known)}")
