"""The layout of the folder that runs are kept in, known here alone. No torch here.

.. code-block:: text

    runs/cells/CELL/cell.json           what the cell is, and the keys of its stages
                   /attempts/WHEN.json  what a worker was told
                            /WHEN.jsonl what it told: its events
                   /log.txt             what its components printed, and tracebacks
                   /NAME.png            pictures
        /cache/STAGE/KEY/done.json      a finished stage's result; cells with the same key share it
                        /execution.json how it runs, fixed when it began
                        /events.jsonl   the log of a training
                        /checkpoint.safetensors, lock, and the stage's own files
        /records/ID.json
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokzoo.contracts.errors import TokzooError
from tokzoo.data.checked_json import read_checked, write_checked
from tokzoo.data.files import is_as_written, reading

CELL, LOG, EVENTS = "cell.json", "log.txt", "events.jsonl"
DONE, EXECUTION, CHECKPOINT, LOCK = "done.json", "execution.json", "checkpoint.safetensors", "lock"


@dataclass(frozen=True, slots=True)
class CellFolder:
    """The folder of one cell."""

    path: Path

    @property
    def name(self) -> str:
        """The cell's id."""
        return self.path.name

    @property
    def run(self) -> "RunFolder":
        """The run folder it is in."""
        return RunFolder(self.path.absolute().parent.parent)

    @property
    def log(self) -> Path:
        """Where its worker's output goes."""
        return self.path / LOG

    def instructions(self, attempt: str) -> Path:
        """What a worker is told."""
        return self.path / "attempts" / f"{attempt}.json"

    def events(self, attempt: str) -> Path:
        """Where a worker's events go."""
        return self.path / "attempts" / f"{attempt}.jsonl"

    @property
    def pictures(self) -> list[Path]:
        """Its pictures, by name."""
        return sorted(self.path.glob("*.png"))

    def picture(self, name: str) -> Path:
        """One of its pictures, there or not."""
        return self.path / f"{name}.png"

    def is_there(self) -> bool:
        """Whether this is a cell's folder."""
        return os.path.isfile(self.path / CELL)  # false of what no path can be, where pathlib raises

    def write(self, cell: dict[str, Any], stages: dict[str, str]) -> None:
        """Write what the cell is (its dump) and the keys of its stages."""
        write_checked(self.path / CELL, {**cell, "stages": stages})

    def read(self) -> dict[str, Any]:
        """What :meth:`write` wrote: the dump, and under ``stages`` the keys.

        Raises:
            TokzooError: it cannot be read, or is damaged.
        """
        with reading(
            self.path / CELL,
            "a cell's description",
            *(ValueError, KeyError, TypeError, AttributeError),
            mend="run the cell again with tokzoo run",
        ):
            content = read_checked(self.path / CELL)
            stages = {str(stage): str(key) for stage, key in content["stages"].items()}
            return {**content, "stages": stages}

    def trained(self, stage: str) -> Path:
        """The folder of its trained model, by the stage that makes it.

        Raises:
            TokzooError: it has none, or it is not trained yet.
        """
        return self.run.trained(stage, self.read()["stages"].get(stage), f"cell {self.name}")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder that runs are kept in (``--out``)."""

    path: Path

    @property
    def cells(self) -> Path:
        """Of cells."""
        return self.path / "cells"

    @property
    def records(self) -> Path:
        """Of records."""
        return self.path / "records"

    def cell(self, name: str) -> CellFolder:
        """The folder of a cell, there or not."""
        return CellFolder(self.cells / name)

    def all_cells(self) -> list[CellFolder]:
        """The folders of all cells, by name."""
        return [CellFolder(path.parent) for path in sorted(self.cells.glob(f"*/{CELL}"))]

    def stage(self, name: str, key: str) -> Path:
        """The folder of a stage's result, there or not."""
        return self.path / "cache" / name / key

    def trained(self, stage: str, key: str | None, whose: str) -> Path:
        """The folder of a trained model, by its stage and that stage's key; ``whose`` is for the message.

        Raises:
            TokzooError: there is none, it is not trained yet, or it is damaged.
        """
        what = "AR model" if stage == "ar" else stage
        if key is None:
            raise TokzooError(f"{whose}: has no {what}")
        folder = self.stage(stage, key)
        result = self.read_result(stage, key)
        if result is None:
            raise TokzooError(f"{whose}: its {what} is not in {folder}; run it (again) with tokzoo run")
        for name, digest in result.get("files", {}).items():
            if not is_as_written(folder / name, digest):
                raise TokzooError(
                    f"{whose}: its {what} is damaged: {folder / name} is not what was written; delete {folder}, and "
                    "run it again with tokzoo run"
                )
        return folder

    def write_result(self, stage: str, key: str, result: Mapping[str, Any]) -> None:
        """Write what makes a stage finished, as JSON values."""
        write_checked(self.stage(stage, key) / DONE, {"stage": stage, "key": key, **result})

    def read_result(self, stage: str, key: str) -> dict[str, Any] | None:
        """What :meth:`write_result` wrote; None where the stage is not finished.

        Raises:
            TokzooError: it is damaged, or another stage's.
        """
        path = self.stage(stage, key) / DONE
        if not path.is_file():
            return None
        with reading(path, "the result of this stage", ValueError, mend="run the cell again with tokzoo run"):
            result = read_checked(path)
            whose = {"stage": result.pop("stage", None), "key": result.pop("key", None)}
            if whose != {"stage": stage, "key": key}:
                raise ValueError("it is another's")
            return result
