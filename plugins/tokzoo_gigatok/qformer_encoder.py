"""GigaTok's 1D encoder (arXiv 2504.08736): queries gather the CNN's feature map into a sequence by cross-attention.

Multi-level queries start as averages of the embedded map over 1, 1, 2, 4, … blocks, so that the sequence runs from
coarse to fine.
"""

from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokzoo import ImageSpec, LatentSpec
from tokzoo.contracts.specs import Tap
from tokzoo.nn.tokens import learned_tokens, to_tokens
from tokzoo.nn.transformer import CrossAttentionLayer
from tokzoo_gigatok.backbone import BackboneEncoder
from tokzoo_gigatok.configs import QFormerEncoderConfig
from tokzoo_gigatok.token_transformer import Hidden, TokenTransformer


class QueryEncoder(TokenTransformer):
    """A feature map ``[B, C', h, w]`` to ``tokens`` tokens ``[B, N, C']``."""

    def __init__(self, config: QFormerEncoderConfig, grid: tuple[int, int]) -> None:
        super().__init__(config, CrossAttentionLayer)
        width = config.dimensions.width
        self.config, self.grid = config, grid
        self.grid_position = learned_tokens(grid[0] * grid[1], width)
        self.token_position = learned_tokens(config.tokens, width)
        if config.queries == "learned":
            self.queries = learned_tokens(config.tokens, width)
        else:
            self.query_projection = nn.Linear(width, width)
        self.out = nn.Linear(width, config.map_channels)

    def forward(self, feature_map: Tensor, taps: Collection[Tap]) -> tuple[Tensor, Hidden]:
        """The sequence of the map, and the stream after each layer among ``taps``."""
        memory = self.enter(to_tokens(feature_map))
        memory_key = memory + self.grid_position
        start = self._start(memory)
        stream, hidden = self.run(start, lambda t: (t, memory, memory_key, self.token_position), taps)
        return self.out(stream), hidden

    def _start(self, memory: Tensor) -> Tensor:
        """The queries ``[B, N, width]`` before the first layer."""
        if self.config.queries == "learned":
            return self.queries.expand(len(memory), -1, -1)
        if self.config.queries == "mean":
            return self.query_projection(memory.mean(dim=1, keepdim=True)).expand(-1, self.config.tokens, -1)
        embedded = memory.transpose(1, 2).unflatten(2, self.grid)
        levels = [
            F.avg_pool2d(embedded, (self.grid[0] // rows, self.grid[1] // columns))
            for rows, columns in self.config.query_blocks
        ]
        return self.query_projection(torch.cat([to_tokens(level) for level in levels], dim=1))


class QFormerEncoder(BackboneEncoder):
    """Images to a sequence of latent vectors."""

    def __init__(
        self, config: QFormerEncoderConfig, image: ImageSpec, latent: LatentSpec, taps: tuple[Tap, ...] = ()
    ) -> None:
        super().__init__(config, image, latent, taps, QueryEncoder(config, config.grid(image)))
