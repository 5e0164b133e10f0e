"""Usage and perplexity of the codebook over the evaluation set, from how often each code occurs."""

from statistics import fmean
from typing import Any

import torch
from torch import Tensor

import tokzoo

COUNTED = 1 << 24
"""Of larger codebooks there is no counter for each code: the codes that occur are kept, and counted in the end."""


class Codebook(tokzoo.Metric):
    """How many codes occur, and ``exp(-Σ p log p)`` of their frequencies.

    Averaged over levels or, where each position has a vocabulary of its own, over positions. A continuous quantizer has
    neither.
    """

    def __init__(self, config: Any, chain: tokzoo.Chain) -> None:
        super().__init__(config, chain)
        self._sizes = () if chain.codes is None else chain.codes.vocab
        self._tallies = [_Tally(size) if size <= COUNTED else _Kept() for size in self._sizes]
        self._seen = False

    def update(self, batch: tokzoo.ReconstructionBatch) -> None:
        """Take in the codes ``[B, M]`` or ``[B, M, L]`` of one batch."""
        if batch.codes is None:
            return
        self._seen = True
        columns = batch.codes.reshape(-1, len(self._tallies)).unbind(1)
        for tally, codes in zip(self._tallies, columns, strict=True):
            tally.add(codes)

    def compute(self) -> dict[str, float]:
        """Usage in [0, 1] and perplexity in [1, size of the codebook]."""
        if not self._seen:
            return {}
        counts = [tally.counts().double() for tally in self._tallies]
        shares = [each / each.sum() for each in counts]
        used = [float((each > 0).double().sum()) / size for each, size in zip(counts, self._sizes, strict=True)]
        return {
            "codes.usage": fmean(used),
            "codes.perplexity": fmean(float(torch.special.entr(share).sum().exp()) for share in shares),
        }


class _Tally:
    """A counter for each code."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._counts: Tensor | None = None

    def add(self, codes: Tensor) -> None:
        if self._counts is None:
            self._counts = torch.zeros(self._size, dtype=torch.int64, device=codes.device)
        # torch.bincount would wait for the device, to learn the largest code.
        self._counts.scatter_add_(0, codes, torch.ones_like(codes))

    def counts(self) -> Tensor:
        assert self._counts is not None
        return self._counts


class _Kept:
    """The codes themselves."""

    def __init__(self) -> None:
        self._codes: list[Tensor] = []

    def add(self, codes: Tensor) -> None:
        self._codes.append(codes)

    def counts(self) -> Tensor:
        return torch.unique(torch.cat(self._codes), return_counts=True)[1]
