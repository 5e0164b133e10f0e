"""Held-out loss of an AR model: nats per token, and bits per image, in which codebooks of any size compare."""

import math
from typing import Any

import tokzoo
from tokzoo_metrics.mean import Mean


class HeldOutLoss(tokzoo.Metric):
    """The mean over images of their negative log-likelihood per token; nothing for a model without a likelihood.

    If any batch's likelihood is a bound or an estimate, so is the mean, and it is reported under the ids for these.
    """

    def __init__(self, config: Any, chain: tokzoo.Chain) -> None:
        super().__init__(config, chain)
        self._mean = Mean()
        self._exact = True
        self._tokens = 0

    def update(self, batch: tokzoo.LikelihoodBatch) -> None:
        """Take in one batch."""
        if batch.loss.nats_per_token is None:
            return
        self._mean.add(batch.loss.nats_per_token)
        self._exact = self._exact and batch.loss.exact
        self._tokens = batch.codes.tokens

    def compute(self) -> dict[str, float]:
        """Nats per token, and the same as bits per image: × tokens / ln 2."""
        if not self._mean.count:
            return {}
        nats = self._mean.value()
        suffix = "" if self._exact else "_bound"
        return {
            f"ar.nats_per_token{suffix}": nats,
            f"ar.bits_per_image{suffix}": nats * self._tokens / math.log(2),
        }
