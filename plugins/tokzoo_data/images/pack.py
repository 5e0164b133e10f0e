"""A folder's images decoded once and packed: a uint8 array a split, for every later run to map into memory.

A pack is found by its fingerprint, and whole once it has its index, which holds the hashes of its arrays. It holds what
the fingerprint was taken of: each file is checked when it is decoded, each pack when it is used. Processes that want
the same one make it once. No torch here.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

import tokzoo
from tokzoo.data.files import file_hash, read_json, shown, write_atomic
from tokzoo.data.locks import locked
from tokzoo.data.opening import BrokenPicture
from tokzoo.data.pictures import READING, ChangedPicture, Pixels, read_picture
from tokzoo_data.images.cache import cache_folder, content_hashes, forget_hashes, in_parallel, writing_cache
from tokzoo_data.images.tree import SPLITS, Tree, read_tree

if TYPE_CHECKING:
    from tokzoo_data.configs import ImagesConfig

INDEX = "index.json"
MANY_BROKEN = 10
"""After so many files that cannot be decoded, the others are not looked at."""
Hashes = dict[str, str]
"""The SHA-256 of files by their paths from the root."""


@dataclass(frozen=True, slots=True)
class Arrays:
    """A split: images uint8 ``[N, C, H, W]``, mapped from the pack, and labels int64 ``[N]`` or None."""

    images: Pixels
    labels: np.ndarray | None


def fingerprint(config: "ImagesConfig") -> str:
    """SHA-256 of the content of every file with its path, split and label, and of how files become pixels.

    Where the folder is and when its files were written do not count.
    """
    tree = read_tree(config)
    return _fingerprint(config, tree, _hashes(tree))


def _hashes(tree: Tree) -> Hashes:
    return content_hashes(tree.root, [name for split in SPLITS for name in tree.files[split]])


def _fingerprint(config: "ImagesConfig", tree: Tree, hashes: Hashes) -> str:
    digest = hashlib.sha256()
    about = {"size": config.size, "channels": config.channels, "skip_corrupt": config.skip_corrupt}
    digest.update(json.dumps([READING, about, tree.classes]).encode())
    for split in SPLITS:
        labels = tree.labels[split] if tree.labels else [None] * len(tree.files[split])
        for name, label in zip(tree.files[split], labels, strict=True):
            digest.update(json.dumps([split, name, label, hashes[name]]).encode())
    return digest.hexdigest()


def packed(config: "ImagesConfig") -> dict[str, Arrays]:
    """The splits, from their pack; it is made first where there is none yet.

    Raises:
        tokzoo.TokzooError: files that cannot be decoded, by name (unless they are to be skipped); a folder that is not
            as it should be; a cache that cannot be written.
    """
    tree = read_tree(config)
    hashes = _hashes(tree)
    folder = cache_folder() / "packs" / _fingerprint(config, tree, hashes)[:32]
    with writing_cache(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_suffix(".lock")):
            found = _open(folder)
            if found is None:
                _make_or_nothing(config, tree, hashes, folder)
                found = _open(folder)
    if found is None:
        raise tokzoo.TokzooError(f"dataset images: {folder} was damaged as soon as it was written; is the disk sound?")
    arrays, skipped = found
    if skipped:
        names = ", ".join(map(shown, skipped))
        sys.stderr.write(f"dataset images: skipped, because they cannot be decoded: {names}\n")
    return arrays


def _open(folder: Path) -> tuple[dict[str, Arrays], list[str]] | None:
    """A whole pack's arrays and the names of the files it skipped; None where it is missing or damaged."""
    with suppress(OSError, EOFError, ValueError, KeyError, TypeError):
        index = read_json(folder / INDEX)
        arrays = {}
        for split in SPLITS:
            # Copy-on-write: nobody writes, but torch warns of arrays that cannot be written.
            images = np.load(_whole(folder, f"{split}.npy", index), mmap_mode="c")
            labels = np.load(_whole(folder, f"{split}-labels.npy", index)) if index["labelled"] else None
            if len(images) != index["images"][split] or (labels is not None and len(labels) != len(images)):
                return None
            arrays[split] = Arrays(images, labels)
        return arrays, list(index["skipped"])
    return None


