"""Which files of a folder make which split, and their classes. No torch here.

A folder is read in one of two ways. With folders ``train`` and ``val`` at its top, these are the splits, and whatever
else is beside them is left alone. Otherwise a file is in ``val`` if the hash of its path from ``root`` falls below
``val_fraction``: adding files moves no other file to the other split.

Classes are the first folders below that, in order of their names; those without an image are none. Images in no folder
have no labels. One folder alone could be a class or just a folder, and images beside folders could be of any class or
none: both are refused, with the way out.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tokzoo
from tokzoo.data.pictures import find_pictures, list_folder, no_picture_in

if TYPE_CHECKING:
    from tokzoo_data.configs import ImagesConfig

SPLITS = ("train", "val")
UNLABELLED = "say track.dataset.labels=false to learn them without labels"


@dataclass(frozen=True, slots=True)
class Tree:
    """The files of a folder.

    Attributes:
        root: the folder, absolute.
        classes: names in label order; None without labels.
        files: of each split, the paths from the root. Ordered by their hashes, so that classes are mixed.
        labels: of each split, the files' classes; None without.
    """

    root: Path
    classes: tuple[str, ...] | None
    files: dict[str, list[str]]
    labels: dict[str, list[int]] | None


def read_tree(config: "ImagesConfig") -> Tree:
    """The files of both splits.

    Raises:
        tokzoo.TokzooError: no such folder, no image in it, a split without images, or classes that are in doubt.
    """
    root = _folder(config.root)
    classes = read_classes(config)
    if is_split(root):
        files = {split: [f"{split}/{name}" for name in find_pictures(root / split)] for split in SPLITS}
        mend = "put images there"
    else:
        files = {split: [] for split in SPLITS}
        for name in find_pictures(root):
            files["val" if _position(name) < config.val_fraction else "train"].append(name)
        mend = "give more images, another val_fraction, or folders train and val"
    for split, names in files.items():
        if not names:
            raise _error(f"{root} has no image for the split '{split}'; {mend}")
        names.sort(key=_position)
    if classes is None:
        return Tree(root, None, files, None)
    numbers = {name: number for number, name in enumerate(classes)}
    level = 1 if is_split(root) else 0
    labels = {split: [numbers[name.split("/")[level]] for name in names] for split, names in files.items()}
    return Tree(root, classes, files, labels)


def read_classes(config: "ImagesConfig") -> tuple[str, ...] | None:
    """The names of the classes, in label order; None without labels. Looks no further than it must.

    Raises:
        tokzoo.TokzooError: no such folder, no image in it, or classes that are in doubt.
    """
    root = _folder(config.root)
    if not config.labels:
        return None
    if not is_split(root):
        return _distinct(root, _class_folders(root))
    train, val = (_class_folders(root / split) for split in SPLITS)
    classes = _distinct(root / "train", train)
    unknown = sorted(set(val) - set(train))
    if unknown:
        raise _error(f"{root / 'val'} has classes that train has not: {', '.join(unknown)}; {UNLABELLED}")
    if train and not val:
        raise _error(f"{root / 'train'} has class folders and {root / 'val'} has none; give both, or {UNLABELLED}")
    return classes


def _folder(given: Path) -> Path:
    root = given.expanduser().absolute()
    if not root.exists():
        raise _error(f"root {given}: no such folder")
    if not root.is_dir():
        raise _error(f"root {given} is a file; give the folder of the images (unpacked, if this is an archive)")
    if next(find_pictures(root), None) is None:
        raise _error(no_picture_in(root))
    return root


def is_split(root: Path) -> bool:
    """Whether its folders say what is learned from and what is judged by."""
    return all((root / split).is_dir() for split in SPLITS)


def _class_folders(folder: Path) -> tuple[str, ...]:
    """The names of the folders in ``folder`` with images below; none where the images are in no folder."""
    inside, loose = list_folder(folder)
    names = tuple(name for name in inside if next(find_pictures(folder / name), None) is not None)
    if names and loose:
        found = f"the folders {_some(names)} and, beside them, the images {_some(loose)}"
        raise _error(f"{folder} holds {found}; move these into folders, or {UNLABELLED}")
    return names


def _distinct(folder: Path, names: tuple[str, ...]) -> tuple[str, ...] | None:
    if len(names) == 1:
        raise _error(
            f"{folder} holds all its images in one folder, '{names[0]}', and one class tells nothing apart; "
            f"{UNLABELLED}, or give as root the folder that holds the class folders"
        )
    return names or None


def _position(name: str) -> float:
    """A number in [0, 1) that depends on the path alone."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:7], "big") / 2**56


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _error(problem: str) -> tokzoo.TokzooError:
    return tokzoo.TokzooError(f"dataset images: {problem}")
