"""The kit's own small tokenizer, in which a regularizer or a metric is tried: the kit needs no plugin.

Its parts are named ``tokzoo-testing/…``. Its latent is a grid or a sequence; whatever tap it is asked for, the decoder
serves a 4×4 grid of hidden states, which is also its feature map and has the shape of the encoder's.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.contracts.configs import DecoderConfig, EncoderConfig, ImageTermConfig, QuantizerConfig
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.interfaces import ARModel, Decoder, Encoder, ImageTerm, Quantizer
from tokzoo.contracts.outputs import ARLoss, Assignment, Decoded, Encoded, Progress, Quantized
from tokzoo.contracts.specs import (
    ASSIGNMENT,
    FEATURE_MAP_DECODING,
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

PREFIX = "tokzoo-testing"
LAYOUTS: tuple[Layout, ...] = ("grid", "sequence")
SIDE, WIDTH, TOKENS, DIM, CODES = 4, 12, 8, 4, 32
"""The grid's side, the width of its feature maps, the length of its sequence, the codebook's dimension and size."""


class GridEncoderConfig(EncoderConfig):
    """A linear map of patches."""

    layout: ClassVar[Layout] = "grid"

    def latent_spec(self, image: ImageSpec, channels: int | None) -> LatentSpec:
        """A 4×4 grid."""
        return LatentSpec("grid", (SIDE, SIDE), channels or DIM)

    def feature_map_spec(self, image: ImageSpec) -> FeatureMapSpec:
        """What the latent is a projection of."""
        return FeatureMapSpec(WIDTH, (SIDE, SIDE))


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
        self.patches = nn.Conv2d(image.channels, WIDTH, 2, stride=2)
        self.mix = nn.Linear(SIDE * SIDE, latent.positions)
        self.project = nn.Linear(WIDTH, latent.channels)

    def forward(self, images: Tensor) -> Encoded:
        """The latent and the feature map."""
        feature_map = self.patches(F.adaptive_avg_pool2d(images, 2 * SIDE)).tanh()
        return Encoded(self.project(self.mix(feature_map.flatten(2)).transpose(1, 2)), feature_map)


class NearestConfig(QuantizerConfig):
    """The nearest vector of a codebook."""

    provides: ClassVar[frozenset[str]] = frozenset({ASSIGNMENT})

    codes: int = Field(CODES, ge=1, description="codes of the codebook")

    def wants(self, layout: Layout) -> int:
        """The codebook's dimension."""
        return DIM

    def code_spec(self, latent: LatentSpec) -> CodeSpec:
        """One code for each position."""
        return CodeSpec(latent.shape, (self.codes,))


class Nearest(Quantizer):
    """Straight-through, with a codebook and a commitment loss."""

    def __init__(self, config: Any, latent: LatentSpec) -> None:
        super().__init__(config, latent)
        self.codebook = nn.Parameter(torch.randn(config.codes, latent.channels))

    def forward(self, latent: Tensor) -> Quantized:
        """The nearest codes."""
        with torch.no_grad():
            distances = (latent[..., None, :] - self.codebook).square().sum(-1)
            codes = distances.argmin(-1)
        chosen = self.decode(codes)
        losses = {
            "codebook": F.mse_loss(chosen, latent.detach()),
            "commitment": F.mse_loss(latent, chosen.detach()),
        }
        through = latent + (chosen - latent).detach() if self.training else chosen
        return Quantized(through, codes, losses)

    def decode(self, codes: Tensor) -> Tensor:
        """Rows of the codebook."""
        return F.embedding(codes, self.codebook)

    def assignment(self, latent: Tensor) -> tuple[Assignment, ...]:
        """Latents and codebook as they are."""
        return (Assignment(latent.flatten(0, -2), self.codebook),)


class StandInDecoderConfig(DecoderConfig):
    """From any latent to images of any size."""

    provides: ClassVar[frozenset[str]] = frozenset({FEATURE_MAP_DECODING})

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
        self.mix = nn.Linear(latent.positions, SIDE * SIDE)
        self.project = nn.Linear(latent.channels, WIDTH)
        self.pixels = nn.Conv2d(WIDTH, image.channels, 3, padding=1)

    def forward(self, latent: Tensor, target: Tensor | None = None) -> Decoded:
        """Images, and the feature map at every tap."""
        feature_map = self.project(self.mix(latent.transpose(1, 2)).transpose(1, 2)).tanh()
        images = self.decode_feature_map(feature_map.transpose(1, 2).unflatten(2, (SIDE, SIDE))).images
        return Decoded(images, dict.fromkeys(self.taps, feature_map))

    def decode_feature_map(self, feature_map: Tensor) -> Decoded:
        """Images of ``[B, WIDTH, 4, 4]``."""
        return Decoded(self.pixels(F.interpolate(feature_map, self.size, mode="bilinear")))


