"""Augmentation on the device: random views of training images, and the fixed views from which codes are extracted.

Random crops are none of it: they are cut when pictures are decoded (:mod:`tokzoo.data.crops`).
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from tokzoo.data.config import Augmentation

Variant = Callable[[Tensor], Tensor]


def augment(images: Tensor, config: Augmentation) -> Tensor:
    """A random view of each of ``[B, C, H, W]``, drawn from torch's global generator of the images' device.

    The loop seeds that generator every step, so a resumed run draws the same views.
    """
    if not config.flip:
        return images
    mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(mirrored, flip(images), images)


def variants(config: Augmentation) -> dict[str, Variant]:
    """Every view that :func:`augment` can give, by name, "identity" first."""
    return {"identity": identity, "flip": flip} if config.flip else {"identity": identity}


def ten_crop(size: int) -> dict[str, Variant]:
    """Ten squares of larger square images, by name: four corners and the centre, and the same of the mirror image.

    In the order of torchvision's ``ten_crop``, and with its offsets: an odd room is halved to the even pixel.
    """
    places = {"top left": (0, 0), "top right": (0, 1), "bottom left": (1, 0), "bottom right": (1, 1)}
    cuts: dict[str, Variant] = {name: partial(_cut, size, *place) for name, place in places.items()}
    cuts["centre"] = partial(_cut, size, 0.5, 0.5)
    return cuts | {f"mirrored, {name}": partial(_mirrored, cut) for name, cut in cuts.items()}


def _cut(size: int, down: float, right: float, images: Tensor) -> Tensor:
    top, left = (round((side - size) * at) for side, at in zip(images.shape[-2:], (down, right), strict=True))
    return images[..., top : top + size, left : left + size]


def _mirrored(cut: Variant, images: Tensor) -> Tensor:
    return cut(flip(images))


def identity(images: Tensor) -> Tensor:
    """The images themselves."""
    return images


def flip(images: Tensor) -> Tensor:
    """Images mirrored left to right."""
    return images.flip(-1)
