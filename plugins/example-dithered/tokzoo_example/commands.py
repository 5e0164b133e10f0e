"""``tokzoo lattices``."""

from typing import Annotated

import typer


def lattices(
    codes: Annotated[int, typer.Option("--codes", min=2, help="The most codes it may have.")] = 512,
) -> None:
    """List the levels and channels of example/dithered that make the most of a number of codes."""
    for dim in range(1, 9):
        levels = int(codes ** (1 / dim) + 1e-9)
        if 2 <= levels <= 64:
            typer.echo(f"levels={levels} dim={dim}  {levels**dim} codes")
