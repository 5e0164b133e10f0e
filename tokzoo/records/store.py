"""A folder of records, one file each, append-only."""

import json
from pathlib import Path

from tokzoo.contracts.errors import TokzooError
from tokzoo.data.files import read_json, write_json
from tokzoo.records.schema import Record, check_record


class RecordStore:
    """Records under ``folder``; a record's file is named by its id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, record: Record) -> Path:
        """Write a record; one with the same id is there already and stays."""
        path = self.folder / f"{record.id}.json"
        if not path.exists():
            write_json(path, record.model_dump(mode="json", by_alias=True))
        return path

    def read(self) -> tuple[list[Record], list[str]]:
        """Every valid record, oldest first by id, and one line for each file that is not one."""
        records, problems = [], []
        for path in sorted(self.folder.glob("*.json")):
            try:
                records.append(check_record(read_json(path), path.name))
            except (TokzooError, json.JSONDecodeError, UnicodeDecodeError) as error:
                problems.append(str(error) if isinstance(error, TokzooError) else f"{path.name}: not JSON")
        return records, problems

    def find(self, prefix: str) -> Record:
        """The record whose id begins with ``prefix``.

        Raises:
            TokzooError: none, or more than one.
        """
        paths = sorted(self.folder.glob(f"{prefix}*.json"))
        if len(paths) != 1:
            known = "none" if not paths else ", ".join(path.stem for path in paths)
            raise TokzooError(f"record '{prefix}' in {self.folder}: expected one, found {known}")
        return check_record(read_json(paths[0]), paths[0].name)
