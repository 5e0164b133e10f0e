"""What ``tokzoo run --dry-run`` prints."""

from collections.abc import Sequence
from typing import Any

import typer

from tokzoo.bench.stages import stages_of
from tokzoo.cli.common import console
from tokzoo.contracts.specs import Chain
from tokzoo.contracts.text import counted


def chain_text(chain: Chain) -> str:
    """The shapes from image to codes, in a line."""
    codes = f"{chain.codes}, {chain.codes.bits_per_image:.0f} bits" if chain.codes else "no codes (continuous)"
    return f"{chain.image} → {chain.latent} → {codes}"


def _state(found: Any) -> str:
    if found.result is None:
        return f"new ({found.why})" if found.why else "new"
    return f"cached, made by {'; '.join(found.made_by)}" if found.made_by else "cached"


def print_dry_run(cells: Sequence[Any], bench: Any) -> None:
    """A row a cell: the resolved chain, its size, and which stages are new; then how much is shared."""
    from rich.table import Table
    from rich.text import Text

    from tokzoo.assembly.count import count_parameters
    from tokzoo.leaderboard.words import number

    table = Table("cell", "chain", "bits/image", "parameters", "stages")
    fresh: set[tuple[str, str]] = set()
    for cell in cells:
        stages = stages_of(cell)
        found = bench.find(cell)
        fresh |= {(stage.name, stage.key) for stage in stages if found[stage.name].result is None}
        sizes = "\n".join(
            f"{part} {number(count, 0)}"
            for part, count in count_parameters(cell.recipe, cell.chain, cell.probe).items()
        )
        shown = "\n".join(f"{name}: {_state(each)}" for name, each in found.items())
        bits = number(cell.chain.codes.bits_per_image, 0) if cell.chain.codes else "–"
        name = f"{cell.recipe.name}\n{cell.track.id}\nseed {cell.seed}"
        table.add_row(Text(name), Text(chain_text(cell.chain)), bits, sizes, shown)
    console().print(table)
    typer.echo(f"{counted(len(cells), 'cell')}, {counted(len(fresh), 'stage')} to run; nothing was trained")
