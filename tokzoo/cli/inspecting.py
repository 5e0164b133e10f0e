"""``tokzoo list`` and ``tokzoo show``."""

from typing import Annotated, Any

import typer

from tokzoo.cli.common import AsJson, PluginFiles, Strict, console, print_json, registry
from tokzoo.contracts.configs import KINDS
from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.registry.catalogue import Entry
from tokzoo.registry.plugins import FILES, Registry, find_file

PLURALS = {f"{kind}s": kind for kind in KINDS} | {"ars": "ar"}


def list_components(
    kind: Annotated[str | None, typer.Argument(help=f"One of {', '.join((*KINDS, *FILES))}.")] = None,
    plugin: PluginFiles = None,
    strict_plugins: Strict = False,
    json: AsJson = False,
) -> None:
    """List what can be combined: components by kind, recipes, tracks and suites."""
    found = registry(plugin, strict_plugins)
    wanted = _wanted(kind)
    entries = [entry for entry in found.components if entry.spec.kind in wanted]
    files = {what: getattr(found, what) for what in FILES if what in wanted}
    if json:
        rows = [
            {"kind": e.spec.kind, "name": e.spec.name, "plugin": e.plugin, "summary": e.spec.summary} for e in entries
        ]
        print_json(rows + [{"kind": what[:-1], "name": name} for what, names in files.items() for name in names])
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("kind", "name", "summary", "plugin", box=None, header_style="bold")
    for entry in entries:
        table.add_row(entry.spec.kind, Text(entry.spec.name), Text(entry.spec.summary), Text(entry.plugin))
    for what, names in files.items():
        for name, path in names.items():
            table.add_row(what[:-1], Text(name), Text(_summary(path)), "")
    console().print(table)


def _wanted(kind: str | None) -> set[str]:
    if kind is None:
        return {*KINDS, *FILES}
    singular = PLURALS.get(kind, kind)
    plural = f"{kind}s" if f"{kind}s" in FILES else kind
    if singular not in KINDS and plural not in FILES:
        raise TokzooError(f"list {kind}: unknown kind; {suggest(kind, (*KINDS, *FILES))}")
    return {singular if singular in KINDS else plural}


def _summary(path: Any) -> str:
    """The summary line of a YAML file, found without parsing the rest."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("summary:"):
            return str(line.removeprefix("summary:").strip().strip("\"'"))
    return ""


def show(
    name: Annotated[str, typer.Argument(metavar="KIND/NAME", help="Such as quantizer/vq, or recipe/gigatok-2d-nano.")],
    plugin: PluginFiles = None,
    strict_plugins: Strict = False,
    json: AsJson = False,
) -> None:
    """Show one component: its fields with defaults, paper and licence; or the text of a recipe, track or suite."""
    found = registry(plugin, strict_plugins)
    kind, slash, rest = name.partition("/")
    if not slash:
        raise TokzooError(f"show {name}: expected KIND/NAME; {_somewhere(found, name)}")
    if f"{kind}s" in FILES:
        typer.echo(find_file(found, f"{kind}s", rest).read_text(encoding="utf-8").rstrip())
        return
    entry = found.components.get(kind, rest)
    if json:
        print_json({**_about(entry), "schema": entry.spec.config.model_json_schema()})
        return
    _print(entry)


def _somewhere(found: Registry, name: str) -> str:
    places = [f"{entry.spec.kind}/{entry.spec.name}" for entry in found.components]
    places += [f"{what[:-1]}/{known}" for what in FILES for known in getattr(found, what)]
    exact = [place for place in places if place.partition("/")[2] == name]
    return f"did you mean {' or '.join(exact)}?" if exact else suggest(name, places)


def _about(entry: Entry) -> dict[str, Any]:
    spec = entry.spec
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
        "provides": sorted(spec.config.provides),
        "requires": sorted(spec.config.requires),
    }
    return {key: value for key, value in about.items() if value not in ("", [])}


def _print(entry: Entry) -> None:
    from rich.table import Table
    from rich.text import Text

    shown = console()
    shown.print(Text(f"{entry.spec.kind}/{entry.spec.name}", style="bold"), Text(f"– {entry.spec.summary}"))
    for key, value in _about(entry).items():
        if key not in ("kind", "name", "summary"):
            shown.print(Text(f"  {key}: {', '.join(value) if isinstance(value, list) else value}"))
    table = Table("field", "type", "default", "what it is", box=None, header_style="bold")
    for name, field in entry.spec.config.model_fields.items():
        kind = getattr(field.annotation, "__name__", None) if not getattr(field.annotation, "__args__", ()) else None
        default = (
            Text("required", style="red")
            if field.is_required()
            else Text(str(field.get_default(call_default_factory=True)))
        )
        table.add_row(
            name, Text(kind or str(field.annotation).replace("typing.", "")), default, Text(field.description or "")
        )
    shown.print(table)
