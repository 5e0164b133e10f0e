"""Any folder of images, resized to squares; see :mod:`tokzoo.data.pictures` for how a file becomes pixels."""

from typing import TYPE_CHECKING

import torch

import tokzoo
from tokzoo.data.split import InMemorySplit
from tokzoo_data.images.pack import Arrays, packed

if TYPE_CHECKING:
    from tokzoo_data.configs import ImagesConfig


class Images(tokzoo.Dataset):
    """The images under ``root``, decoded by the first who asks and mapped into memory by everyone.

    Raises:
        tokzoo.TokzooError: no such folder, no image in it, files that cannot be decoded, or classes that are in doubt.
    """

    def __init__(self, config: "ImagesConfig") -> None:
        super().__init__(config)
        arrays = packed(config)
        self.train = _split(arrays["train"])
        self.val = _split(arrays["val"])


def _split(arrays: Arrays) -> InMemorySplit:
    labels = None if arrays.labels is None else torch.from_numpy(arrays.labels)
    return InMemorySplit(torch.from_numpy(arrays.images), labels)
