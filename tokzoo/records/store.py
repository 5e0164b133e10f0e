"""A folder of records, one file each, append-only."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from tokzoo.contracts.errors import TokzooError, describe
from tokzoo.contracts.text import printable
from tokzoo.data.files import load_json, reading, write_json
from tokzoo.records.schema import Pool, Record, check_record


class RecordStore:
    """Records under ``folder``; a record's file is named by its id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, record: Record) -> Path:
        """A record's file, there or not."""
        return self.folder / f"{record.id}.json"

    def add(self, record: Record) -> Path:
        """Write a record. One with the same id that is there already stays, unless it is damaged."""
        path = self.path(record)
        try:
            _read(path)
        except TokzooError:
            write_json(path, record.stored)
        return path

    def written(self, record: Record) -> datetime:
        """When a record of this folder was written, in local time."""
        with reading(path := self.folder / f"{record.id}.json"):
            return datetime.fromtimestamp(path.stat().st_mtime)

    def read(self) -> tuple[list[Record], list[str]]:
        """Every valid record, ordered by id, and one line for each file that is not one."""
        records: list[Record] = []
        problems: list[str] = []
        pool: Pool = {}
        with _no_garbage_collection():
            for path in sorted(self.folder.glob("*.json")):
                try:
                    records.append(_read(path, pool))
                except TokzooError as error:
                    problems.append(describe(error))
        return records, problems


def _read(path: Path, pool: Pool | None = None) -> Record:
    name = printable(path.name)
    record = check_record(load_json(path, name), name, path, pool)
    if record.id != path.stem:
        raise TokzooError(f"{name}: holds record {record.id}, which belongs in {record.id}.json")
    return record


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """JSON has no circles: looking for some, again and again as thousands of records pile up, takes a fifth longer."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
