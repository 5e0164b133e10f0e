"""What is kept of a folder of images between runs, and the work that is worth keeping. No torch here.

Under ``$TOKZOO_CACHE`` (default ``~/.cache/tokzoo``), in ``images/``: the content hash of every file seen, pixels
packed, and where the pictures of large datasets lie. Nothing there is needed; all of it can be deleted.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import tokzoo
from tokzoo.data.files import file_hash, read_json, write_atomic
from tokzoo.data.pictures import shown

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
    path = cache_folder() / "hashes" / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:32]}.json"
    known = _known(path)
    now = time.time_ns()
    stamps = {name: _stamp(root / name) for name in names}
    stale = [name for name in names if known.get(name, [])[:2] != stamps[name]]
    fresh = dict(zip(stale, in_parallel(lambda name: _hash(root / name), stale, f"reading {root}"), strict=True))
    hashes = {name: fresh[name] if name in fresh else known[name][2] for name in names}
    keep = {name: [*stamps[name], hashes[name]] for name in names if now - stamps[name][1] > FRESH_NS}
    if keep != known:
        try:
            # A path need not be valid Unicode, and what is not is only written as ASCII.
            text = json.dumps(keep)
            write_atomic(path, lambda temporary: temporary.write_text(text))
        except OSError as error:
            raise unwritable(path, error) from error
    return hashes


def unwritable(path: Path, error: OSError, dataset: str = "images") -> tokzoo.TokzooError:
    """The error for a cache that cannot be written."""
    return tokzoo.TokzooError(
        f"dataset {dataset}: {path} cannot be written ({error.strerror or error}); "
        f"let the environment variable {VARIABLE} name a folder with room"
    )


def _known(path: Path) -> dict[str, list[Any]]:
    try:
        known = read_json(path)
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return known if isinstance(known, dict) else {}


def _stamp(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return [found.st_size, found.st_mtime_ns]


def _hash(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> tokzoo.TokzooError:
    return tokzoo.TokzooError(f"dataset images: {shown(path)} cannot be read ({error.strerror})")
