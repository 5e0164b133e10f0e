"""What all ranks of a distributed run must see alike. In a run of one process, each of these gives back its argument.

A state that no gradient moves (a codebook's moving average, its usage) is not kept equal by averaging gradients. It
stays equal where every rank computes it from the same numbers: all ranks' rows, and draws that one rank made for all.
"""

import torch.distributed as dist
from torch import Tensor


def gather_batch(tensor: Tensor) -> Tensor:
    """All ranks' rows, in rank order, on every rank; no gradient passes.

    Args:
        tensor: ``[B, ...]``, of the same shape and type on every rank.

    Returns:
        ``[ranks · B, ...]``.
    """
    if _ranks() == 1:
        return tensor
    rows = tensor.detach().contiguous()
    gathered = rows.new_empty((_ranks(), *rows.shape))
    dist.all_gather(list(gathered.unbind()), rows)
    return gathered.flatten(0, 1)


def of_first_rank(tensor: Tensor) -> Tensor:
    """Rank 0's tensor, on every rank: for random numbers, whatever state the ranks' own generators are in.

    Args:
        tensor: of the same shape and type on every rank, without gradient; overwritten on the other ranks.
    """
    if _ranks() > 1:
        dist.broadcast(tensor, src=0)
    return tensor


def _ranks() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
