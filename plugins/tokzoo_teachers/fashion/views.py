"""Random views of images that know what they show: two of them can be compared place by place.

Places are ``(x, y)`` in [-1, 1]², from the outer edge of the first pixel to that of the last. All randomness is torch's
global generator's.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MIN_SCALE = 0.5
"""Side of the smallest crop. From a half on, any two crops of an image share at least its centre."""
MAX_STRETCH = 1.1
MAX_GAMMA = 1.65
MIN_BRIGHTNESS = 0.6
NOISE = 0.03
PATCH = (6.0, 16.0)
"""Shortest and longest side of the patch that is covered, in pixels."""


@dataclass(slots=True)
class View:
    """Views of a batch: place ``p`` of a view shows place ``scale · p + shift`` of the image.

    Attributes:
        images: ``[B, 1, H, W]`` in [-1, 1].
        scale: ``[B, 2]`` for x and y; a negative x is a mirrored view.
        shift: ``[B, 2]``.
    """

    images: Tensor
    scale: Tensor
    shift: Tensor

    def at(self, maps: Tensor, places: Tensor) -> Tensor:
        """What feature maps ``[B, D, h, w]`` of the views say of places ``[B, P, 2]`` of the images: ``[B, P, D]``."""
        grid = (places - self.shift[:, None]) / self.scale[:, None]
        found = F.grid_sample(maps, grid[:, None], padding_mode="border", align_corners=False)
        return found.squeeze(2).transpose(1, 2)


def random_view(images: Tensor) -> View:
    """A crop of each of ``[B, 1, H, W]`` in [-1, 1], half of them mirrored, in other light, a patch of it covered."""
    count = len(images)
    stretch = _uniform((count, 2), 1 / MAX_STRETCH, MAX_STRETCH)
    size = (_uniform((count, 1), MIN_SCALE, 1.0) * stretch).clamp(MIN_SCALE, 1.0)
    shift = _uniform((count, 2), -1.0, 1.0) * (1 - size)
    mirrored = torch.rand(count) < 0.5
    scale = size * torch.stack([torch.where(mirrored, -1.0, 1.0), torch.ones(count)], dim=1)
    transform = torch.cat([torch.diag_embed(scale), shift[:, :, None]], dim=2)
    grid = F.affine_grid(transform, list(images.shape), align_corners=False)
    shown = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return View(_cover(_relight(shown)), scale, shift)


def shared_places(first: View, second: View, count: int) -> Tensor:
    """Random places ``[B, count, 2]`` of the images that both views show."""
    low = torch.maximum(first.shift - first.scale.abs(), second.shift - second.scale.abs())
    high = torch.minimum(first.shift + first.scale.abs(), second.shift + second.scale.abs())
    return low[:, None] + (high - low)[:, None] * torch.rand(len(low), count, 2)


def _relight(images: Tensor) -> Tensor:
    """Other gamma, other brightness, and a little noise."""
    one_each = (len(images), 1, 1, 1)
    gamma = torch.exp(_uniform(one_each, -1.0, 1.0) * torch.tensor(MAX_GAMMA).log())
    light = ((images + 1) / 2).clamp(1e-3, 1.0) ** gamma * _uniform(one_each, MIN_BRIGHTNESS, 1.0)
    return (light + NOISE * torch.randn_like(light)) * 2 - 1


def _cover(images: Tensor) -> Tensor:
    """Put a patch of a random grey on each."""
    count, _, height, width = images.shape
    half = _uniform((count, 2), *PATCH) / 2
    centre = torch.rand(count, 2) * torch.tensor([float(width), float(height)])
    columns = (torch.arange(width) - centre[:, :1]).abs() < half[:, :1]
    rows = (torch.arange(height) - centre[:, 1:]).abs() < half[:, 1:]
    grey = _uniform((count, 1, 1, 1), -1.0, 1.0)
    return torch.where((rows[:, :, None] & columns[:, None, :])[:, None], grey, images)


def _uniform(shape: tuple[int, ...], low: float, high: float) -> Tensor:
    return torch.empty(shape).uniform_(low, high)
