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
            write_json(path, record.stored)
        return path

    def read(self) -> tuple[list[Record], list[str]]:
        """Every valid record, ordered by id, and one line for each file that is not one."""
        records: list[Record] = []
        problems: list[str] = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                record = check_record(read_json(path), path.name)
                if record.id != path.stem:
                    raise TokzooError(f"{path.name}: holds record {record.id}, which belongs in {record.id}.json")
                records.append(record)
            except TokzooError as error:
                problems.append(str(error))
            except OSError as error:
                problems.append(f"{path.name}: {error.strerror}")
            except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
                problems.append(f"{path.name}: not JSON")
        return records, problems