class SquaredConfig(ImageTermConfig):
    """Mean squared error, so that a tokenizer learns whatever the regularizer under test does."""


class Squared(ImageTerm):
    """Over every view."""

    def distance(self, images: Tensor, target: Tensor) -> Tensor:
        """A scalar."""
        return F.mse_loss(images.float(), target.float())


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
        """The likeliest code everywhere."""
        return self.logits.argmax().expand(self.codes.batch_shape(len(seeds))).clone()

    def features(self, codes: Tensor, labels: Tensor | None, layer: int) -> Tensor:
        """A vector for each code."""
        states: Tensor = self.states(codes) * layer
        return states.flatten(1, -2)


def _spec(kind: str, name: str, config: Any, target: type) -> ComponentSpec:
    return ComponentSpec(kind, f"{PREFIX}/{name}", config, target, "a stand-in of the conformance kit")


SPECS = (
    _spec("encoder", "grid", GridEncoderConfig, StandInEncoder),
    _spec("encoder", "sequence", SequenceEncoderConfig, StandInEncoder),
    _spec("quantizer", "nearest", NearestConfig, Nearest),
    _spec("decoder", "any", StandInDecoderConfig, StandInDecoder),
)
PROVIDED = frozenset(
    {
        *(name for each in NearestConfig.provides for name in (each, f"quantizer.{each}")),
        *(name for each in StandInDecoderConfig.provides for name in (each, f"decoder.{each}")),
    }
)
"""The capabilities of the stand-in tokenizer."""


def with_stand_ins(catalogue: Catalogue) -> Catalogue:
    """What is in a catalogue, and the stand-ins."""
    both = Catalogue()
    for entry in (*catalogue, *(Entry(spec, PREFIX) for spec in SPECS)):
        both.add(entry)
    return both


def stand_in_recipe(layout: Layout, catalogue: Catalogue) -> Recipe:
    """A recipe of stand-ins alone, from a catalogue that has them."""
    parts = {"encoder": layout, "quantizer": "nearest", "decoder": "any"}
    fields = {part: {"use": f"{PREFIX}/{name}"} for part, name in parts.items()}
    return resolve_recipe(Tree.from_data(fields, "the conformance kit"), catalogue)


def stand_in_tokenizer(image: ImageSpec, classes: int | None) -> Tokenizer:
    """A tokenizer of stand-ins, with a grid."""
    catalogue = with_stand_ins(Catalogue())
    recipe = stand_in_recipe("grid", catalogue)
    return Tokenizer(recipe, solve(recipe, image, classes, catalogue))


def stand_in_quantizer(codes: CodeSpec) -> Quantizer | None:
    """A frozen quantizer of such codes, for AR models that read latents; None for codes no stand-in makes."""
    if codes.levels > 1 or codes.segments is not None:
        return None
    layout: Layout = "grid" if len(codes.shape) == 2 else "sequence"
    quantizer = Nearest(NearestConfig(codes=codes.vocab[0]), LatentSpec(layout, codes.shape, DIM))
    return quantizer.requires_grad_(False).eval()


def tokens_of(codes: CodeSpec, classes: int | None) -> Tokens:
    """Such codes, of the stand-in quantizer's latent."""
    layout: Layout = "grid" if len(codes.shape) == 2 else "sequence"
    return Tokens(codes, LatentSpec(layout, codes.shape, DIM), classes, PROVIDED)


def grey(image: ImageSpec) -> ImageSpec:
    """Such images with one channel."""
    return ImageSpec(1, image.size)


def labels_of(rows: Tensor, classes: int) -> Tensor:
    """Labels int64 ``[B]`` that depend on the rows of images or codes alone, and differ among them."""
    return (rows.flatten(1).double().sum(1) * 9973).long().remainder(classes)
