"""What ``tokzoo run --dry-run`` prints."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from tokzoo.bench.estimate import Estimates, Took
from tokzoo.bench.stages import CellStage, missing_files, stages_of
from tokzoo.cli.common import console
from tokzoo.contracts.specs import Chain
from tokzoo.contracts.text import counted, duration

FEW = 3
"""Cells up to so many are shown in full, more with a line each."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would be done for a cell.

    Attributes:
        stages: all of them, with what the cache has of each.
        fresh: those that are to be run, without what a cell before this one runs already.
        took: how long stages took before, by name; of those not run before nothing.
        sizes: numbers of parameters by part.
    """

    cell: Any
    stages: Mapping[CellStage, Any]
    fresh: Sequence[CellStage]
    took: Mapping[str, Took]
    sizes: Mapping[str, int]

    @property
    def params(self) -> int:
        """The parameters of the tokenizer alone, as ``cost.params`` of the leaderboard has them."""
        return sum(self.sizes.get(part, 0) for part in ("encoder", "quantizer", "decoder"))

    @property
    def known(self) -> list[Took]:
        """How long those to be run took before, as far as that is known."""
        return [self.took[stage.name] for stage in self.fresh if stage.name in self.took]

    @property
    def seconds(self) -> str:
        """How long those to be run will take; "" where some of it is unknown or nothing is to be done."""
        whole = self.fresh and len(self.known) == len(self.fresh)
        return duration(sum(took.seconds for took in self.known)) if whole else ""

    def state(self, stage: CellStage) -> str:
        """What becomes of a stage."""
        found = self.stages[stage]
        if found.result is not None:
            return f"cached, made by {'; '.join(found.made_by)}" if found.made_by else "cached"
        if stage not in self.fresh:
            return "new, shared with a cell above"
        took = f", about {duration(self.took[stage.name].seconds)}" if stage.name in self.took else ""
        return f"new{f' ({found.why})' if found.why else ''}{took}"


def chain_text(chain: Chain) -> str:
    """The shapes from image to codes, in a line."""
    codes = f"{chain.codes}, {chain.codes.bits_per_image:.0f} bits" if chain.codes else "no codes (continuous)"
    return f"{chain.image} → {chain.latent} → {codes}"


def print_dry_run(cells: Sequence[Any], bench: Any) -> None:
    """What each cell is and what of it is to be run; how much that is, and what it lacks here."""
    forecasts = _forecasts(cells, bench)
    if len(forecasts) > FEW:
        _print_lines(forecasts)
    else:
        for each in forecasts:
            _print_whole(each)
    lacking = dict.fromkeys(line for each in forecasts for line in missing_files(each.cell, each.fresh))
    for line in lacking:
        typer.echo(f"not here: {line}")
    count = sum(len(each.fresh) for each in forecasts)
    typer.echo(f"{counted(len(cells), 'cell')}, {counted(count, 'stage')} to run; nothing was trained")
    if count:
        typer.echo(f"time: {_time(count, [took for each in forecasts for took in each.known])}")


def _forecasts(cells: Iterable[Any], bench: Any) -> list[Forecast]:
    from tokzoo.assembly.count import count_parameters

    cells = list(cells)
    estimates = Estimates(bench.cache, bench.options.device, (cell.seed for cell in cells))
    sizes: dict[str, dict[str, int]] = {}
    planned: set[CellStage] = set()
    forecasts = []
    for cell in cells:
        stages = dict(zip(stages_of(cell), bench.find(cell).values(), strict=True))
        fresh = [stage for stage, found in stages.items() if found.result is None and stage not in planned]
        planned.update(fresh)
        alike = f"{cell.recipe_hash} {cell.track_hash}"
        if alike not in sizes:
            sizes[alike] = count_parameters(cell.recipe, cell.chain, cell.probe)
        forecasts.append(Forecast(cell, stages, fresh, estimates.of(cell) if fresh else {}, sizes[alike]))
    return forecasts


def _print_whole(each: Forecast) -> None:
    from rich.text import Text

    from tokzoo.leaderboard.words import number

    cell, shown = each.cell, console()
    shown.print(Text(f"{cell.recipe.name} on {cell.track.id}, seed {cell.seed}", style="bold"), soft_wrap=True)
    shown.print(Text(f"  {chain_text(cell.chain)}"), soft_wrap=True)
    sizes = ", ".join(f"{part} {number(count, 0)}" for part, count in each.sizes.items())
    shown.print(Text(f"  parameters: {sizes}"), soft_wrap=True)
    for stage in each.stages:
        shown.print(Text(f"  {stage.name}: {each.state(stage)}"), soft_wrap=True)


def _print_lines(forecasts: Sequence[Forecast]) -> None:
    from rich.table import Table
    from rich.text import Text

    from tokzoo.leaderboard.words import number

    tracks = {each.cell.track.id for each in forecasts}
    table = Table(box=None, header_style="bold")
    table.add_column("recipe", overflow="fold")
    if len(tracks) > 1:
        table.add_column("track", overflow="fold")
    for heading in ("seed", "code bits", "params", "stages to run", "time"):
        table.add_column(heading, justify="right", no_wrap=heading != "stages to run")
    for each in forecasts:
        cell = each.cell
        bits = number(cell.chain.codes.bits_per_image, 0) if cell.chain.codes else "–"
        of = f"{len(each.fresh)} of {len(each.stages)}" if each.fresh else "none"
        time = each.seconds or ("?" if each.fresh else "")
        track = [Text(cell.track.id)] if len(tracks) > 1 else []
        table.add_row(Text(cell.recipe.name), *track, str(cell.seed), bits, number(each.params, 0), of, time)
    console().print(table)


def _time(count: int, known: Sequence[Took]) -> str:
    """How long stages will take, and for how many of them that is known."""
    if not known:
        return "unknown, since nothing like it was run here"
    where = " and ".join(sorted({device for took in known for device in took.devices}))
    about = f"about {duration(sum(took.seconds for took in known))}, one after the other on {where} as before"
    return about if len(known) == count else f"{about}, for {len(known)} of them; the others were never run here"
