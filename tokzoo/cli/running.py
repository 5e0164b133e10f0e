"""``tokzoo run`` and ``tokzoo explain``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tokzoo.cli.common import AsJson, Out, PluginFiles, Strict, console, open_registry, print_json
from tokzoo.contracts.errors import TokzooError
from tokzoo.registry.plugins import Registry

What = Annotated[
    list[str],
    typer.Argument(metavar="RECIPE|SUITE… [KEY=VALUE…]", help="Recipes by name or file, or one suite; and overrides."),
]
TrackName = Annotated[str | None, typer.Option("--track", help="How they are judged, such as fashion-quick.")]
GridAxes = Annotated[
    list[str] | None, typer.Option("--grid", metavar="KEY=[A,B]", help="Run every combination. Repeatable.")
]


def run(
    what: What,
    track: TrackName = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FOLDER", help="Your own images instead of the track's.")
    ] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", help="Such as 0, 0-2 or 0,3. Default: 0.")] = None,
    grid: GridAxes = None,
    out: Out = Path("runs"),
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Cells at a time. Default: one a core.")] = None,
    executor: Annotated[
        str, typer.Option("--executor", metavar="NAME", help="How cells are run (tokzoo list executor).")
    ] = "local",
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    checkpoint_every: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Time between checkpoints.")] = 30.0,
    accumulate: Annotated[
        int, typer.Option(min=1, metavar="N", help="Cut each training batch into N micro-batches: less memory.")
    ] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="Make anew what other releases of the code made.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, train nothing.")] = False,
    plugin: PluginFiles = None,
    strict_plugins: Strict = False,
) -> None:
    r"""Train, judge and rank tokenizers.

    Names recipes (or a suite) and what to change in them:

      tokzoo run gigatok-2d-nano --track fashion-quick
      tokzoo run gigatok-2d-nano --track fashion-quick --data photos/
      tokzoo run gigatok-2d-nano quantizer.use=fsq --track fashion-nano
      tokzoo run quickstart --seeds 0-2 --grid 'quantizer=\[vq, fsq]'

    Everything is checked before anything is trained, nothing is done twice, and a run that was stopped goes on where it
    was. Exit code: 0 all cells ok, 1 some cell failed, 2 wrong usage, 130 stopped.
    """
    from tokzoo.api import prepare
    from tokzoo.bench.plan import Request, parse_seeds, split, without_executor
    from tokzoo.bench.run import Options
    from tokzoo.recipes.load import Axis

    names, overrides = split(what)
    changes, of_executor = without_executor(overrides)
    if jobs is not None:
        of_executor = (*of_executor, (("executor", "jobs"), jobs))
    axes = tuple(map(Axis.parse, grid or ()))
    request = Request(names, changes, track, data, None if seeds is None else parse_seeds(seeds), axes)
    options = Options(out, executor, of_executor, device, checkpoint_every, accumulate, fresh)
    prepared = prepare(request, options, open_registry(plugin, strict_plugins))
    for line in prepared.doubts:
        typer.echo(f"warning: {line}", err=True)
    if dry_run:
        from tokzoo.cli.dry_run import print_dry_run

        print_dry_run(prepared.cells, prepared.bench)
        return
    try:
        results = prepared.run(console())
    except KeyboardInterrupt:
        raise _stopped() from None
    results.show(console())
    if results.stopped:
        raise _stopped()
    if results.failed:
        raise typer.Exit(1)


def _stopped() -> typer.Exit:
    typer.echo("stopped; run the same command again to go on", err=True)
    return typer.Exit(130)


def explain(
    what: What,
    track: TrackName = None,
    plugin: PluginFiles = None,
    strict_plugins: Strict = False,
    json: AsJson = False,
) -> None:
    """Show every value of a recipe (and its track), where it came from, and the shapes that follow."""
    from tokzoo.bench.plan import split
    from tokzoo.recipes.explain import explain_recipe, explain_track
    from tokzoo.recipes.load import Changes, load_recipe, load_track

    registry = open_registry(plugin, strict_plugins)
    names, overrides = split(what)
    changes = Changes.of(overrides)
    if len(names) != 1:
        raise TokzooError(f"explain takes one recipe, not {len(names)}")
    recipe = load_recipe(names[0], registry, changes.recipe)
    if track is None and changes.track:
        raise TokzooError("track.…=: name the track with --track")
    lines = explain_recipe(recipe)
    chain = None
    if track is not None:
        judged = load_track(track, registry, changes.track)
        lines += explain_track(judged)
        chain = _chain(recipe, judged, registry)
    if json:
        print_json({"values": [line.as_dict() for line in lines], "chain": chain})
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("value", "", "from", box=None, header_style="bold")
    for line in lines:
        table.add_row(Text(line.key), Text(line.value), Text(line.origin, style="dim"))
    console().print(table)
    if chain:
        console().print(Text(chain))


def _chain(recipe: Any, track: Any, registry: Registry) -> str:
    from tokzoo.bench.cell import make_cell
    from tokzoo.cli.dry_run import chain_text

    return chain_text(make_cell(recipe, track, 0, registry.components).chain)
