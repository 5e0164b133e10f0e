"""How long stages will take, from how long the same took with other seeds; where nothing is known, nothing is said."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import median

from tokzoo.bench.cache import Result, StageCache
from tokzoo.bench.cell import Cell
from tokzoo.bench.stages import CellStage, stages_of

FIRST_SEEDS = range(5)
"""Seeds that are looked for beside those that are asked for."""


@dataclass(frozen=True, slots=True)
class Took:
    """How long a stage took before.

    Attributes:
        seconds: the median of the seeds that were found.
        devices: what it ran on.
    """

    seconds: float
    devices: frozenset[str]


class Estimates:
    """What is known of how long stages take.

    Args:
        device: ``cpu`` or ``cuda``: only what ran on it counts; ``auto``: whatever it ran on.
        seeds: those that are asked for.
    """

    def __init__(self, cache: StageCache, device: str, seeds: Iterable[int]) -> None:
        self._cache = cache
        self._device = device
        self._seeds = sorted({*seeds, *FIRST_SEEDS})
        self._known: dict[str, dict[str, Took]] = {}

    def of(self, cell: Cell) -> dict[str, Took]:
        """The stages of a cell that were run before with some seed, by name."""
        alike = f"{cell.recipe_hash} {cell.track_hash}"
        if alike not in self._known:
            found: dict[str, list[Result]] = {}
            for seed in self._seeds:
                for stage in stages_of(replace(cell, seed=seed)):
                    found.setdefault(stage.name, []).extend(self._counting(stage))
            self._known[alike] = {name: _took(results) for name, results in found.items() if results}
        return self._known[alike]

    def _counting(self, stage: CellStage) -> list[Result]:
        """The result of a stage if it is known how long it took as a whole."""
        result = self._cache.result(stage)
        if result is None or _seconds(result) is None or result.observed.get("resumed"):
            return []
        return [result] if self._device in ("auto", result.execution.get("device")) else []


def _seconds(result: Result) -> float | None:
    seconds = result.observed.get("seconds")
    return float(seconds) if isinstance(seconds, int | float) else None


def _took(results: list[Result]) -> Took:
    seconds = [value for result in results if (value := _seconds(result)) is not None]
    return Took(median(seconds), frozenset(str(result.execution.get("device")) for result in results))
