"""The content-addressed cache of stage results: one folder for each stage and key, finished once it says so."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from tokzoo.bench.stages import CellStage
from tokzoo.data.files import file_hash, read_json, write_json
from tokzoo.data.run_folder import DONE, LOCK, RunFolder


@dataclass(slots=True)
class Result:
    """What a finished stage leaves.

    Attributes:
        values: metric values by id, for stages that measure.
        count: how many images were measured.
        files: the SHA-256 of each file in the stage's folder.
        execution: what decides the last bits: torch version, device, threads.
        observed: seconds and the like.
    """

    values: dict[str, float] = field(default_factory=dict)
    count: int = 0
    files: dict[str, str] = field(default_factory=dict)
    execution: dict[str, Any] = field(default_factory=dict)
    observed: dict[str, Any] = field(default_factory=dict)


class StageCache:
    """The stages of a run folder."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    def path(self, stage: CellStage) -> Path:
        """The stage's folder, finished or not."""
        return self.run.stage(stage.name, stage.key)

    def result(self, stage: CellStage) -> Result | None:
        """The result of a finished stage, else None."""
        try:
            return Result(**read_json(self.path(stage) / DONE))
        except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, TypeError):
            return None

    def finish(self, stage: CellStage, result: Result, files: Iterable[str]) -> None:
        """Record that a stage is done; its files are hashed first."""
        folder = self.path(stage)
        result.files = {name: file_hash(folder / name) for name in files}
        write_json(folder / DONE, asdict(result))

    def is_whole(self, stage: CellStage) -> bool:
        """Whether a finished stage's files are there and have the content they were finished with."""
        result = self.result(stage)
        if result is None:
            return False
        folder = self.path(stage)
        return all(
            (folder / name).is_file() and file_hash(folder / name) == digest for name, digest in result.files.items()
        )

    def forget(self, stage: CellStage) -> None:
        """Make a stage unfinished, so that it is run again."""
        (self.path(stage) / DONE).unlink(missing_ok=True)

    def lock(self, stage: CellStage) -> FileLock:
        """Held while a stage is run, by one process at a time; a dead process holds nothing."""
        folder = self.path(stage)
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / LOCK)
