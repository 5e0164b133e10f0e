"""Splits: held in memory, and of picture files that are decoded when they are asked for."""

import functools
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tokzoo.contracts.interfaces import Crops, Split
from tokzoo.contracts.specs import ImageSpec
from tokzoo.data.crops import central_crops
from tokzoo.data.cutting import Square, cut_square


class InMemorySplit(Split):
    """Images and labels as two tensors on the CPU.

    Attributes:
        images: uint8 ``[N, C, H, W]``.
        labels: int64 ``[N]``, or None.

    Raises:
        ValueError: a tensor has another type or shape, or the two have different lengths.
    """

    def __init__(self, images: Tensor, labels: Tensor | None = None) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise ValueError(f"images must be uint8 [N, C, H, W], not {images.dtype} {list(images.shape)}")
        _check_labels(labels, len(images))
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """The images and labels at ``indices`` int64 ``[B]``."""
        labels = None if self.labels is None else self.labels.index_select(0, indices)
        return self.images.index_select(0, indices), labels


class PictureFiles(Protocol):
    """Encoded pictures by position, wherever they lie. Called from several threads at once."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What to call picture ``index`` in an error."""

    def read(self, index: int) -> bytes:
        """Its encoded bytes.

        Raises:
            TokzooError: it cannot be read.
        """


class PictureSplit(Split):
    """Squares cut out of picture files (:mod:`tokzoo.data.cutting`), decoded in threads when they are asked for.

    For more pictures than fit in memory. Images are judged as their largest central squares. A file that cannot be
    decoded is an error, for which image stands at which place of an epoch is settled before any file is read.

    Args:
        files: the pictures.
        labels: int64 ``[N]``, or None.
        image: the images; squares.

    Raises:
        ValueError: the labels have another type or shape.
    """

    def __init__(self, files: PictureFiles, labels: Tensor | None, image: ImageSpec) -> None:
        _check_labels(labels, len(files))
        self.files = files
        self.labels = labels
        self.image = image

    def __len__(self) -> int:
        return len(self.files)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """The central squares at ``indices`` int64 ``[B]``, and their labels.

        Raises:
            TokzooError: a file cannot be read or decoded; the message names it.
        """
        return self.crop(indices, central_crops(len(indices), self.image.size[0]))

    def crop(self, indices: Tensor, crops: Crops) -> tuple[Tensor, Tensor | None]:
        """The squares ``crops`` says, and their labels; errors as in :meth:`batch`."""
        images = np.empty((len(indices), self.image.channels, crops.size, crops.size), np.uint8)
        at = indices.tolist()
        squares = [
            Square(crops.size, short, *place)
            for short, place in zip(crops.short.tolist(), crops.at.tolist(), strict=True)
        ]

        def decode(row: int) -> None:
            content = self.files.read(at[row])
            images[row] = cut_square(content, self.files.name(at[row]), self.image.channels, squares[row])

        # Going through the results raises the first error.
        for _ in _decoders().map(decode, range(len(at))):
            pass
        return torch.from_numpy(images), None if self.labels is None else self.labels.index_select(0, indices)


@functools.cache
def _decoders() -> ThreadPoolExecutor:
    """A thread for each core we may use, for every split: Pillow works without the interpreter lock."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return ThreadPoolExecutor(cores, "tokzoo-decode")


def _check_labels(labels: Tensor | None, count: int) -> None:
    if labels is not None and (labels.dtype != torch.int64 or labels.shape != (count,)):
        raise ValueError(f"labels must be int64 [{count}], not {labels.dtype} {list(labels.shape)}")
