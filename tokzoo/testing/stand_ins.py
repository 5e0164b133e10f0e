"""The kit's own small tokenizer, in which a regularizer or a metric is tried: the kit needs no plugin.

Its parts are named ``tokzoo-testing/…``. Its latent is a grid or a sequence; whatever tap it is asked for, the decoder
serves a 4×4 grid of hidden states, which is also its feature map and has the shape of the encoder's, as do the
encoder's own taps.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.contracts.configs import DecoderConfig, EncoderConfig, ImageTermConfig, QuantizerConfig
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.interfaces import Decoder, Encoder, ImageTerm, Quantizer
from tokzoo.contracts.outputs import Decoded, Encoded
from tokzoo.contracts.specs import (
    FEATURE_MAP_DECODING,
    LAST_LAYER,
    PREFIX_DECODING,
    CodeSpec,
    FeatureMapSpec,
    HiddenSpec,
    ImageSpec,
    LatentSpec,
    Layout,
    Tap,
    Tokens,
)
from tokzoo.recipes.models import Recipe
from tokzoo.recipes.resolve import resolve_recipe
from tokzoo.recipes.solver import solve
from tokzoo.recipes.tree import Tree
from tokzoo.registry.catalogue import Catalogue, Entry
from tokzoo.registry.component import ComponentSpec
from tokzoo.testing.stand_in_quantizers import DIM, QUANTIZERS, NearestConfig, quantizer_of

PREFIX = "tokzoo-testing"
LAYOUTS: tuple[Layout, ...] = ("grid", "sequence")
SIDE, WIDTH, TOKENS = 4, 12, 8
"""The grid's side, the width of its feature maps, the length of its sequence."""


class GridEncoderConfig(EncoderConfig):
    """A linear map of patches."""

    layout: ClassVar[Layout] = "grid"
    provides: ClassVar[frozenset[str]] = frozenset({LAST_LAYER})

    def latent_spec(self, image: ImageSpec, channels: int | None) -> LatentSpec:
        """A 4×4 grid."""
        return LatentSpec("grid", (SIDE, SIDE), channels or DIM)

    def feature_map_spec(self, image: ImageSpec) -> FeatureMapSpec:
        """What the latent is a projection of."""
        return FeatureMapSpec(WIDTH, (SIDE, SIDE))

    def hidden_spec(self, tap: Tap, image: ImageSpec) -> HiddenSpec:
        """A 4×4 grid, whatever the tap."""
        return HiddenSpec((SIDE, SIDE), WIDTH)


class SequenceEncoderConfig(GridEncoderConfig):
    """The same, with the positions mixed into a sequence."""

    layout: ClassVar[Layout] = "sequence"

    def latent_spec(self, image: ImageSpec, channels: int | None) -> LatentSpec:
        """A sequence of 8."""
        return LatentSpec("sequence", (TOKENS,), channels or DIM)


class StandInEncoder(Encoder):
    """Patches, then a linear map of the positions and one of the channels."""

    def __init__(self, config: Any, image: ImageSpec, latent: LatentSpec, taps: tuple[Tap, ...] = ()) -> None:
        super().__init__(config, image, latent, taps)
        self.taps = taps
        self.patches = nn.Conv2d(image.channels, WIDTH, 2, stride=2)
        self.mix = nn.Linear(SIDE * SIDE, latent.positions)
        self.project = nn.Linear(WIDTH, latent.channels)

    def forward(self, images: Tensor) -> Encoded:
        """The latent and the feature map, which every tap serves."""
        feature_map = self.patches(F.adaptive_avg_pool2d(images, 2 * SIDE)).tanh()
        latent = self.project(self.mix(feature_map.flatten(2)).transpose(1, 2))
        return Encoded(latent, feature_map, dict.fromkeys(self.taps, feature_map.flatten(2).transpose(1, 2)))

    def last_layer(self) -> Tensor:
        """The projection."""
        return self.project.weight


class StandInDecoderConfig(DecoderConfig):
    """From any latent to images of any size."""

    provides: ClassVar[frozenset[str]] = frozenset({FEATURE_MAP_DECODING, LAST_LAYER, PREFIX_DECODING})

    def accepts(self, latent: LatentSpec, image: ImageSpec) -> None:
        """Any."""

    def accepts_feature_map(self, feature_map: FeatureMapSpec, image: ImageSpec) -> None:
        """The stand-in encoder's."""
        if (feature_map.channels, feature_map.size) != (WIDTH, (SIDE, SIDE)):
            raise Refusal(f"decodes the stand-in encoder's feature map, not a {feature_map}")

    def hidden_spec(self, tap: Tap, latent: LatentSpec, image: ImageSpec) -> HiddenSpec:
        """A 4×4 grid, whatever the tap."""
        return HiddenSpec((SIDE, SIDE), WIDTH)


