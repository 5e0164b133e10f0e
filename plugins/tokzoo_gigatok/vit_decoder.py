"""GigaTok's 2D decoder (arXiv 2504.08736): a transformer over the latent grid, then the CNN."""

from collections.abc import Collection

from torch import Tensor, nn

from tokzoo import ImageSpec, LatentSpec
from tokzoo.contracts.specs import Tap
from tokzoo.nn.tokens import learned_tokens, to_map
from tokzoo_gigatok.backbone import BackboneDecoder
from tokzoo_gigatok.configs import ViTDecoderConfig
from tokzoo_gigatok.token_transformer import GRID_LAYERS, Hidden, TokenTransformer, run_on_grid


class GridDecoder(TokenTransformer):
    """Tokens ``[B, h · w, C']``, row-major, to a feature map ``[B, C', h, w]``."""

    def __init__(self, config: ViTDecoderConfig, grid: tuple[int, int]) -> None:
        super().__init__(config, GRID_LAYERS[config.layer])
        width = config.dimensions.width
        self.grid = grid
        self.grid_position = learned_tokens(grid[0] * grid[1], width)
        self.conv_out = nn.Conv2d(width, config.map_channels, 3, padding=1)

    def forward(self, tokens: Tensor, taps: Collection[Tap]) -> tuple[Tensor, Hidden]:
        """The map, and the stream after each layer among ``taps``."""
        stream, hidden = run_on_grid(self, self.enter(tokens), self.grid_position, taps)
        return self.conv_out(to_map(stream, self.grid)), hidden


class ViTDecoder(BackboneDecoder):
    """A grid of latent vectors to images."""

    def __init__(
        self, config: ViTDecoderConfig, latent: LatentSpec, image: ImageSpec, taps: tuple[Tap, ...] = ()
    ) -> None:
        super().__init__(config, latent, image, taps, GridDecoder(config, config.grid(image)))
