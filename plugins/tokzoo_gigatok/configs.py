"""Configs of GigaTok's encoders and decoders (arXiv 2504.08736), and the shapes they promise. No torch here."""

from abc import abstractmethod
from typing import ClassVar, Literal, NamedTuple, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from tokzoo import (
    Config,
    DecoderConfig,
    EncoderConfig,
    FeatureMapSpec,
    HiddenSpec,
    ImageSpec,
    LatentSpec,
    Refusal,
)
from tokzoo.contracts.specs import FEATURE_MAP_DECODING, LAST_LAYER, Layout, Tap

Size = Literal["tiny", "small", "base", "large", "xl", "xxl", "xxxl"]
GridLayer = Literal["plain", "detr"]
Queries = Literal["multi-level", "learned", "mean"]

MAP_TAP = "map"
"""The named tap: the feature map between the CNN and the transformer."""


class Dimensions(NamedTuple):
    """The size of a transformer."""

    width: int
    layers: int
    heads: int


SIZES: dict[Size, Dimensions] = {
    "tiny": Dimensions(256, 4, 4),
    "small": Dimensions(512, 6, 8),
    "base": Dimensions(768, 12, 12),
    "large": Dimensions(1024, 24, 16),
    "xl": Dimensions(1280, 36, 20),
    "xxl": Dimensions(1536, 48, 24),
    "xxxl": Dimensions(2560, 48, 40),
}


class BackboneConfig(Config):
    """What all four components are told: the size of the transformer and of the CNN."""

    size: Size | None = Field("small", description="size of the transformer; null: width, layers and heads are given")
    width: PositiveInt | None = Field(None, description="channels of the transformer, a multiple of heads")
    layers: PositiveInt | None = Field(None, description="layers of the transformer")
    heads: PositiveInt | None = Field(None, description="attention heads of the transformer")
    channels: PositiveInt = Field(128, description="base width of the CNN: level i has channels × multipliers[i]")
    multipliers: tuple[PositiveInt, ...] = Field(
        (1, 1, 2, 2, 4), min_length=1, description="width of each CNN level; the map is halved between levels"
    )
    groups: PositiveInt = Field(32, description="groups of every GroupNorm; divides the width of every CNN level")
    map_channels: PositiveInt = Field(256, description="channels of the feature map between CNN and transformer")
    init_std: PositiveFloat | None = Field(
        0.02,
        description="deviation of the weights of linear maps and convolutions at the start; null: fan-in^-1/2, with "
        "which narrow models learn sooner",
    )
    checkpointing: bool = Field(
        False, description="recompute transformer layers in the backward pass: less memory, a third more work"
    )

    @model_validator(mode="after")
    def _size_or_dimensions(self) -> Self:
        given = (self.width, self.layers, self.heads)
        if self.size is not None and any(value is not None for value in given):
            raise ValueError(f"size {self.size!r} fixes width, layers and heads: write size: null to give your own")
        if self.size is None and None in given:
            raise ValueError(f"size: null needs width, layers and heads; or choose a size of {', '.join(SIZES)}")
        if self.dimensions.width % self.dimensions.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self

    @model_validator(mode="after")
    def _groups_divide(self) -> Self:
        for level in {1, *self.multipliers}:
            if self.channels * level % self.groups:
                raise ValueError(
                    f"a CNN level of {self.channels * level} channels cannot be normed in {self.groups} groups: "
                    "change channels, multipliers or groups"
                )
        return self

    @property
    def dimensions(self) -> Dimensions:
        """Width, layers and heads of the transformer."""
        if self.size is not None:
            return SIZES[self.size]
        return Dimensions(self.width or 0, self.layers or 0, self.heads or 0)

    def grid(self, image: ImageSpec) -> tuple[int, int]:
        """Height and width of the feature map.

        Raises:
            Refusal: the sides cannot be halved as often as the CNN has levels.
        """
        stride = 2 ** (len(self.multipliers) - 1)
        if any(side % stride for side in image.size):
            raise Refusal(
                f"halves images {len(self.multipliers) - 1} times, so their sides must be multiples of {stride}, "
                f"not {image.size[0]}×{image.size[1]}: resize the images or change multipliers"
            )
        return image.size[0] // stride, image.size[1] // stride

    def check_tap(self, tap: Tap) -> None:
        """Raise :class:`Refusal` unless ``tap`` is the number of a layer."""
        layers = self.dimensions.layers
        if not isinstance(tap, int) or not 1 <= tap <= layers:
            raise Refusal(f"has {layers} transformer layers: taps are 1 to {layers} or {MAP_TAP!r}, not {tap!r}")


class _GridConfig(BackboneConfig):
    layer: GridLayer = Field(
        "plain", description="plain: self-attention; detr: also cross-attention to the layer's own input"
    )


class CNNEncoderConfig(BackboneConfig, EncoderConfig):
    """What both encoders share."""

    provides: ClassVar[frozenset[str]] = frozenset({LAST_LAYER})

    blocks: PositiveInt = Field(2, description="residual blocks of each CNN level")

    def hidden_spec(self, tap: Tap, image: ImageSpec) -> HiddenSpec:
        """The stream after layer ``tap`` (raw, before the last norm), or the map that the CNN hands on at ``"map"``."""
        if tap == MAP_TAP:
            return HiddenSpec(self.grid(image), self.map_channels)
        self.check_tap(tap)
        return HiddenSpec(self.stream_shape(image), self.dimensions.width)

    @abstractmethod
    def stream_shape(self, image: ImageSpec) -> tuple[int, ...]:
        """The arrangement of the transformer's tokens."""

    def feature_map_spec(self, image: ImageSpec) -> FeatureMapSpec:
        """The CNN's output."""
        return FeatureMapSpec(self.map_channels, self.grid(image))


