"""Makes the subset of Fashion-MNIST beside this file from the original files.

    python -m tokzoo_data.fashion.make FOLDER_OF_THE_ORIGINALS [TARGET_FOLDER]

Of every class, 1,200 of the original training images become ``train.npz`` and 200 of the original test images
``val.npz``. Which ones is decided by hashing their numbers, so that it depends on no library's random generator.
Classes take turns (0, 1, …, 9, 0, 1, …) and within a class images keep their original order: any whole number of tens
from the start is balanced. Running it again gives the same files, byte for byte.
"""

import argparse
import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np

from tokzoo_data.fashion.arrays import HERE, SPLITS, Arrays, content_hash, read_originals

SEED = "tokzoo fashion subset 1"
PER_CLASS = {"train": 1200, "val": 200}
EPOCH = (1980, 1, 1, 0, 0, 0)
"""A fixed time stamp; zip knows no earlier one."""


def choose(labels: np.ndarray, per_class: int, salt: str) -> np.ndarray:
    """Positions of ``per_class`` images of every class, classes taking turns.

    Args:
        labels: uint8 ``[N]``, each class at least ``per_class`` times.
        per_class: how many of each.
        salt: changes which are chosen.

    Raises:
        ValueError: a class has fewer images.
    """
    columns = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < per_class:
            raise ValueError(f"class {label} has {len(members)} images, fewer than {per_class}")
        ranked = sorted(members, key=lambda index: hashlib.sha256(f"{salt} {index}".encode()).digest())
        columns.append(sorted(ranked[:per_class]))
    return np.array(columns).T.reshape(-1)


def subset(originals: Arrays, split: str, per_class: int) -> Arrays:
    """The chosen images and labels of a split."""
    images, labels = originals
    chosen = choose(labels, per_class, f"{SEED} {split}")
    return images[chosen], labels[chosen]


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write what ``np.load`` reads, without time stamps, compressed by LZMA (14 % smaller than deflate here)."""
    with zipfile.ZipFile(path, "w") as file:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            entry.compress_type = zipfile.ZIP_LZMA
            entry.create_system = 3  # otherwise it says whether it was made on Windows
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            file.writestr(entry, content.getvalue())


def make(root: Path, target: Path, per_class: dict[str, int]) -> None:
    """Write ``train.npz``, ``val.npz`` and ``content.json`` to ``target`` from the original files in ``root``."""
    splits = {split: subset(read_originals(root, split), split, per_class[split]) for split in SPLITS}
    for split, (images, labels) in splits.items():
        write_npz(target / f"{split}.npz", {"images": images, "labels": labels})
    content = {
        "source": "https://github.com/zalandoresearch/fashion-mnist",
        "license": "MIT",
        "seed": SEED,
        "per_class": per_class,
        "fingerprint": content_hash(splits),
    }
    (target / "content.json").write_text(json.dumps(content, indent=2) + "\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tokzoo_data.fashion.make",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("originals", type=Path, help="folder of the four original files")
    parser.add_argument(
        "target", type=Path, nargs="?", default=HERE, help="where to write (default: beside the script)"
    )
    arguments = parser.parse_args()
    make(arguments.originals, arguments.target, PER_CLASS)


if __name__ == "__main__":
    main()
