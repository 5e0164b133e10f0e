"""From what is asked for to ranked results: the one way of the command line and of Python. No torch at import.

Of tokzoo itself, only the command line imports this module.
"""

import io
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tokzoo import arguments
from tokzoo.bench.cell import Cell
from tokzoo.bench.own_images import losses
from tokzoo.bench.plan import Request, check_device, doubts, make_cells, make_plan
from tokzoo.bench.progress import progress
from tokzoo.bench.run import Bench, Options, Outcome, summary_lines
from tokzoo.bench.stages import stage_keys
from tokzoo.contracts.configs import ExecutorConfig
from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.text import line_width
from tokzoo.leaderboard.rows import Table, build_tables
from tokzoo.recipes.label import short
from tokzoo.records.finder import find_tokenizer
from tokzoo.records.schema import Record
from tokzoo.registry.local import add_components
from tokzoo.registry.plugins import Registry, load_registry

if TYPE_CHECKING:
    import pandas
    from rich.console import Console

    from tokzoo.assembly.tokenizer import Tokenizer

IN_PROCESS = "in-process"
"""The executor for components that no other process could build."""


@dataclass(frozen=True, repr=False)
class Results:
    """How a run ended. Printed, it is the ranked table that ``tokzoo run`` prints.

    Attributes:
        outcomes: one for each cell, in the order of recipes, grid and seeds.
        out: the folder everything is under.
    """

    outcomes: Sequence[Outcome]
    out: Path
    _bench: Bench
    _axes: Sequence[str]

    @property
    def records(self) -> list[Record]:
        """The record of each cell, failed ones too; a cell that was stopped has none yet."""
        return [outcome.record for outcome in self.outcomes if outcome.record is not None]

    @property
    def failed(self) -> list[Record]:
        """The records of the cells that failed or diverged; ``record.failure`` says where and why."""
        return [record for record in self.records if record.status != "ok"]

    @property
    def stopped(self) -> bool:
        """Whether some cell was stopped; the same run again goes on with it."""
        return len(self.records) < len(self.outcomes)

    @property
    def ok(self) -> bool:
        """Whether every cell came to a good end."""
        return not (self.stopped or self.failed)

    @cached_property
    def tables(self) -> list[Table]:
        """The ranked rows, a table a track."""
        return build_tables(self.records)

    def frame(self) -> "pandas.DataFrame":
        """A row for each number of each record: what was measured, how it is to be read, and under which protocol.

        Each axis of a grid is a column, called by its key (``frame["quantizer.codes"]``): numbers as they are, anything
        else as the recipe's name says it.
        """
        import pandas

        measured = ("metric", "value", "unit", "better", "protocol")
        columns = ("track", "recipe", "seed", *self._axes, *measured, "record", "recipe_hash")
        rows = [
            (
                *(record.track.name, record.recipe.name, record.seed, *place),
                *(metric, value.value, value.unit, value.better, value.protocol),
                *(record.id, record.recipe.hash),
            )
            for record, place in ((each.record, self._place(each)) for each in self.outcomes)
            if record is not None
            for metric, value in record.metrics.items()
        ]
        return pandas.DataFrame(rows, columns=list(columns))

    def _place(self, outcome: Outcome) -> list[Any]:
        """Where a cell stands on each axis."""
        values = (outcome.cell.recipe.changes[axis] for axis in self._axes)
        # Null as text too: pandas would leave out the rows of a missing value where it groups them.
        return [value if isinstance(value, int | float) else short(value) for value in values]

    def tokenizer(self, cell: int = 0, device: str = "auto") -> "Tokenizer":
        """The tokenizer of a cell, in eval mode, ready to encode and decode.

        Args:
            cell: its place among ``outcomes``.
            device: ``auto``, ``cpu`` or ``cuda``.

        Raises:
            TokzooError: there is no such cell, or its tokenizer was not trained to the end.
        """
        check_device(device)
        if type(cell) is not int or not -len(self.outcomes) <= cell < len(self.outcomes):
            raise TokzooError(f"tokenizer({cell!r}): the place of a cell is 0 to {len(self.outcomes) - 1}")
        chosen = self.outcomes[cell].cell
        folder = self._bench.run_folder.trained("tokenizer", stage_keys(chosen)["tokenizer"], f"cell {chosen.id}")
        loaded = _load(folder, self._bench.registry, device)
        # Cells that only sample otherwise share what was trained.
        loaded.sampler = chosen.recipe.sampler.decoder
        return loaded

    def show(self, console: "Console") -> None:
        """Print the ranked tables, and how the run went."""
        from rich.text import Text

        from tokzoo.leaderboard.terminal import print_tables
        from tokzoo.leaderboard.values import choose

        print_tables(choose(self.tables), console)
        console.print()
        for line in summary_lines(self.outcomes, self._bench):
            console.print(Text(line), soft_wrap=True)

    def __str__(self) -> str:
        from rich.console import Console

        shown = io.StringIO()
        width = line_width(sys.stdout) or Console().width
        self.show(Console(file=shown, width=width, highlight=False, color_system=None))
        return "\n".join(line.rstrip() for line in shown.getvalue().splitlines())

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that was checked: it can be done, and nothing of it is done yet.

    Attributes:
        doubts: what is not wrong but may not be meant, a line each.
        axes: of the grid, by their keys.
    """

    cells: Sequence[Cell]
    bench: Bench
    doubts: Sequence[str]
    axes: Sequence[str]

    def run(self, console: "Console") -> Results:
        """Have every cell done, showing how it goes."""
        with progress(console, {cell.id: cell for cell in self.cells}) as observe:
            outcomes = self.bench.run(self.cells, observe)
        return Results(outcomes, self.bench.options.out, self.bench, self.axes)


def prepare(request: Request, options: Options, registry: Registry) -> Prepared:
    """Check all of what is asked for.

    Raises:
        TokzooError: it is wrong, or does not fit together.
    """
    check_device(options.device)
    plan = make_plan(request, registry)
    cells = make_cells(plan, registry)
    bench = Bench(options, registry)
    if options.device == "cuda" and not cast(ExecutorConfig, bench.slot.config).elsewhere:
        from tokzoo.assembly.devices import choose_device  # it needs torch, which takes its time

        choose_device(options.device)
    told = [*losses(request, cells, registry.components), *doubts(cells), *bench.other_releases(cells)]
    return Prepared(cells, bench, told, [axis.key for axis in plan.axes])


def run(
    *what: str | Path,
    track: str | Path | None = None,
    data: str | Path | None = None,
    seeds: Iterable[int] | None = None,
    grid: Mapping[str, Iterable[Any]] | None = None,
    changes: Mapping[str, Any] | None = None,
    components: Iterable[Any] = (),
    plugins: Iterable[str | Path] = (),
    out: str | Path = "runs",
    jobs: int | None = None,
    executor: str | None = None,
    device: str = "auto",
    checkpoint_every: float = 30.0,
    accumulate: int = 1,
    fresh: bool = False,
) -> Results:
    """Train, judge and rank tokenizers: ``tokzoo run`` in Python.

    Everything is checked before anything is trained, nothing is done twice, and a run that was stopped goes on where it
    was. Cells run in processes of their own, some at a time; with ``components``, which no other process could build,
    they run in this one, one after the other. Interrupted (Ctrl-C), a run saves what it has, and raises
    KeyboardInterrupt.

    A component is a class or a function. A class extends one of the interfaces (``tokzoo.Quantizer``), and names its
    config by the annotation ``config: MyConfig``. A function has its config in its keyword-only parameters:
    ``f(images, target, *, …)`` gives a scalar and is an image term; ``f(state, *, …)`` gives a scalar, or several by
    name, and is any other regularizer; ``f(images, reconstructions, *, …)`` gives a number an image and is a metric,
    ``reconstruction.f``. Each is used by its name in kebab-case, which :func:`tokzoo.component` can change. A metric is
    measured and shown beside those of the track, which is then no official one; ``track.metrics=[…]`` says otherwise.

    Results are cached by the code of a component too: its module without comments and docstrings, and without what
    merely calls it (the block under ``if __name__ == "__main__":``, and statements that are a call of ``tokzoo.run``),
    and whatever it imports of the user's own; in a notebook, its source and that of the functions, classes and values
    it names. A module that was changed must be loaded again.

    Args:
        what: recipes by name or file, or one suite; and changes as ``key=value``.
        track: how they are judged; a suite names its own.
        data: a folder of images instead of the track's dataset.
        seeds: None: those of the suite, or 0.
        grid: values by key; every combination is run.
        changes: further values by dotted key, as Python values.
        components: classes, functions, or ``tokzoo.ComponentSpec``.
        plugins: files of plugins to load.
        out: the folder everything is written under.
        jobs: cells at a time; None: one a core, or one where there is a GPU.
        executor: how and where cells are run, a component's name; fields of it are changes such as ``executor.jobs=2``.
            None: ``local``, or ``in-process`` with ``components``.
        device: ``auto``, ``cpu`` or ``cuda``.
        checkpoint_every: seconds between checkpoints.
        accumulate: how many micro-batches a training batch is cut into, to take less memory. Terms that look at a batch
            as a whole then look at its parts. Noted in the record, and no part of what a cell is.
        fresh: make anew what other releases of the code made; without, that is used and named. What code under
            development made is made anew in any case once that code changes.

    Returns:
        The records and tables. A cell that fails raises nothing: see ``failed``.

    Raises:
        TokzooError: what is asked for is wrong, or does not fit together.
    """
    from rich.console import Console

    for name, given, least in (("checkpoint_every", checkpoint_every, 0), ("accumulate", accumulate, 1)):
        arguments.a_number(name, given, least, whole=name == "accumulate")
    registry = _registry(plugins)
    specs = add_components(registry, _components(components))
    executor = executor or (IN_PROCESS if specs else "local")
    if specs and (jobs not in (None, 1) or executor != IN_PROCESS):
        raise TokzooError(
            f"jobs={jobs}, executor={executor!r}: components of a script or a notebook run in this process, one cell "
            "after the other; make them a plugin file to have more at a time"
        )
    request, of_executor = arguments.requested(what, changes, track=track, data=data, seeds=seeds, grid=grid)
    request = replace(request, metrics=tuple(spec for spec in specs if spec.kind == "metric"))
    if jobs is not None and executor != IN_PROCESS:
        of_executor = (*of_executor, (("executor", "jobs"), jobs))
    options = Options(arguments.a_path("out", out), executor, of_executor, device, checkpoint_every, accumulate, fresh)
    prepared = prepare(request, options, registry)
    for line in prepared.doubts:
        warnings.warn(line, stacklevel=2)
    return prepared.run(Console(stderr=True, highlight=False, width=line_width(sys.stderr)))


def load(
    tokenizer: str | Path,
    *,
    out: str | Path = "runs",
    components: Iterable[Any] = (),
    plugins: Iterable[str | Path] = (),
    device: str = "auto",
) -> "Tokenizer":
    """A trained tokenizer, in eval mode, ready to encode and decode.

    Args:
        tokenizer: the folder of a saved one; a cell's folder or name; a recipe's name, for its newest finished cell;
            or a record's id or the start of one.
        out: the folder runs are kept in.
        components: classes and functions it was made of, as :func:`run` was given them.
        plugins: files of plugins to load.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        TokzooError: none of these or several, or not one that can be loaded.
    """
    check_device(device)
    named = str(arguments.a_path("tokenizer", tokenizer))
    folder = find_tokenizer(named, arguments.a_path("out", out))
    registry = _registry(plugins)
    add_components(registry, _components(components))
    return _load(folder, registry, device)


def _load(folder: Path, registry: Registry, device: str) -> "Tokenizer":
    # torch is slow to import, and not needed to find mistakes before.
    from tokzoo.assembly.devices import choose_device
    from tokzoo.assembly.tokenizer import Tokenizer

    return Tokenizer.load(folder, registry, choose_device(device))


def _components(given: Iterable[Any]) -> list[Any]:
    return arguments.a_list("components", given, "MyQuantizer")


def _registry(plugins: Iterable[str | Path]) -> Registry:
    registry = load_registry(arguments.files(plugins))
    registry.refuse_broken_files()
    for plugin in registry.broken:
        warnings.warn(f"plugin {plugin.name} ({plugin.origin}) is left out: {plugin.error}", stacklevel=3)
    for plugin in registry.idle:
        warnings.warn(f"plugin {plugin.name} ({plugin.origin}) {plugin.nothing}", stacklevel=3)
    return registry
