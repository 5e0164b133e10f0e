"""The kit's own AR model: enough for a metric that asks one."""

from typing import Any

import torch
from torch import Tensor, nn

from tokzoo.contracts.interfaces import ARModel, Quantizer
from tokzoo.contracts.outputs import ARLoss, Progress
from tokzoo.contracts.specs import Tokens
from tokzoo.testing.stand_ins import WIDTH


class Unigram(ARModel):
    """Draws every code by itself: enough for a metric that asks a model."""

    def __init__(self, config: Any, tokens: Tokens, quantizer: Quantizer | None = None) -> None:
        super().__init__(config, tokens, quantizer)
        codes = tokens.codes
        assert codes is not None
        self.codes = codes
        self.logits = nn.Parameter(torch.randn(max(codes.vocab)))
        self.states = nn.Embedding(max(codes.vocab), WIDTH)

    @property
    def depth(self) -> int:
        """Two layers to read."""
        return 2

    def forward(self, codes: Tensor, labels: Tensor | None, progress: Progress | None = None) -> ARLoss:
        """Cross-entropy with the one distribution."""
        nats = -self.logits.log_softmax(-1)[codes].flatten(1).mean(1)
        return ARLoss(nats.mean(), nats.detach(), exact=True)

    def sample(self, labels: Tensor | None, sampler: Any, seeds: Tensor) -> Tensor:
        """The likeliest code that is one everywhere."""
        return self.logits[: min(self.codes.vocab)].argmax().expand(self.codes.batch_shape(len(seeds))).clone()

    def features(self, codes: Tensor, labels: Tensor | None, layer: int) -> Tensor:
        """A vector for each code."""
        states: Tensor = self.states(codes) * layer
        return states.flatten(1, -2)