def _whole(folder: Path, name: str, index: dict[str, Any]) -> Path:
    if file_hash(folder / name) != index["sha256"][name]:
        raise ValueError("not what was written")
    return folder / name


def _make_or_nothing(config: "ImagesConfig", tree: Tree, hashes: Hashes, folder: Path) -> None:
    try:
        _make(config, tree, hashes, folder)
    except BaseException as error:
        if isinstance(error, ChangedPicture):
            forget_hashes(tree.root)
        # Once the folder of images is mended its pack has another name, and this one would only take room.
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _make(config: "ImagesConfig", tree: Tree, hashes: Hashes, folder: Path) -> None:
    (folder / INDEX).unlink(missing_ok=True)
    broken: dict[str, BrokenPicture] = {}
    counts = {split: _pack_split(config, tree, hashes, split, folder, broken) for split in SPLITS}
    if broken and not config.skip_corrupt:
        raise _error(tree, broken)
    written = {path.name: file_hash(path) for path in sorted(folder.glob("*.npy"))}
    index = {"images": counts, "labelled": tree.labels is not None, "skipped": sorted(broken), "sha256": written}
    # A path need not be valid Unicode, and what is not is only written as ASCII.
    text = json.dumps(index)
    write_atomic(folder / INDEX, lambda path: path.write_text(text))


def _pack_split(
    config: "ImagesConfig", tree: Tree, hashes: Hashes, split: str, folder: Path, broken: dict[str, BrokenPicture]
) -> int:
    """Write a split's arrays; how many images they hold. Adds to ``broken`` what cannot be decoded."""
    rows: list[int] = []
    pixels = _decode(config, tree, hashes, split, rows, broken)
    write_atomic(folder / f"{split}.npy", lambda path: _write_rows(path, pixels, config))
    if not rows and config.skip_corrupt:
        raise tokzoo.TokzooError(f"dataset images: no image of the split '{split}' of {tree.root} can be decoded")
    if tree.labels is not None:
        labels = np.array(tree.labels[split], np.int64)[rows]
        write_atomic(folder / f"{split}-labels.npy", lambda path: _save(path, labels))
    return len(rows)


def _decode(
    config: "ImagesConfig",
    tree: Tree,
    hashes: Hashes,
    split: str,
    rows: list[int],
    broken: dict[str, BrokenPicture],
) -> Iterator[Pixels]:
    """The pixels of a split's files; notes in ``rows`` which these were, and in ``broken`` which could not be read."""
    names = tree.files[split]

    def read(name: str) -> Pixels | BrokenPicture:
        try:
            return read_picture(tree.root / name, config.image_spec(), hashes[name])
        except BrokenPicture as error:
            return error

    for row, found in enumerate(in_parallel(read, names, f"decoding {tree.root}")):
        if not isinstance(found, BrokenPicture):
            rows.append(row)
            yield found
            continue
        broken[names[row]] = found
        if not config.skip_corrupt and len(broken) >= MANY_BROKEN:
            raise _error(tree, broken)


def _error(tree: Tree, broken: dict[str, BrokenPicture]) -> tokzoo.TokzooError:
    lines = [f"  {shown(tree.root / name)}: {error.reason}" for name, error in sorted(broken.items())]
    what = f"at least {MANY_BROKEN} files" if len(lines) >= MANY_BROKEN else f"{len(lines)} of its files"
    return tokzoo.TokzooError(
        f"dataset images: {what} cannot be decoded:\n"
        + "\n".join(lines)
        + "\nrepair or remove them, or leave them out with track.dataset.skip_corrupt=true"
    )


def _write_rows(path: Path, rows: Iterator[Pixels], config: "ImagesConfig") -> None:
    """A .npy file of as many rows as there turn out to be."""
    with path.open("wb") as file:
        start = _write_header(file, 0, config)
        written = sum(file.write(row.tobytes()) for row in rows)
        file.seek(0)
        # numpy leaves room in the header for the first axis to grow.
        assert _write_header(file, written // (config.channels * config.size**2), config) == start


def _write_header(file: BinaryIO, count: int, config: "ImagesConfig") -> int:
    shape = (count, config.channels, config.size, config.size)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def _save(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)
