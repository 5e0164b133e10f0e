"""``tokzoo leaderboard``."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tokzoo.cli.common import Out, PluginFiles, console, open_registry
from tokzoo.contracts.errors import Broken, TokzooError, describe, suggest
from tokzoo.contracts.guard import foreign_code
from tokzoo.data.run_folder import RunFolder

app = typer.Typer(help="Tables computed from records.", no_args_is_help=True)


@app.command("show")
def show_leaderboard(
    out: Out = Path("runs"),
    track: Annotated[str | None, typer.Option("--track", help="Only this track.")] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", metavar="GLOB", help="Only matching rows, as 'gigatok-*'.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="NAME,…", help="Metric ids or headings, as 'reconstruction.*,params'."),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME", help="markdown, csv, latex, json, or a plugin's (tokzoo list renderer)."
        ),
    ] = None,
    plugin: PluginFiles = None,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Print a ranked table for each track, from the records under --out.

    Columns are those that the track shows. Ranks are among all rows, shown or not.
    """
    if json and form not in (None, "json"):
        raise TokzooError(f"--json --format {form}: choose one of them")
    # Before any record is read: a format nobody offers is a usage error.
    render = _renderer("json" if json else form, plugin)
    from tokzoo.leaderboard.rows import build_tables
    from tokzoo.leaderboard.values import choose
    from tokzoo.records.store import RecordStore

    store = RecordStore(RunFolder(out).records)
    records, problems = store.read()
    for problem in problems:
        typer.echo(f"left out: {problem}", err=True)
    found = build_tables(records)
    tables = [t for t in found if track is None or t.track.partition("@")[0] == track or t.track == track]
    if not tables and found and track:
        raise TokzooError(
            f"no records on track {track} under {store.folder}; {suggest(track, [t.track for t in found])}"
        )
    if not tables:
        raise TokzooError(f"no records under {store.folder}; make some with tokzoo run, or name another --out")
    render(choose(tables, recipe, [name.strip() for name in columns.split(",")] if columns else ()))


def _renderer(name: str | None, plugins: list[Path] | None) -> Callable[[list[Any]], None]:
    """What prints tables in a format, by default for a terminal."""
    if name is None:
        return _print_tables
    from tokzoo.registry.component import import_target
    from tokzoo.registry.offers import RENDERERS

    owner = "tokzoo"
    if name in RENDERERS:
        target = RENDERERS[name]
    else:
        registry = open_registry(plugins)
        if name not in registry.renderers:
            raise TokzooError(f"--format {name}: unknown; {suggest(name, {**RENDERERS, **registry.renderers})}")
        target = registry.renderers[name]
        owner = next(f"plugin {each.name}" for each in registry.plugins if f"renderer/{name}" in each.offers)
    render = import_target(target, f"renderer {name} ({owner})")

    def show(tables: list[Any]) -> None:
        from tokzoo.leaderboard.values import plain

        try:
            with foreign_code():
                text = str(render([plain(table) for table in tables]))
        except Exception as error:
            raise Broken(f"renderer {name} ({owner}): {describe(error)}") from error
        typer.echo(text)

    return show


def _print_tables(tables: list[Any]) -> None:
    from tokzoo.leaderboard.terminal import print_tables

    print_tables(tables, console())
