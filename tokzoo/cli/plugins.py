"""``tokzoo plugins``."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from tokzoo.cli.common import AsJson, PluginFiles, Strict, console, open_registry, print_json
from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.registry.plugins import Plugin, Registry

app = typer.Typer(help="Inspect, check and create plugins.", no_args_is_help=True)

MARKS = {"passed": ("ok", "green"), "failed": ("failed", "red"), "not run": ("not run", "yellow")}


@app.command("list")
def list_plugins(plugin: PluginFiles = None, strict_plugins: Strict = False, json: AsJson = False) -> None:
    """List plugins: where each comes from, what it offers, and what is wrong with it."""
    registry = open_registry(plugin, strict_plugins, inspect=True)
    if json:
        print_json([_about(each) for each in registry.plugins])
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("plugin", "from", "version", "offers")
    for each in registry.plugins:
        offered = Text(f"error: {each.error}", style="red") if each.error else Text(", ".join(each.offers))
        for note in each.notes:
            offered.append(f"\nnote: {note}", style="yellow")
        table.add_row(Text(each.name), Text(each.origin), each.version, offered)
    console().print(table)


def _about(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "origin": plugin.origin,
        "version": plugin.version,
        "in_development": plugin.source.in_development,
        "module": plugin.target,
        "api": plugin.api,
        "hooks": list(plugin.hooks),
        "offers": list(plugin.offers),
        "seconds": round(plugin.seconds, 4),
        "error": plugin.error,
        "notes": plugin.notes,
    }


@app.command("show")
def show_plugin(
    name: Annotated[str, typer.Argument(metavar="PLUGIN", help="A plugin, or a distribution that contains plugins.")],
    plugin: PluginFiles = None,
    strict_plugins: Strict = False,
    json: AsJson = False,
) -> None:
    """Show one plugin: the API it was written for, its hooks, and what it offers."""
    registry = open_registry(plugin, strict_plugins, inspect=True)
    chosen = _named(registry, name)
    if json:
        print_json([_about(one) for one in chosen])
        return
    for one in chosen:
        _print_plugin(one, registry)


def _print_plugin(one: Plugin, registry: Registry) -> None:
    from rich.text import Text

    shown = console()
    shown.print(Text(one.name, style="bold"), Text(f"from {one.origin} {one.version}".rstrip()))
    if one.error:
        shown.print(Text(f"  error: {one.error}", style="red"))
    for note in one.notes:
        shown.print(Text(f"  note: {note}", style="yellow"))
    stated = "not stated" if one.api is None else f"written for {one.api[0]} to {one.api[1]}"
    code = f"{one.source.stamp[:16]}{' (under development)' if one.source.in_development else ''}"
    about = {"module": one.target or one.origin, "code": code, "API": stated, "hooks": ", ".join(one.hooks)}
    for key, value in about.items():
        shown.print(Text(f"  {key}: {value}"))
    summaries = {f"{e.spec.kind}/{e.spec.name}": e.spec.summary for e in registry.components}
    for offer in one.offers:
        shown.print(Text(f"  {offer}"), Text(summaries.get(offer, ""), style="dim"))


def _named(registry: Registry, name: str) -> list[Plugin]:
    """The plugin of a name, or all plugins of a distribution."""
    chosen = [plugin for plugin in registry.plugins if plugin.name == name]
    chosen = chosen or [plugin for plugin in registry.plugins if plugin.origin == name]
    if not chosen:
        raise TokzooError(
            f"plugin '{name}': not installed; install its package first (pip install -e FOLDER), or name a file with "
            f"--plugin; {suggest(name, (each.name for each in registry.plugins))}"
        )
    return chosen


@app.command("check")
def check_plugins(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PLUGIN|KIND/NAME]… [KEY=VALUE…]",
            help="Default: all plugins except tokzoo's own. KEY=VALUE: a config for one component, not its example.",
        ),
    ] = None,
    plugin: PluginFiles = None,
    json: AsJson = False,
) -> None:
    """Run the conformance kit on everything a plugin offers, each component in its example config.

      tokzoo plugins check lattice

      tokzoo plugins check dataset/images root=photos/

    Exit code: 0 nothing failed, 1 something failed, 2 wrong usage.
    """
    registry = open_registry(plugin, inspect=True)
    findings = _findings(registry, names or [])
    if json:
        from dataclasses import asdict

        rows = [asdict(finding) for finding in findings]
        print_json(rows)
        failed = any(row["result"] == "failed" for row in rows)
    else:
        failed = _print_findings(findings)
    if failed:
        raise typer.Exit(1)


def _findings(registry: Registry, names: list[str]) -> Iterable[Any]:
    """What is found about plugins and single components, as it is found."""
    from tokzoo.recipes.tree import parse_override

    fields = dict(parse_override(text) for text in names if "=" in text)
    names = [name for name in names if "=" not in name]
    entries = [registry.components.get(*name.split("/", 1)) for name in names if "/" in name]
    plugins = [each for name in names if "/" not in name for each in _named(registry, name)]
    if fields and (plugins or len(entries) != 1):
        raise TokzooError("KEY=VALUE is for a single component: tokzoo plugins check KIND/NAME KEY=VALUE…")
    given = {".".join(key): value for key, value in fields.items()}
    if not names:
        plugins = [each for each in registry.plugins if not each.ours]
        if not plugins:
            raise TokzooError("no plugins are installed besides tokzoo's own; name one of them, or use --plugin FILE")
    # Only now: the kit needs torch.
    from tokzoo.testing.conformance import check_component
    from tokzoo.testing.plugin import check_plugin

    for each in plugins:
        yield from check_plugin(each, registry)
    for entry in entries:
        yield from check_component(entry, registry.components, registry.files, given or None)


def _print_findings(findings: Iterable[Any]) -> bool:
    """Print findings as they come, one per line, then their counts; returns whether one failed."""
    from rich.text import Text

    shown = console()
    counts = dict.fromkeys(MARKS, 0)
    last = missing = None
    for finding in findings:
        counts[finding.result] += 1
        if finding.component != last:
            shown.print(Text(finding.component, style="bold"))
            last, missing = finding.component, None
        if finding.result == "not run" and missing == finding.message:
            continue
        mark, style = MARKS[finding.result]
        title = finding.check.replace("_", " ")
        if finding.result == "not run":
            missing, title = finding.message, f"{title}, and what follows"
        said = f"{title}: {finding.message}" if finding.message else title
        shown.print(Text(f"  {mark:<8}", style=style), Text(said))
    shown.print(", ".join(f"{count} {result}" for result, count in counts.items()))
    return counts["failed"] > 0


@app.command("doctor")
def doctor(
    plugin: PluginFiles = None,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Print the tracebacks of plugins that failed.")
    ] = False,
) -> None:
    """Diagnose the installed plugins: what fails, what is slow, what cannot be imported.

    Exit code: 0 all is well, 1 something is wrong.
    """
    registry = open_registry(plugin, inspect=True)
    from rich.text import Text

    shown = console()
    troubled = False
    for each in registry.plugins:
        # Before anything imports torch, so that the times are those every command pays.
        title = f"{each.name} ({' '.join(filter(None, (each.origin, each.version)))}): {each.seconds * 1000:.0f} ms"
        wrong = [*_wrong(each), *_missing(each, registry)]
        troubled |= bool(wrong)
        shown.print(Text(f"{'! ' if wrong else 'ok'} {title}", style="yellow" if wrong else ""))
        for line in [*wrong, *_advice(each)]:
            shown.print(Text(f"     {line}"))
        if traceback and each.traceback:
            shown.print(Text(each.traceback, style="dim"))
    if troubled:
        raise typer.Exit(1)


def _wrong(plugin: Plugin) -> Iterable[str]:
    """What was noticed when it was loaded, and for a slow one where the time goes."""
    from tokzoo.registry.plugins import SLOW_SECONDS
    from tokzoo.registry.timing import slowest_imports

    if plugin.error:
        yield plugin.error
        return
    yield from plugin.notes
    if plugin.target and (plugin.seconds > SLOW_SECONDS or plugin.notes):
        slow = ", ".join(
            f"{name} {seconds:.2f} s" for name, seconds in slowest_imports(plugin.target.partition(":")[0])
        )
        yield f"slowest imports: {slow or 'none but its own'}"


def _advice(plugin: Plugin) -> Iterable[str]:
    """What its author may want to do, although nothing is wrong."""
    from tokzoo._version import TOKZOO_API

    if plugin.api is None and plugin.target and not plugin.ours and not plugin.error:
        yield f"states no API version: add TOKZOO_API = ({TOKZOO_API}, {TOKZOO_API}) next to its hooks"


def _missing(plugin: Plugin, registry: Registry) -> Iterable[str]:
    """What of its offers cannot be imported."""
    from tokzoo.registry.component import import_target, load_config, load_target

    own = [entry.spec for entry in registry.components if entry.plugin == plugin.name]
    loads: list[Callable[[], Any]] = [
        partial(import_target, target, f"renderer {name}")
        for name, target in registry.renderers.items()
        if f"renderer/{name}" in plugin.offers
    ]
    loads += [partial(load, spec) for spec in own for load in (load_config, load_target)]
    for load in loads:
        try:
            load()
        except TokzooError as error:
            yield str(error)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="For example lattice, or org/lattice.")],
    kind: Annotated[str, typer.Option("--kind", help="Such as quantizer.")],
    into: Annotated[
        Path, typer.Option("--into", metavar="FOLDER", help="Create the package's folder in this folder.")
    ] = Path(),
) -> None:
    """Write a plugin package that works from the start: a component, its config, tests and a recipe."""
    from tokzoo.scaffold.package import write_package

    package = write_package(name, kind, into)
    typer.echo(f"wrote {package.folder}: {kind} {package.component}")
    for path in package.files:
        typer.echo(f"  {path}")
    steps = (
        f"pip install -e {package.folder}",
        f"tokzoo plugins check {package.plugin}",
        f"tokzoo run {package.trial}",
    )
    typer.echo("next:\n  " + "\n  ".join(steps))
