"""Picture files decoded while one trains; see :mod:`tokzoo.data.cutting` for how a file becomes pixels."""

from typing import TYPE_CHECKING

import torch

import tokzoo
from tokzoo.data.split import PictureSplit
from tokzoo_data.live.splits import find_splits

if TYPE_CHECKING:
    from tokzoo_data.configs import LiveImagesConfig


class LiveImages(tokzoo.Dataset):
    """The pictures under ``root``: none is read before it is asked for.

    Raises:
        tokzoo.TokzooError: no root, no pictures where it says, classes that do not match, or not what is expected.
    """

    def __init__(self, config: "LiveImagesConfig") -> None:
        super().__init__(config)
        listings, classes = find_splits(config)
        self.train, self.val = (
            PictureSplit(
                listings[split],
                None if classes is None else torch.from_numpy(listings[split].labels),
                config.image_spec(),
            )
            for split in ("train", "val")
        )