class ViTEncoderConfig(_GridConfig, CNNEncoderConfig):
    """The 2D encoder: one latent vector for each place of the grid."""

    layout: ClassVar[Layout] = "grid"

    def stream_shape(self, image: ImageSpec) -> tuple[int, ...]:
        """That of the feature map."""
        return self.grid(image)

    def latent_spec(self, image: ImageSpec, channels: int | None) -> LatentSpec:
        """A grid as large as the feature map."""
        return LatentSpec("grid", self.grid(image), channels or self.map_channels)


class QFormerEncoderConfig(CNNEncoderConfig):
    """The 1D encoder: queries gather the grid into a sequence."""

    layout: ClassVar[Layout] = "sequence"

    tokens: PositiveInt = Field(256, description="length of the sequence")
    queries: Queries = Field(
        "multi-level",
        description="what queries start from: means of the map at halving scales, learned vectors, or its mean",
    )

    @model_validator(mode="after")
    def _levels_double(self) -> Self:
        if self.queries == "multi-level" and (self.tokens < 2 or self.tokens & (self.tokens - 1)):
            raise ValueError(
                f"tokens {self.tokens}: multi-level queries come in groups of 1, 1, 2, 4, 8, …, so their number is a "
                "power of two from 2 on; or choose queries: learned or mean"
            )
        return self

    @property
    def query_blocks(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of blocks the grid is averaged over, for each level of multi-level queries.

        Levels have 1, 1, 2, 4, … tokens/2 blocks; columns are doubled first.
        """
        levels = [0, *range(self.tokens.bit_length() - 1)]
        return tuple((2 ** (level // 2), 2 ** ((level + 1) // 2)) for level in levels)

    def stream_shape(self, image: ImageSpec) -> tuple[int, ...]:
        """A sequence."""
        return (self.tokens,)

    def latent_spec(self, image: ImageSpec, channels: int | None) -> LatentSpec:
        """A sequence of ``tokens``."""
        rows, columns = self.grid(image)
        if self.queries == "multi-level":
            high, wide = self.query_blocks[-1]
            if rows % high or columns % wide:
                raise Refusal(
                    f"makes {self.tokens} multi-level queries from {high}×{wide} blocks of the feature map, which do "
                    f"not divide a map of {rows}×{columns}: lower tokens, or choose queries: learned or mean"
                )
        return LatentSpec("sequence", (self.tokens,), channels or self.map_channels)


class CNNDecoderConfig(BackboneConfig, DecoderConfig):
    """What both decoders share."""

    provides: ClassVar[frozenset[str]] = frozenset({FEATURE_MAP_DECODING, LAST_LAYER})

    blocks: PositiveInt = Field(3, description="residual blocks of each CNN level")

    def grid(self, image: ImageSpec) -> tuple[int, int]:
        """Height and width of the feature map; at least two places, whose variance styles the CNN."""
        size = super().grid(image)
        if size == (1, 1):
            raise Refusal(f"leaves a map of 1×1 of a {image}, which has no variance: use fewer multipliers")
        return size

    def accepts_feature_map(self, feature_map: FeatureMapSpec, image: ImageSpec) -> None:
        """Refuse a map that is not what the CNN reads."""
        wanted = FeatureMapSpec(self.map_channels, self.grid(image))
        if feature_map != wanted:
            raise Refusal(f"decodes a {wanted} directly, not a {feature_map}: give both sides the same map_channels")

    def hidden_spec(self, tap: Tap, latent: LatentSpec, image: ImageSpec) -> HiddenSpec:
        """The stream after layer ``tap`` (raw, before the last norm), or the map handed to the CNN at ``"map"``."""
        if tap == MAP_TAP:
            return HiddenSpec(self.grid(image), self.map_channels)
        self.check_tap(tap)
        return HiddenSpec(self.grid(image), self.dimensions.width)


class ViTDecoderConfig(_GridConfig, CNNDecoderConfig):
    """The 2D decoder: reads a latent vector for each place of the grid."""

    def accepts(self, latent: LatentSpec, image: ImageSpec) -> None:
        """Refuse anything but a grid as large as the feature map."""
        grid = self.grid(image)
        if (latent.layout, latent.shape) != ("grid", grid):
            raise Refusal(f"wants a {grid[0]}×{grid[1]} grid, not a {_place(latent)}")


class QFormerDecoderConfig(CNNDecoderConfig):
    """The 1D decoder: queries of the grid read a sequence of any length."""

    def accepts(self, latent: LatentSpec, image: ImageSpec) -> None:
        """Refuse anything but a sequence, and images that cannot be decoded."""
        self.grid(image)
        if latent.layout != "sequence":
            raise Refusal(f"wants a sequence, not a {_place(latent)}")


def _place(latent: LatentSpec) -> str:
    if latent.layout == "sequence":
        return f"sequence of {latent.positions}"
    return "×".join(map(str, latent.shape)) + " grid"
