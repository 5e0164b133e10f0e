"""Differentiable augmentation of all that a discriminator sees (arXiv 2006.10738).

Translation, then brightness, saturation and contrast, then a cut-out box; drawn for each image by itself, and applied
to images and reconstructions alike. The paper's code is the source of the ranges, GigaTok's (arXiv 2504.08736) of the
smaller box.
"""

import torch
from torch import Tensor

from tokzoo.nn.configs import DiffAugmentConfig
from tokzoo.nn.precision import at_least_float32

DRAWS = 7
"""Random numbers an image: shift down and right, brightness, saturation, contrast, box down and right."""


def diff_augment(images: Tensor, config: DiffAugmentConfig) -> Tensor:
    """Images ``[B, C, H, W]`` with changes drawn anew from torch's global generator, in at least float32."""
    return augmented(images, torch.rand(DRAWS, len(images), device=images.device), config)


def augmented(images: Tensor, draws: Tensor, config: DiffAugmentConfig) -> Tensor:
    """The changes that ``draws`` stand for; differentiable in the images, and without a host sync.

    Args:
        images: ``[B, C, H, W]``.
        draws: ``[7, B]``, uniform in [0, 1).
        config: how far each change may go.
    """
    images = at_least_float32(images)
    down, right, *colour, box_down, box_right = draws
    if config.translation:
        images = _shifted(images, down, config.translation, 2)
        images = _shifted(images, right, config.translation, 3)
    brightness, saturation, contrast = (2 * draw.view(-1, 1, 1, 1) - 1 for draw in colour)  # in [-1, 1)
    if config.brightness:
        images = images + config.brightness * brightness
    if config.saturation:
        images = _scaled(images, 1 + config.saturation * saturation, (1,))
    if config.contrast:
        images = _scaled(images, 1 + config.contrast * contrast, (1, 2, 3))
    if config.cutout:
        rows = _inside(box_down, config.cutout, images.shape[2])
        columns = _inside(box_right, config.cutout, images.shape[3])
        images = images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)
    return images


def _shifted(images: Tensor, draws: Tensor, fraction: float, axis: int) -> Tensor:
    """Each image moved along an axis by up to ``fraction`` of it; what enters is 0."""
    size = images.shape[axis]
    farthest = round(fraction * size)
    shift = (draws * (2 * farthest + 1)).long() - farthest
    source = torch.arange(size, device=images.device) + shift[:, None]  # [B, size]
    shape = [len(images), 1, 1, 1]
    shape[axis] = size
    # Around the edge, so that no place is read twice: its gradient is then the same in whatever order it is added up.
    index = source.remainder(size).view(shape).expand_as(images)
    return images.gather(axis, index).masked_fill(((source < 0) | (source >= size)).view(shape), 0.0)


def _scaled(images: Tensor, factors: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Each image scaled around its mean over ``axes``."""
    return torch.lerp(images.mean(axes, keepdim=True), images, factors.to(images.dtype))


def _inside(draws: Tensor, fraction: float, size: int) -> Tensor:
    """Which of ``size`` places along an axis are in each image's box, bool ``[B, size]``. The box may stick out."""
    side = round(fraction * size)
    middle = (draws * (size + 1 - side % 2)).long()
    place = torch.arange(size, device=draws.device) - (middle - side // 2)[:, None]
    return (place >= 0) & (place < side)
