"""Fashion-MNIST, 28×28 articles of clothing in ten classes (arXiv 1708.07747), padded to 32×32."""

from typing import TYPE_CHECKING

import numpy as np
import torch

import tokzoo
from tokzoo.data.split import InMemorySplit
from tokzoo_data.fashion import arrays

if TYPE_CHECKING:
    from tokzoo_data.configs import FashionConfig

MARGIN = 2
"""Pixels of background (0) on each side: 32 halves five times, 28 only twice."""


class Fashion(tokzoo.Dataset):
    """The subset that comes along, or with ``root`` the original files.

    Raises:
        tokzoo.TokzooError: a file of ``root`` is missing or is not what its name says.
    """

    def __init__(self, config: "FashionConfig") -> None:
        super().__init__(config)
        self.train = self._split("train")
        self.val = self._split("val")

    def _split(self, split: str) -> InMemorySplit:
        root = self.config.root
        images, labels = arrays.read_embedded(split) if root is None else arrays.read_originals(root, split)
        padded = np.pad(images, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))
        return InMemorySplit(torch.from_numpy(padded).unsqueeze(1), torch.from_numpy(labels.astype(np.int64)))
