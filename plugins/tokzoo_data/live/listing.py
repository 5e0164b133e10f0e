"""Where the pictures of a split lie: what is found once and kept, so that each can be read by itself. No torch here."""

import dataclasses
import hashlib
import json
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import tokzoo
from tokzoo.data.files import open_file, reading, shown, write_atomic
from tokzoo.data.opening import LARGEST_BYTES, BrokenPicture
from tokzoo_data.images.cache import FRESH_NS, cache_folder, writing_cache

DATASET = "live-images"
FORMAT = 1
"""Raised when listings are kept in another form, or other files are found."""
Stamps = list[list[Any]]
"""Names with what changes about them when a listing no longer holds."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The pictures of a split, by position; millions of them stay small.

    Attributes:
        folder: where the files lie, absolute.
        classes: names in label order; None without labels, and where shards give numbers alone.
        shards: file names of tar files; none where every picture is a file.
        text: the pictures' names, one after the other.
        ends: int64 ``[N]``, where each name ends in ``text``.
        sizes: int64 ``[N]``, in bytes.
        labels: int64 ``[N]``; empty without labels.
        shard: int64 ``[N]``, which shard each is in; empty where every picture is a file.
        offsets: int64 ``[N]``, where it begins there; empty where every picture is a file.
        stamps: of what it was made from, as they were then; of shards their sizes and times.
        kept: the file this is kept in; None if it is not.
    """

    folder: Path
    classes: tuple[str, ...] | None
    shards: tuple[str, ...]
    text: bytes
    ends: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    shard: np.ndarray
    offsets: np.ndarray
    stamps: Stamps = field(default_factory=list)
    kept: Path | None = None

    @classmethod
    def of(cls, folder: Path, names: Sequence[str], sizes: Sequence[int], **others: Any) -> "Listing":
        """A listing from lists; ``others``: what else there is of its attributes."""
        encoded = [os.fsencode(name) for name in names]
        labels, shard, offsets = (np.array(others.get(name, []), np.int64) for name in ("labels", "shard", "offsets"))
        return cls(
            folder,
            others.get("classes"),
            tuple(others.get("shards", ())),
            b"".join(encoded),
            np.cumsum([len(name) for name in encoded], dtype=np.int64),
            np.array(sizes, np.int64),
            labels,
            shard,
            offsets,
        )

    def __len__(self) -> int:
        return len(self.ends)

    def path(self, index: int) -> str:
        """The name of a picture in its folder or shard."""
        return os.fsdecode(self.text[self.ends[index - 1] if index else 0 : self.ends[index]])

    def name(self, index: int) -> str:
        """What to call a picture in an error: its file, or its shard and its name there."""
        if not self.shards:
            return str(self.folder / self.path(index))
        return f"{self.folder / self.shards[self.shard[index]]}: {self.path(index)}"

    def read(self, index: int) -> bytes:
        """A picture's encoded bytes. Safe to call from several threads.

        Raises:
            tokzoo.TokzooError: the file cannot be read, is too large, or is not what was listed: a file of another
                size, a shard of another size or time.
        """
        size, start = int(self.sizes[index]), int(self.offsets[index]) if self.shards else 0
        path = self.folder / (self.shards[self.shard[index]] if self.shards else self.path(index))
        if size > LARGEST_BYTES:
            raise BrokenPicture(self.name(index), f"its {size:,} bytes are more than {LARGEST_BYTES:,}")
        # Opened anew each time: far quicker than decoding, and shards can be too many to keep open.
        with reading(f"dataset {DATASET}: {self.name(index)}"), open_file(path) as file:
            now = os.fstat(file.fileno())
            found = [now.st_size, now.st_mtime_ns] if self.shards else now.st_size
            if found != (self.stamps[self.shard[index]][1:] if self.shards else size):
                # What is kept of it would be believed again.
                if self.kept is not None:
                    self.kept.unlink(missing_ok=True)
                raise mistake(f"{shown(self.name(index))} has changed since it was listed; run it again")
            file.seek(start)
            return file.read(size)

    def digest(self) -> str:
        """SHA-256 of every name, size, label and place; not of the folder, nor of what the files contain."""
        digest = hashlib.sha256(json.dumps([FORMAT, self.classes, self.shards]).encode())
        for part in (self.text, *(getattr(self, name) for name in ARRAYS)):
            content = part if isinstance(part, bytes) else np.ascontiguousarray(part, "<i8").tobytes()
            digest.update(len(content).to_bytes(8, "big") + content)
        return digest.hexdigest()


ARRAYS = ("ends", "sizes", "labels", "shard", "offsets")


def kept(about: Sequence[Any], folder: Path, stamps: Callable[[], Stamps], find: Callable[[], Listing]) -> Listing:
    """The listing ``find`` gave when it was last called for the same, if ``stamps`` are as they were; else anew.

    Args:
        about: what tells this listing from others of the same folder. JSON.
        folder: where the files lie, absolute.
        stamps: asks for names with numbers; the last number of each is a time in ns.
        find: looks at every file.

    Raises:
        tokzoo.TokzooError: what these raise; or the cache cannot be written.
    """
    now = time.time_ns()
    found = stamps()
    key = hashlib.sha256(json.dumps([FORMAT, os.fsencode(folder).hex(), *about]).encode()).hexdigest()[:32]
    path = cache_folder() / "listings" / f"{key}.npz"
    with suppress(OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error):
        return _load(path, folder, found)
    listing = dataclasses.replace(find(), stamps=found, kept=path)
    # What changed within a clock tick of its file system could change again without showing it.
    if all(now - stamp[-1] > FRESH_NS for stamp in found):
        with writing_cache(path, DATASET):
            write_atomic(path, lambda temporary: _save(temporary, listing, found))
    return listing


def _save(path: Path, listing: Listing, stamps: Stamps) -> None:
    about = {"classes": listing.classes, "shards": listing.shards, "stamps": stamps}
    arrays: dict[str, Any] = {name: getattr(listing, name) for name in ARRAYS}
    for name, text in (("about", json.dumps(about).encode()), ("text", listing.text)):
        arrays[name] = np.frombuffer(text, np.uint8)
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _load(path: Path, folder: Path, stamps: Stamps) -> Listing:
    """The listing in a file; an error of any kind where it is missing, damaged or out of date."""
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(file["about"].tobytes())
        if about["stamps"] != stamps:
            raise ValueError("out of date")
        classes = None if about["classes"] is None else tuple(about["classes"])
        arrays = {name: file[name] for name in ARRAYS}
        text = file["text"].tobytes()
        return Listing(folder, classes, tuple(about["shards"]), text, **arrays, stamps=stamps, kept=path)


def mistake(problem: str) -> tokzoo.TokzooError:
    """The error for something the user can mend."""
    return tokzoo.TokzooError(f"dataset {DATASET}: {problem}")
