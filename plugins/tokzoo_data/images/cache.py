"""What is kept of a folder of images between runs, and the work that is worth keeping. No torch here.

Under ``$TOKZOO_CACHE`` (default ``~/.cache/tokzoo``), in ``images/``: the content hash of every file seen, pixels
packed, and where the pictures of large datasets lie. Nothing there is needed; all of it can be deleted.
"""

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from tokzoo.data.files import file_hash, read_json, reading, write_atomic, writing

Item = TypeVar("Item")
Made = TypeVar("Made")

VARIABLE = "TOKZOO_CACHE"
AHEAD = 256
"""How many results may wait for the one who reads them."""
TELL_SECONDS = 10.0
FRESH_NS = 2_000_000_000
"""A file changed within its file system's clock tick can change again without showing it: its hash is not kept."""


def cache_folder() -> Path:
    """Where the datasets of pictures keep things."""
    return Path(os.environ.get(VARIABLE) or "~/.cache/tokzoo").expanduser().absolute() / "images"


def in_parallel(
    work: Callable[[Item], Made], items: Sequence[Item], doing: str, dataset: str = "images"
) -> Iterator[Made]:
    """``work`` of each item, in order, in threads. Tells how far it is on standard error, where it takes long.

    Hashing, decoding and resizing leave the interpreter lock alone, so threads do as well as processes.
    """
    told = time.monotonic()
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(items), AHEAD):
            yield from pool.map(work, items[start : start + AHEAD])
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                sys.stderr.write(f"dataset {dataset}: {doing}, {min(start + AHEAD, len(items))} of {len(items)}\n")


def content_hashes(root: Path, names: Sequence[str]) -> dict[str, str]:
    """The SHA-256 of files by their paths from ``root``. A file whose size and time are as before is not read again.

    Raises:
        tokzoo.TokzooError: a file cannot be read, or the cache cannot be written.
    """
    path = _hashes(root)
    known = _known(path)
    now = time.time_ns()
    stamps = {name: _stamp(root / name) for name in names}
    stale = [name for name in names if known.get(name, [])[:2] != stamps[name]]
    fresh = dict(zip(stale, in_parallel(lambda name: _hash(root / name), stale, f"reading {root}"), strict=True))
    hashes = {name: fresh[name] if name in fresh else known[name][2] for name in names}
    keep = {name: [*stamps[name], hashes[name]] for name in names if now - stamps[name][1] > FRESH_NS}
    if keep != known:
        # A path need not be valid Unicode, and what is not is only written as ASCII.
        text = json.dumps(keep)
        with writing_cache(path):
            write_atomic(path, lambda temporary: temporary.write_text(text))
    return hashes


def forget_hashes(root: Path) -> None:
    """Have every file under ``root`` read again when its hash is next asked for."""
    _hashes(root).unlink(missing_ok=True)


def _hashes(root: Path) -> Path:
    return cache_folder() / "hashes" / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:32]}.json"


def writing_cache(path: Path, dataset: str = "images") -> AbstractContextManager[None]:
    """Tells in one message that something of the cache cannot be written."""
    return writing(
        f"dataset {dataset}: {path}", mend=f"let the environment variable {VARIABLE} name a folder with room"
    )


def _known(path: Path) -> dict[str, list[Any]]:
    try:
        known = read_json(path)
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) and all(map(_is_known, known.values())) else {}


def _is_known(entry: Any) -> bool:
    """Whether it is a size, a time and a hash: a damaged file is as good as none."""
    return (
        isinstance(entry, list)
        and list(map(type, entry)) == [int, int, str]
        and re.fullmatch("[0-9a-f]{64}", entry[2]) is not None
    )


def _stamp(path: Path) -> list[int]:
    with reading(path):
        found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _hash(path: Path) -> str:
    with reading(path):
        return file_hash(path)
