"""GigaTok's 2D encoder (arXiv 2504.08736): a transformer over the grid of the CNN's feature map."""

from collections.abc import Collection

from torch import Tensor, nn

from tokzoo import ImageSpec, LatentSpec
from tokzoo.contracts.specs import Tap
from tokzoo.nn.tokens import learned_tokens, to_tokens
from tokzoo_gigatok.backbone import BackboneEncoder
from tokzoo_gigatok.configs import ViTEncoderConfig
from tokzoo_gigatok.token_transformer import GRID_LAYERS, Hidden, TokenTransformer, run_on_grid


class GridEncoder(TokenTransformer):
    """A feature map ``[B, C', h, w]`` to as many tokens ``[B, h · w, C']``, row-major."""

    def __init__(self, config: ViTEncoderConfig, grid: tuple[int, int]) -> None:
        super().__init__(config, GRID_LAYERS[config.layer])
        width = config.dimensions.width
        self.grid_position = learned_tokens(grid[0] * grid[1], width)
        self.out = nn.Linear(width, config.map_channels)

    def forward(self, feature_map: Tensor, taps: Collection[Tap]) -> tuple[Tensor, Hidden]:
        """Tokens of the map, and the stream after each layer among ``taps``."""
        stream, hidden = run_on_grid(self, self.enter(to_tokens(feature_map)), self.grid_position, taps)
        return self.out(stream), hidden


class ViTEncoder(BackboneEncoder):
    """Images to a grid of latent vectors."""

    def __init__(
        self, config: ViTEncoderConfig, image: ImageSpec, latent: LatentSpec, taps: tuple[Tap, ...] = ()
    ) -> None:
        super().__init__(config, image, latent, taps, GridEncoder(config, config.grid(image)))
