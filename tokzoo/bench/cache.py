"""The content-addressed cache of stage results: one folder for each stage and key, finished once it says so.

A key says what a result must be, not which code made it: that stands in the result, with the identity of the results
it was made from. What does not go together with them is made anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tokzoo.bench.provenance import Code, code_of, has_changed, other_releases
from tokzoo.bench.stages import CellStage
from tokzoo.contracts.errors import TokzooError
from tokzoo.data.files import file_hash, is_as_written, reading
from tokzoo.data.locks import locked
from tokzoo.data.run_folder import DONE, LOCK, RunFolder
from tokzoo.recipes.hashing import content_hash


@dataclass(slots=True)
class Result:
    """What a finished stage leaves.

    Attributes:
        values: metric values by id, for stages that measure.
        count: how many images were measured.
        files: the SHA-256 of each file in the stage's folder.
        upstream: the identities of the results it was made from, by stage.
        code: what made it.
        execution: what decides the last bits: torch version, device, threads.
        observed: seconds and the like.
    """

    values: dict[str, float] = field(default_factory=dict)
    count: int = 0
    files: dict[str, str] = field(default_factory=dict)
    upstream: dict[str, str] = field(default_factory=dict)
    code: Code = field(default_factory=dict)
    execution: dict[str, Any] = field(default_factory=dict)
    observed: dict[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """The hash of what others can read of it, and of how it was run: under another torch it is another result."""
        content = {"values": self.values, "count": self.count, "files": self.files, "execution": self.execution}
        return content_hash(content)


@dataclass(frozen=True, slots=True)
class Found:
    """What the cache has of a stage.

    Attributes:
        result: None where there is none that can be used.
        why: why the one that is there cannot.
        made_by: the other releases that made the one that is used, a line each.
    """

    result: Result | None
    why: str = ""
    made_by: tuple[str, ...] = ()


class StageCache:
    """The stages of a run folder.

    Args:
        fresh: use nothing that other releases made.
    """

    def __init__(self, run: RunFolder, fresh: bool = False) -> None:
        self.run = run
        self.fresh = fresh

    def path(self, stage: CellStage) -> Path:
        """The stage's folder, finished or not."""
        return self.run.stage(stage.name, stage.key)

    def result(self, stage: CellStage) -> Result | None:
        """The result of a finished stage, whatever made it; None where there is none, or it is damaged."""
        try:
            return self._read(stage)
        except TokzooError:
            return None

    def _read(self, stage: CellStage) -> Result | None:
        content = self.run.read_result(stage.name, stage.key)
        with reading(self.path(stage), "a result that this version of tokzoo reads", TypeError):
            return None if content is None else Result(**content)

    def find(self, stage: CellStage, upstream: Mapping[str, Result]) -> Found:
        """What there is of a stage that can be used with the results it reads."""
        try:
            result = self._read(stage)
        except TokzooError:
            return Found(None, "its result is damaged")
        if result is None:
            return Found(None)
        here = code_of(stage.sources)
        others = tuple(other_releases(result.code, here))
        if has_changed(result.code, here):
            return Found(None, "its code changed")
        if self.fresh and others:
            return Found(None, f"made by {others[0]}")
        if result.upstream != {name: upstream[name].identity for name in stage.upstream}:
            return Found(None, "what it reads changed")
        return Found(result, made_by=others)

    def find_all(self, stages: Sequence[CellStage]) -> dict[str, Found]:
        """What there is of a cell's stages, by name: of none whose upstream is missing."""
        found: dict[str, Found] = {}
        results: dict[str, Result] = {}
        for stage in stages:
            if all(name in results for name in stage.upstream):
                found[stage.name] = self.find(stage, results)
            else:
                found[stage.name] = Found(None, "what it reads is made anew" if self.result(stage) else "")
            if (result := found[stage.name].result) is not None:
                results[stage.name] = result
        return found

    def finish(self, stage: CellStage, result: Result, files: Iterable[str]) -> None:
        """Record that a stage is done; its files are hashed first."""
        folder = self.path(stage)
        result.files = {name: file_hash(folder / name) for name in files}
        self.run.write_result(stage.name, stage.key, asdict(result))

    def is_whole(self, stage: CellStage) -> bool:
        """Whether a finished stage's files are there and have the content they were finished with."""
        result = self.result(stage)
        if result is None:
            return False
        folder = self.path(stage)
        return all(is_as_written(folder / name, digest) for name, digest in result.files.items())

    def forget(self, stage: CellStage) -> None:
        """Make a stage unfinished, so that it is run again."""
        (self.path(stage) / DONE).unlink(missing_ok=True)

    def lock(self, stage: CellStage) -> AbstractContextManager[None]:
        """Held while a stage is run, by one process at a time."""
        folder = self.path(stage)
        folder.mkdir(parents=True, exist_ok=True)
        return locked(folder / LOCK)
