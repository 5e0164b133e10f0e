"""Which squares are cut out of pictures: in the centre, at random, and the ten of classification protocols."""

import math

import torch

from tokzoo.contracts.interfaces import Crops
from tokzoo.data.config import RandomCrop


def central_crops(count: int, size: int) -> Crops:
    """The largest central squares, at ``size``."""
    return Crops(size, torch.full((count,), size), torch.full((count, 2), 0.5, dtype=torch.float64))


def random_crops(config: RandomCrop, count: int, size: int, seed: int) -> Crops:
    """Squares of ``size`` that depend on ``seed`` and on no other generator.

    So they are known before their step comes, and pictures can be decoded ahead of it.
    """
    generator = torch.Generator().manual_seed(seed)
    longest = math.ceil(size / config.smallest)
    short = torch.randint(size, longest + 1, (count,), generator=generator)
    return Crops(size, short, torch.rand(count, 2, dtype=torch.float64, generator=generator))


def larger_for_ten_crops(size: int) -> int:
    """The side of the central square that ten crops of ``size`` are cut from."""
    return int(size * 1.1)
