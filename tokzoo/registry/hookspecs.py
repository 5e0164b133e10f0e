"""The hooks a plugin may implement. An implementation may take fewer arguments than its hook offers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pluggy

from tokzoo.registry.component import ComponentSpec
from tokzoo.registry.formats import FormatSpec

PROJECT = "tokzoo"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def tokzoo_components() -> Sequence[ComponentSpec]:
    """Components the plugin offers. Must not import torch: configs and targets are lazy strings."""
    raise NotImplementedError


@hookspec
def tokzoo_recipes() -> Path:
    """A folder of recipes, one file ``NAME.yaml`` per recipe."""
    raise NotImplementedError


@hookspec
def tokzoo_tracks() -> Path:
    """A folder of tracks, one file ``NAME@VERSION.yaml`` per track."""
    raise NotImplementedError


@hookspec
def tokzoo_suites() -> Path:
    """A folder of suites, one file ``NAME.yaml`` per suite."""
    raise NotImplementedError


@hookspec
def tokzoo_formats() -> Sequence[FormatSpec]:
    """Foreign checkpoint formats the plugin reads and writes. Must not import torch: a target is a lazy string."""
    raise NotImplementedError


@hookspec
def tokzoo_renderers() -> dict[str, str]:
    """Further formats of ``tokzoo leaderboard show --format NAME``, each a lazy ``"module:function"``.

    The function is given the tables, a list of them as plain values, and returns text. Our own formats are made from
    the same (``--format json`` prints it). A table has

    - ``track``, ``track_hash``, ``main`` (the metric id that rows are sorted by), ``notes`` (lines of text);
    - ``columns``, each with ``metric`` (its id), ``protocol``, ``label``, ``unit``, ``better`` ("higher", "lower" or
      None), ``digits`` (decimals shown) and ``mark`` ("" for a metric's first protocol, else what tells its heading
      apart, such as "†", which the notes explain);
    - ``rows``, best first, each with ``recipe`` (its label), ``recipe_hash``, ``rank`` ([first, last] place it may
      hold, or None), ``evidence``, ``seeds``, ``records`` (the id of each seed's), ``bits_per_image`` (or None),
      ``failures`` and ``disputes`` (lines of text), and ``values``, one per column: None, or ``mean``, ``n`` (seeds),
      ``deviation`` and ``half_width`` (of the 95 % interval), which are None from one seed;
    - ``protocols``, by the columns' ``protocol``: everything that must be equal for two numbers to compare.
    """
    raise NotImplementedError


@hookspec
def tokzoo_commands(app: Any) -> None:
    """Add commands to the typer application ``app``, which holds only this plugin's commands."""


@hookspec
def tokzoo_cell_started(cell: str, recipe: str, track: str, seed: int) -> None:
    """A cell has started in this process."""


@hookspec
def tokzoo_step_end(cell: str, stage: str, step: int, terms: dict[str, float]) -> None:
    """A log interval of training has ended: ``terms`` are its mean losses."""


@hookspec
def tokzoo_cell_finished(cell: str, record: dict[str, Any]) -> None:
    """A cell has ended, well or badly: ``record`` is its record."""
