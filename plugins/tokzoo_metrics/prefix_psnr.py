"""PSNR of what can be told from the first 1, 2, 4 … tokens of an image, where its tokens are ordered.

FlexTok (arXiv 2502.13967) and One-D-Piece (arXiv 2501.10064) judge tokenizers of variable length so.
"""

import math
from typing import Any

import tokzoo
from tokzoo_metrics.configs import PREFIXES
from tokzoo_metrics.mean import Mean
from tokzoo_metrics.psnr import psnr


class PrefixPSNR(tokzoo.Metric):
    """The mean PSNR for each length that the tokenizer has; none where only all of its tokens can be decoded."""

    def __init__(self, config: Any, chain: tokzoo.Chain) -> None:
        super().__init__(config, chain)
        self._all, shortest = 0, 1
        if chain.codes is not None:
            self._all = chain.codes.positions
            shortest = math.prod(chain.codes.segments[0]) if chain.codes.segments else 1
        self._means = {count: Mean() for count in PREFIXES if shortest <= count <= self._all}

    def update(self, batch: tokzoo.ReconstructionBatch) -> None:
        """Take in one batch, decoded once for each length."""
        if batch.from_prefix is None:
            return
        for count, mean in self._means.items():
            whole = count == self._all
            mean.add(psnr(batch.images, batch.reconstructions if whole else batch.from_prefix(count)))

    def compute(self) -> dict[str, float]:
        """The mean over all images for each length."""
        means = self._means.items()
        return {f"reconstruction.psnr_at_{count}": mean.value() for count, mean in means if mean.count}
