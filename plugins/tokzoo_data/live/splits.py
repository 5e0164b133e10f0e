"""Both splits of the dataset: found, and checked against each other and against what is expected. No torch here."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tokzoo.data.cutting import CUTTING
from tokzoo.data.files import shown
from tokzoo_data.live.folders import list_pictures
from tokzoo_data.live.listing import Listing, mistake
from tokzoo_data.live.shards import found_shards, list_shards, named_shards

if TYPE_CHECKING:
    from tokzoo_data.configs import LiveImagesConfig

SPLITS = ("train", "val")


def fingerprint(config: "LiveImagesConfig") -> str:
    """SHA-256 of both listings and of how files become pixels."""
    splits, classes = find_splits(config)
    about = [CUTTING, config.size, config.channels, classes, *(splits[split].digest() for split in SPLITS)]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def find_splits(config: "LiveImagesConfig") -> tuple[dict[str, Listing], tuple[str, ...] | None]:
    """The pictures of each split, and the names of the classes (None without labels).

    Raises:
        tokzoo.TokzooError: no root, no pictures where it says, classes that do not match, or not what is expected.
    """
    if config.root is None:
        raise mistake("root is not given; say where your pictures are, as in track.dataset.root=/data/imagenet")
    root = config.root.expanduser().absolute()
    if not root.is_dir():
        raise mistake(f"root {shown(config.root)}: no such folder")
    splits = {split: _find_split(root, getattr(config, split), config.labels) for split in SPLITS}
    classes = _classes(splits) if config.labels else None
    if classes is not None:
        splits["val"] = _relabelled(splits["val"], classes)
    if config.expect is not None:
        found = {split: len(splits[split]) for split in SPLITS} | {"classes": len(classes) if classes else None}
        for name, wanted in config.expect:
            if wanted is not None and found[name] != wanted:
                raise mistake(f"{shown(root)}: {found[name]} in place of {wanted} ({name}); is it all there?")
    return splits, classes


def _find_split(root: Path, where: str, labelled: bool) -> Listing:
    if "{" in where:
        return list_shards(root, named_shards(root, where), labelled)
    if (root / where).is_dir():
        return list_pictures(root / where, labelled)
    if where.endswith(".tar") and (root / where).is_file():
        return list_shards(root, [where], labelled)
    shards = found_shards(root, where)
    if not shards:
        raise mistake(
            f"{shown(root)} has neither a folder {shown(where)} nor shards {shown(where)}-*.tar; unpack the pictures "
            "there, or say where they are, as in train: part/train-{000000..000099}.tar"
        )
    return list_shards(root, shards, labelled)


def _classes(splits: dict[str, Listing]) -> tuple[str, ...]:
    train, val = (splits[split] for split in SPLITS)
    if (train.classes is None) != (val.classes is None):
        raise mistake(
            "one split is a folder and the other shards: their labels need not mean the same; give two of one"
        )
    names = train.classes or tuple(map(str, range(int(train.labels.max()) + 1)))
    known = val.classes or tuple(map(str, range(int(val.labels.max()) + 1)))
    unknown = sorted(set(known) - set(names))
    if unknown:
        raise mistake(
            f"the split 'val' has classes that 'train' has not: {', '.join(unknown[:3])}; or say "
            "track.dataset.labels=false"
        )
    if len(names) < 2:
        raise mistake("all pictures are of one class, which tells nothing apart; say track.dataset.labels=false")
    return names


def _relabelled(listing: Listing, classes: tuple[str, ...]) -> Listing:
    """The listing with its labels counted in ``classes``, where its folders are but some of them."""
    if listing.classes is None or listing.classes == classes:
        return listing
    numbers = {name: number for number, name in enumerate(classes)}
    lookup = np.array([numbers[name] for name in listing.classes], np.int64)
    return dataclasses.replace(listing, classes=classes, labels=lookup[listing.labels])
