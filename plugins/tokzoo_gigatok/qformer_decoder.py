"""GigaTok's 1D decoder (arXiv 2504.08736): one query for each place of the grid reads the sequence, then the CNN.

All queries start as the first token of the embedded sequence; only their positions tell them apart.
"""

from collections.abc import Collection

from torch import Tensor, nn

from tokzoo import ImageSpec, LatentSpec
from tokzoo.contracts.specs import Tap
from tokzoo.nn.tokens import learned_tokens, to_map
from tokzoo.nn.transformer import CrossAttentionLayer
from tokzoo_gigatok.backbone import BackboneDecoder
from tokzoo_gigatok.configs import QFormerDecoderConfig
from tokzoo_gigatok.token_transformer import Hidden, TokenTransformer


class QueryDecoder(TokenTransformer):
    """Tokens ``[B, N, C']`` to a feature map ``[B, C', h, w]``."""

    def __init__(self, config: QFormerDecoderConfig, tokens: int, grid: tuple[int, int]) -> None:
        super().__init__(config, CrossAttentionLayer)
        width = config.dimensions.width
        self.grid = grid
        self.grid_position = learned_tokens(grid[0] * grid[1], width)
        self.token_position = learned_tokens(tokens, width)
        self.conv_out = nn.Conv2d(width, config.map_channels, 3, padding=1)

    def forward(self, tokens: Tensor, taps: Collection[Tap]) -> tuple[Tensor, Hidden]:
        """The map, and the stream after each layer among ``taps``."""
        memory = self.enter(tokens)
        memory_key = memory + self.token_position
        start = memory[:, :1].expand(-1, len(self.grid_position), -1)
        stream, hidden = self.run(start, lambda t: (t, memory, memory_key, self.grid_position), taps)
        return self.conv_out(to_map(stream, self.grid)), hidden


class QFormerDecoder(BackboneDecoder):
    """A sequence of latent vectors to images."""

    def __init__(
        self, config: QFormerDecoderConfig, latent: LatentSpec, image: ImageSpec, taps: tuple[Tap, ...] = ()
    ) -> None:
        super().__init__(config, latent, image, taps, QueryDecoder(config, latent.positions, config.grid(image)))
