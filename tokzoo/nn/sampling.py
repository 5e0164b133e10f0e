"""Drawing codes from logits: guidance, filters, and draws that depend on a sample's own seed alone.

Classifier-free guidance: Ho and Salimans, arXiv 2207.12598, equation 6. Top-p (nucleus) filter: Holtzman et al.,
arXiv 1904.09751, section 3.1.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def guide(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance: ``unconditional + scale · (conditional - unconditional)``.

    A scale of exactly 1 returns ``conditional`` itself, free of rounding.
    """
    if scale == 1:
        return conditional
    return unconditional + (conditional - unconditional) * scale


def top_k_filter(logits: Tensor, k: int) -> Tensor:
    """Set all but the ``k`` largest of ``[..., V]`` to -inf; values equal to the k-th stay. 0 keeps all."""
    if not 0 < k < logits.shape[-1]:
        return logits
    kth = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < kth, -torch.inf)


def top_p_filter(logits: Tensor, p: float) -> Tensor:
    """Set the tail of ``[..., V]`` to -inf, leaving the likeliest codes that together reach probability ``p``.

    The code whose probability crosses ``p`` stays, so at least one always does. 1 keeps all.
    """
    if p >= 1:
        return logits
    ranked, order = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = ranked.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    return torch.empty_like(logits).scatter_(-1, order, ranked.masked_fill(before > p, -torch.inf))


def filtered_probabilities(logits: Tensor, temperature: float, top_k: int, top_p: float) -> Tensor:
    """Probabilities ``[..., V]`` in float64 after temperature, then top-k, then top-p on what top-k left."""
    logits = top_k_filter(logits / temperature, top_k)
    return top_p_filter(logits, top_p).double().softmax(dim=-1)


def seeded_uniforms(seeds: Sequence[int], count: int) -> Tensor:
    """Uniform numbers in [0, 1), float64 ``[len(seeds), count]`` on the CPU; row i depends on ``seeds[i]`` alone.

    PCG64 rather than ``torch.Generator``: the latter reads only the lower 32 bits of a seed, so that hashed seeds of
    many samples would soon collide. Any 64-bit seed is well mixed here, consecutive ones too, and the raw stream
    of the bit generator is the same in every version of NumPy.
    """
    raw = [np.random.PCG64(seed % 2**64).random_raw(count) for seed in seeds]
    return torch.from_numpy((np.array(raw, dtype=np.uint64).reshape(-1, count) >> np.uint64(11)) * 2.0**-53)


def draw(probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """Codes int64 ``[B]`` by inverse CDF: the first code whose cumulative probability exceeds the uniform number.

    Args:
        probabilities: float64 ``[B, V]``; need not sum to 1 exactly.
        uniforms: float64 ``[B]`` in [0, 1).
    """
    cumulative = probabilities.cumsum(dim=-1)
    # Scaling by the rounded total keeps the target below it, so that no code of probability 0 is ever drawn.
    target = uniforms[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, target, right=True).squeeze(-1)