class StandInDecoder(Decoder):
    """A linear map of the positions and one of the channels, then pixels."""

    def __init__(self, config: Any, latent: LatentSpec, image: ImageSpec, taps: tuple[Tap, ...] = ()) -> None:
        super().__init__(config, latent, image, taps)
        self.taps, self.size = taps, image.size
        self.missing = nn.Parameter(torch.zeros(latent.channels))
        self.mix = nn.Linear(latent.positions, SIDE * SIDE)
        self.project = nn.Linear(latent.channels, WIDTH)
        self.pixels = nn.Conv2d(WIDTH, image.channels, 3, padding=1)

    def forward(self, latent: Tensor, target: Tensor | None = None) -> Decoded:
        """Images, and the feature map at every tap."""
        feature_map = self.project(self.mix(latent.transpose(1, 2)).transpose(1, 2)).tanh()
        images = self.decode_feature_map(feature_map.transpose(1, 2).unflatten(2, (SIDE, SIDE))).images
        return Decoded(images, dict.fromkeys(self.taps, feature_map))

    def decode(self, latent: Tensor, seeds: Tensor, sampler: Any = None) -> Tensor:
        """Images of all positions, or of the first."""
        rest = self.missing.expand(len(latent), self.mix.in_features - latent.shape[1], -1)
        return self.forward(torch.cat([latent, rest], 1)).images

    def decode_feature_map(self, feature_map: Tensor) -> Decoded:
        """Images of ``[B, WIDTH, 4, 4]``."""
        return Decoded(self.pixels(F.interpolate(feature_map, self.size, mode="bilinear")))

    def last_layer(self) -> Tensor:
        """The convolution to pixels."""
        return self.pixels.weight


class SquaredConfig(ImageTermConfig):
    """Mean squared error, so that a tokenizer learns whatever the regularizer under test does."""


class Squared(ImageTerm):
    """Over every view."""

    def distance(self, images: Tensor, target: Tensor) -> Tensor:
        """A scalar."""
        return F.mse_loss(images.float(), target.float())


def _spec(kind: str, name: str, config: Any, target: type) -> ComponentSpec:
    return ComponentSpec(kind, f"{PREFIX}/{name}", config, target, "a stand-in of the conformance kit")


SPECS = (
    _spec("encoder", "grid", GridEncoderConfig, StandInEncoder),
    _spec("encoder", "sequence", SequenceEncoderConfig, StandInEncoder),
    *(_spec("quantizer", name, *pair) for name, pair in QUANTIZERS.items()),
    _spec("decoder", "any", StandInDecoderConfig, StandInDecoder),
)


def _capabilities(quantizer: QuantizerConfig) -> frozenset[str]:
    """What a tokenizer of stand-ins provides, and which part of it."""
    parts = {
        "encoder": GridEncoderConfig.provides,
        "quantizer": quantizer.provides,
        "decoder": StandInDecoderConfig.provides,
    }
    return frozenset(name for part, names in parts.items() for each in names for name in (each, f"{part}.{each}"))


PROVIDED = _capabilities(NearestConfig())
"""The capabilities of the tokenizer in which regularizers are tried."""


def with_stand_ins(catalogue: Catalogue) -> Catalogue:
    """What is in a catalogue, and the stand-ins."""
    both = Catalogue()
    for entry in (*catalogue, *(Entry(spec, PREFIX) for spec in SPECS)):
        both.add(entry)
    return both


def stand_in_recipe(layout: Layout, catalogue: Catalogue, quantizer: str = "nearest") -> Recipe:
    """A recipe of stand-ins alone, from a catalogue that has them."""
    parts = {"encoder": layout, "quantizer": quantizer, "decoder": "any"}
    fields = {part: {"use": f"{PREFIX}/{name}"} for part, name in parts.items()}
    return resolve_recipe(Tree.from_data(fields, "the conformance kit"), catalogue)


def stand_in_tokenizer(image: ImageSpec, classes: int | None, quantizer: str = "nearest") -> Tokenizer:
    """A tokenizer of stand-ins, with a grid."""
    catalogue = with_stand_ins(Catalogue())
    recipe = stand_in_recipe("grid", catalogue, quantizer)
    return Tokenizer(recipe, solve(recipe, image, classes, catalogue))


def stand_in_quantizer(codes: CodeSpec) -> Quantizer:
    """A frozen quantizer of such codes, for AR models that read latents."""
    config, target = quantizer_of(codes)
    return target(config, _latent_of(codes)).requires_grad_(False).eval()


def tokens_of(codes: CodeSpec, classes: int | None) -> Tokens:
    """Such codes, of the stand-in quantizer's latent."""
    config, _ = quantizer_of(codes)
    return Tokens(codes, _latent_of(codes), classes, _capabilities(config))


def _latent_of(codes: CodeSpec) -> LatentSpec:
    return LatentSpec("grid" if len(codes.shape) == 2 else "sequence", codes.shape, DIM)


def grey(image: ImageSpec) -> ImageSpec:
    """Such images with one channel."""
    return ImageSpec(1, image.size)


def labels_of(rows: Tensor, classes: int) -> Tensor:
    """Labels int64 ``[B]`` that depend on the rows of images or codes alone, and differ among them."""
    return (rows.flatten(1).double().sum(1) * 9973).long().remainder(classes)
