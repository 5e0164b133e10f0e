"""JSON files that hold the hash of their content, so that nothing damaged is taken for it. No torch here."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokzoo.data.files import read_json, write_json

CHECKSUM = "sha256"
"""The field with the hash of all others."""


class NotAsWritten(ValueError):
    """A file holds something else than was written into it."""

    def __init__(self) -> None:
        super().__init__("it is not what was written")


def write_checked(path: Path, content: Mapping[str, Any]) -> None:
    """Write fields of JSON values, with their checksum."""
    write_json(path, with_checksum(content))


def read_checked(path: Path) -> dict[str, Any]:
    """What :func:`write_checked` wrote, without the checksum.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no JSON, or not what was written.
    """
    return without_checksum(read_json(path))


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """Fields and the checksum of them."""
    return {**content, CHECKSUM: checksum(content)}


def without_checksum(content: Any) -> dict[str, Any]:
    """The fields that :func:`with_checksum` was given.

    Raises:
        NotAsWritten: the checksum is missing, or that of other fields.
    """
    fields = dict(content) if isinstance(content, dict) else {}
    if fields.pop(CHECKSUM, None) != checksum(fields):
        raise NotAsWritten
    return fields


def checksum(content: Any) -> str:
    """The SHA-256 of a JSON value, whatever the order of its fields.

    Raises:
        NotAsWritten: it is nested deeper than anything that is written.
    """
    try:
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    except RecursionError:
        raise NotAsWritten from None
