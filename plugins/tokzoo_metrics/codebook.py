"""Usage and perplexity of the codebook over the evaluation set, from one histogram of codes per level."""

from statistics import fmean
from typing import Any

import torch
from torch import Tensor

import tokzoo


class Codebook(tokzoo.Metric):
    """How many codes occur, and ``exp(-Σ p log p)`` of their frequencies; both averaged over levels.

    A continuous quantizer has neither.
    """

    def __init__(self, config: Any, chain: tokzoo.Chain) -> None:
        super().__init__(config, chain)
        self._counts: list[Tensor] = []

    def update(self, batch: tokzoo.ReconstructionBatch) -> None:
        """Take in the codes ``[B, M]`` or ``[B, M, L]`` of one batch."""
        if batch.codes is None or self.chain.codes is None:
            return
        if not self._counts:
            device = batch.codes.device
            self._counts = [torch.zeros(size, dtype=torch.int64, device=device) for size in self.chain.codes.vocab]
        levels = batch.codes.reshape(-1, len(self._counts)).unbind(1)
        for counts, codes in zip(self._counts, levels, strict=True):
            # torch.bincount would wait for the device, to learn the largest code.
            counts.scatter_add_(0, codes, torch.ones_like(codes))

    def compute(self) -> dict[str, float]:
        """Usage in [0, 1] and perplexity in [1, size of the codebook]."""
        if not self._counts:
            return {}
        shares = [counts.double() / counts.sum() for counts in self._counts]
        return {
            "codes.usage": fmean(float((share > 0).double().mean()) for share in shares),
            "codes.perplexity": fmean(float(torch.special.entr(share).sum().exp()) for share in shares),
        }
