"""What this plugin brings, hook by hook. No torch here: every command imports this."""

import json
import os
from pathlib import Path
from typing import Any

import tokzoo
from tokzoo_example.commands import lattices

TOKZOO_API = ((0, 2), (0, 2))
"""The first and the last version of the plugin API this was written for and tried with."""

HERE = Path(__file__).parent
LOG = "TOKZOO_EXAMPLE_LOG"


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    """One quantizer."""
    return [
        tokzoo.ComponentSpec(
            kind="quantizer",
            name="example/dithered",
            config="tokzoo_example.configs:DitheredConfig",
            target="tokzoo_example.dithered:Dithered",
            summary="rounds each bounded channel; trained with uniform noise in place of the rounding",
            paper="arXiv 1611.01704, section 2",
        )
    ]


@tokzoo.hookimpl
def tokzoo_recipes() -> Path:
    """The folder of recipes."""
    return HERE / "recipes"


@tokzoo.hookimpl
def tokzoo_tracks() -> Path:
    """The folder of tracks."""
    return HERE / "tracks"


@tokzoo.hookimpl
def tokzoo_suites() -> Path:
    """The folder of suites."""
    return HERE / "suites"


@tokzoo.hookimpl
def tokzoo_renderers() -> dict[str, str]:
    """``tokzoo leaderboard show --format tsv``."""
    return {"tsv": "tokzoo_example.tsv:render"}


@tokzoo.hookimpl
def tokzoo_commands(app: Any) -> None:
    """``tokzoo lattices``."""
    app.command("lattices")(lattices)


@tokzoo.hookimpl
def tokzoo_cell_finished(cell: str, record: dict[str, Any]) -> None:
    """Add a line of JSON to the file that ``TOKZOO_EXAMPLE_LOG`` names."""
    if LOG in os.environ:
        line = json.dumps({"cell": cell, "record": record["id"], "status": record["status"]})
        with Path(os.environ[LOG]).open("a", encoding="utf-8") as log:
            log.write(line + "\n")
