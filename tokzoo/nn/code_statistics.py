"""How a batch uses a codebook, for a quantizer's statistics: on the device, without a host sync."""

import torch
from torch import Tensor


def code_statistics(codes: Tensor, count: int) -> dict[str, Tensor]:
    """Statistics of one step's codes, as scalars.

    ``usage``: which part of the codebook occurs, in [0, 1]; ``perplexity``: exp of the entropy of the shares of the
    codes, in [1, count]. Both are at most the number of codes of the batch: what a small batch does not show is not
    unused.

    Args:
        codes: int64, of any shape, in ``[0, count)``.
        count: size of the codebook.
    """
    flat = codes.detach().flatten()
    shares = torch.zeros(count, device=codes.device).index_add_(0, flat, torch.ones_like(flat, dtype=torch.float32))
    shares /= flat.numel()
    return {"usage": (shares > 0).float().mean(), "perplexity": torch.special.entr(shares).sum().exp()}
