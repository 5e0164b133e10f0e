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
        tokzoo.TokzooError: a file is missing, or is not what its name or its fingerprint says.
    """

    def __init__(self, config: "FashionConfig") -> None:
        super().__init__(config)
        root = config.root
        splits = {
            split: arrays.read_embedded(split) if root is None else arrays.read_originals(root, split)
            for split in arrays.SPLITS
        }
        if arrays.content_hash(splits) != config.fingerprint():
            where = arrays.HERE if root is None else root
            raise tokzoo.TokzooError(f"dataset fashion: the files in {where} are not what their fingerprint says")
        self.train, self.val = (_padded(*splits[split]) for split in arrays.SPLITS)


def _padded(images: np.ndarray, labels: np.ndarray) -> InMemorySplit:
    padded = np.pad(images, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))
    return InMemorySplit(torch.from_numpy(padded).unsqueeze(1), torch.from_numpy(labels.astype(np.int64)))
