"""The arrays of Fashion-MNIST, from the subset beside this file or from the original files. No torch here."""

import functools
import hashlib
import json
import lzma
import zipfile
from pathlib import Path

import numpy as np

import tokzoo
from tokzoo.data.files import reading
from tokzoo_data.idx import find_idx, read_idx

HERE = Path(__file__).parent
SPLITS = ("train", "val")
ORIGINALS = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "val": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
Arrays = tuple[np.ndarray, np.ndarray]
"""Images uint8 ``[N, 28, 28]`` and labels uint8 ``[N]``."""


def read_embedded(split: str) -> Arrays:
    """A split of the subset that comes along; classes take turns (0, 1, …, 9, 0, 1, …).

    Raises:
        tokzoo.TokzooError: it is damaged.
    """
    path = HERE / f"{split}.npz"
    failures = (zipfile.BadZipFile, lzma.LZMAError, ValueError, KeyError, EOFError, NotImplementedError)
    with reading(path, "what was installed", *failures, mend="install tokzoo again"), np.load(path) as file:
        return file["images"], file["labels"]


def read_originals(root: Path, split: str) -> Arrays:
    """A split of the original files, in their order.

    Raises:
        tokzoo.TokzooError: a file is missing, damaged or of another shape.
    """
    images, labels = (read_idx(path) for path in _original_files(root)[split])
    if images.shape[1:] != (28, 28) or labels.shape != images.shape[:1] or labels.max(initial=0) > 9:
        raise tokzoo.TokzooError(
            f"the {split} files in {root} are not Fashion-MNIST's: images {list(images.shape)}, "
            f"labels {list(labels.shape)} up to {labels.max(initial=0)}"
        )
    return images, labels


def content_hash(splits: dict[str, Arrays]) -> str:
    """SHA-256 of the arrays of every split: their shapes and bytes."""
    digest = hashlib.sha256()
    for split in SPLITS:
        for array in splits[split]:
            digest.update(f"{split} {array.dtype} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def embedded_fingerprint() -> str:
    """The content hash of the subset, as noted when it was made."""
    fingerprint: str = json.loads((HERE / "content.json").read_text())["fingerprint"]
    return fingerprint


def originals_fingerprint(root: Path) -> str:
    """The content hash of the original files in ``root``: the same whether they are compressed or not."""
    paths = [path for pair in _original_files(root).values() for path in pair]
    stamps = tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
    return _originals_fingerprint(root, stamps)


@functools.lru_cache(maxsize=8)
def _originals_fingerprint(root: Path, stamps: tuple[tuple[int, int], ...]) -> str:
    # Every cell of a grid asks for it. The stamps are part of the key: a changed file is read again.
    return content_hash({split: read_originals(root, split) for split in SPLITS})


def _original_files(root: Path) -> dict[str, list[Path]]:
    folder = root.expanduser().absolute()
    try:
        return {split: [find_idx(folder, name) for name in names] for split, names in ORIGINALS.items()}
    except tokzoo.TokzooError as error:
        raise tokzoo.TokzooError(
            f"dataset fashion: {error}; root must be the folder of the four files of "
            "https://github.com/zalandoresearch/fashion-mnist, or null"
        ) from error
