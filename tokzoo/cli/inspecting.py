"""``tokzoo list`` and ``tokzoo show``."""

from contextlib import suppress
from fnmatch import fnmatchcase
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from tokzoo.cli.common import AsJson, PluginFiles, Strict, console, open_registry, print_json
from tokzoo.contracts.configs import KINDS, ComponentConfig
from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.registry.catalogue import Catalogue, Entry
from tokzoo.registry.offers import RENDERERS
from tokzoo.registry.plugins import FILES, Registry, find_file

LISTED = (*KINDS, *(what[:-1] for what in FILES), "format", "renderer")
"""The kinds of everything a plugin can offer."""


def list_components(
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help=f"One of {', '.join(LISTED)}.")] = None,
    glob: Annotated[str | None, typer.Argument(metavar="[GLOB]", help="Only matching names, as 'gigatok-*'.")] = None,
    plugin: PluginFiles = None,
    strict_plugins: Strict = False,
    json: AsJson = False,
) -> None:
    """List what can be combined: components by kind, recipes, tracks, suites, formats and renderers."""
    if kind is not None and glob is None and any(sign in kind for sign in "*?["):
        kind, glob = None, kind
    registry = open_registry(plugin, strict_plugins)
    offers = [offer for offer in _offers(registry) if kind is None or offer["kind"] == _singular(kind)]
    matching = [offer for offer in offers if glob is None or fnmatchcase(offer["name"], glob)]
    if glob is not None and not matching:
        raise TokzooError(f"list: no name matches '{glob}'; {suggest(glob, (offer['name'] for offer in offers))}")
    if json:
        print_json(matching)
        return
    from rich.table import Table
    from rich.text import Text

    columns = ("kind", "name", "summary", "plugin")
    table = Table(*columns, box=None, header_style="bold")
    for offer in matching:
        table.add_row(*(Text(offer[column]) for column in columns))
    console().print(table)


def _offers(registry: Registry) -> list[dict[str, str]]:
    """Everything on offer: components by kind, then everything else."""
    owners = {offer: plugin.name for plugin in registry.plugins for offer in plugin.offers}
    about = [(entry.spec.kind, entry.spec.name, entry.spec.summary) for entry in registry.components]
    about += [(what[:-1], name, _summary(path)) for what in FILES for name, path in getattr(registry, what).items()]
    about += [("format", name, spec.summary) for name, spec in registry.formats.items()]
    about += [("renderer", name, target) for name, target in {**RENDERERS, **registry.renderers}.items()]
    return [
        {"kind": kind, "name": name, "summary": summary, "plugin": owners.get(f"{kind}/{name}", "tokzoo")}
        for kind, name, summary in about
    ]


def _singular(kind: str) -> str:
    """A kind as it was typed, in the singular or the plural."""
    for known in LISTED:
        if kind in (known, f"{known}s"):
            return known
    raise TokzooError(f"list {kind}: unknown kind; {suggest(kind, LISTED)}")


def _summary(path: Any) -> str:
    """The summary line of a YAML file, found without parsing the rest."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("summary:"):
            return str(line.removeprefix("summary:").strip().strip("\"'"))
    return ""


def show(
    name: Annotated[str, typer.Argument(metavar="KIND/NAME", help="Such as quantizer/vq or recipe/gigatok-2d-nano.")],
    schema: Annotated[bool, typer.Option("--schema", help="Print only the JSON schema of its config.")] = False,
    plugin: PluginFiles = None,
    strict_plugins: Strict = False,
    json: AsJson = False,
) -> None:
    """Show a component: fields, defaults, paper, licence and what it goes with; or a recipe, track or suite."""
    registry = open_registry(plugin, strict_plugins)
    kind, slash, rest = name.partition("/")
    if not slash:
        raise TokzooError(f"show {name}: expected KIND/NAME; {_somewhere(registry, name)}")
    if f"{kind}s" in FILES:
        typer.echo(find_file(registry, f"{kind}s", rest).read_text(encoding="utf-8").rstrip())
        return
    entry = registry.components.get(kind, rest)
    if schema:
        print_json(entry.config.model_json_schema())
        return
    from tokzoo.recipes.compat import partners

    told = partners(registry.components, kind, rest)
    if json:
        print_json({**_about(entry, registry.components), "partners": told, "schema": entry.config.model_json_schema()})
        return
    _print(entry, registry.components)
    _print_partners(told)


def _somewhere(registry: Registry, name: str) -> str:
    places = [f"{entry.spec.kind}/{entry.spec.name}" for entry in registry.components]
    places += [f"{what[:-1]}/{known}" for what in FILES for known in getattr(registry, what)]
    exact = [place for place in places if place.partition("/")[2] == name]
    return f"did you mean {' or '.join(exact)}?" if exact else suggest(name, places)


def _about(entry: Entry, catalogue: Catalogue) -> dict[str, Any]:
    from tokzoo.recipes.resolver import example_slot

    spec = entry.spec
    config: ComponentConfig | None = None
    # What is wrong with an example is said where its partners are; the rest can be shown without it.
    with suppress(TokzooError):
        config = example_slot(entry, catalogue).config
    about = {
        "kind": spec.kind,
        "name": spec.name,
        "version": spec.version,
        "summary": spec.summary,
        "plugin": entry.plugin,
        "paper": spec.paper,
        "code_license": spec.code_license,
        "weights_license": spec.weights_license,
        "status": spec.status,
        "provides": sorted(config.provides) if config else [],
        "requires": sorted(config.requires) if config else [],
    }
    return {key: value for key, value in about.items() if value not in ("", [])}


def _print(entry: Entry, catalogue: Catalogue) -> None:
    from rich.table import Table
    from rich.text import Text

    shown = console()
    shown.print(Text(f"{entry.spec.kind}/{entry.spec.name}", style="bold"), Text(f"– {entry.spec.summary}"))
    for key, value in _about(entry, catalogue).items():
        if key not in ("kind", "name", "summary"):
            shown.print(Text(f"  {key}: {', '.join(value) if isinstance(value, list) else value}"))
    table = Table("field", "type", "default", "what it is", box=None, header_style="bold")
    for name, field in entry.config.model_fields.items():
        default = (
            Text("required", style="red")
            if field.is_required()
            else Text(_value(field.get_default(call_default_factory=True)))
        )
        table.add_row(name, Text(_type(field.annotation)), default, Text(field.description or ""))
    if table.rows:
        shown.print(table)


def _value(value: Any) -> str:
    """A default, written as in a recipe."""
    return "null" if value is None else str(value)


def _type(annotation: Any) -> str:
    """A field's type in plain words: without bounds, and a reference by the kind it refers to."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin in (Union, UnionType):
        return " | ".join(map(_type, inner))
    if origin is Literal:
        return " | ".join(map(str, inner))
    if annotation is None or annotation is type(None):
        return "null"
    name = getattr(origin or annotation, "__name__", str(annotation)).removeprefix("ComponentRef_")
    return f"{name}[{', '.join('…' if each is Ellipsis else _type(each) for each in inner)}]" if inner else name


def _print_partners(told: dict[str, dict[str, str | None]]) -> None:
    """What a component can be combined with, kind by kind, and why it cannot be combined with the others."""
    from rich.text import Text

    shown = console()
    for kind, names in told.items():
        fitting = [name for name, reason in names.items() if reason is None]
        shown.print(Text(f"  goes with {kind}: {', '.join(fitting) or 'none'}"))
        for name, reason in names.items():
            if reason is not None:
                shown.print(Text(f"    not {name}: {reason}", style="dim"))
