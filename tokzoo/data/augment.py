"""Augmentation on the device: random views of training images, and the fixed views from which codes are extracted."""

from collections.abc import Callable

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
    """Every view :func:`augment` can give, by name, "identity" first.

    An AR model learns from codes extracted once: of each of these views.
    """
    return {"identity": identity, "flip": flip} if config.flip else {"identity": identity}


def identity(images: Tensor) -> Tensor:
    """The images themselves."""
    return images


def flip(images: Tensor) -> Tensor:
    """Images mirrored left to right."""
    return images.flip(-1)
