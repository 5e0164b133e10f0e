"""A split as a folder of pictures, in class folders as ImageNet is unpacked, or with none. No torch here.

Pictures lie in the split's folder itself or in folders in it, no deeper: so a look at the times of these folders tells
whether a file was added or removed, and a million files need not be looked at again. A file that is overwritten where
it lies is not noticed before its folder changes, or before it is read and has another size.
"""

import hashlib
import os
from pathlib import Path

from tokzoo.data.files import reading, shown
from tokzoo.data.pictures import list_folder, no_picture_in
from tokzoo_data.images.cache import in_parallel
from tokzoo_data.live.listing import DATASET, Listing, Stamps, kept, mistake

Found = list[tuple[str, int]]
"""Names of pictures with their sizes in bytes."""


def list_pictures(folder: Path, labelled: bool) -> Listing:
    """The pictures of a split, ordered by hashes of their names, so that classes are mixed.

    Raises:
        tokzoo.TokzooError: no picture, pictures outside of class folders that are to have labels, or folders in these.
    """

    def stamps() -> Stamps:
        inside, _ = list_folder(folder)
        return [[name, (folder / name).stat().st_mtime_ns] for name in (".", *inside)]

    return kept(["folder", labelled], folder, stamps, lambda: _find(folder, labelled))


def _find(folder: Path, labelled: bool) -> Listing:
    names, loose = list_folder(folder)
    if labelled and loose:
        raise mistake(f"{shown(folder / loose[0])} is in no class folder; move it, or say track.dataset.labels=false")
    parts = dict(
        zip(names, in_parallel(lambda name: _pictures(folder / name), names, f"listing {folder}", DATASET), strict=True)
    )
    parts = {name: found for name, found in parts.items() if found}
    if loose:
        parts["."] = _sizes(folder, loose)
    if not parts:
        raise mistake(no_picture_in(folder))
    rows = [
        (name if part == "." else f"{part}/{name}", size, label)
        for label, (part, found) in enumerate(parts.items())
        for name, size in found
    ]
    rows.sort(key=lambda row: hashlib.sha256(os.fsencode(row[0])).digest())
    paths, sizes, labels = zip(*rows, strict=True)
    if not labelled:
        return Listing.of(folder, paths, sizes)
    return Listing.of(folder, paths, sizes, labels=labels, classes=tuple(parts))


def _pictures(folder: Path) -> Found:
    inside, names = list_folder(folder)
    if inside:
        raise mistake(
            f"{shown(folder)} holds folders, such as {shown(inside[0])}; pictures lie in class folders, no deeper "
            "(dataset images reads folders of any depth)"
        )
    return _sizes(folder, names)


def _sizes(folder: Path, names: list[str]) -> Found:
    found = []
    for name in names:
        path = os.path.join(folder, name)
        with reading(f"dataset {DATASET}: {path}"):
            found.append((name, os.stat(path).st_size))
    return found
