"""A seed for each image of a stage."""

import torch
from torch import Tensor

from tokzoo.data.seeding import derive_seed


def image_seeds(seed: int, stage: str, indices: Tensor) -> Tensor:
    """Seeds int64 ``[B]``, on the CPU, of the images at ``indices``: each a function of its place alone."""
    return torch.tensor([derive_seed(seed, stage, index) for index in indices.tolist()], dtype=torch.int64)
