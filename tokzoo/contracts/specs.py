"""What flows between components, as shapes: agreed before any weight exists, and without torch."""

import math
from dataclasses import dataclass, field
from typing import Literal

Layout = Literal["grid", "sequence"]
"""How the vectors of a latent are arranged: in rows and columns, or in a row."""

ASSIGNMENT = "assignment"
FEATURE_MAP_DECODING = "feature_map_decoding"
CODE_DECODING = "code_decoding"
NEXT_SCALE = "next_scale"
PREFIX_DECODING = "prefix_decoding"
LAST_LAYER = "last_layer"
CROPS = "crops"
"""Names of capabilities: ``contracts.capabilities`` says what each promises. ``"crops"`` is ``Split.crop``;
``"code_decoding"`` is ``Quantizer.decode``, which every quantizer has: what an AR model requires that reads latents."""

Tap = int | str
"""Where an encoder or a decoder is read: a layer number (1-based, after that layer) or a name."""


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """Images ``[B, channels, h, w]`` in [-1, 1]."""

    channels: int
    size: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.channels}×{self.size[0]}×{self.size[1]} image"


@dataclass(frozen=True, slots=True)
class FeatureMapSpec:
    """A convolutional feature map ``[B, channels, h, w]``."""

    channels: int
    size: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.channels}×{self.size[0]}×{self.size[1]} feature map"


@dataclass(frozen=True, slots=True)
class LatentSpec:
    """A latent ``[B, N, channels]`` whose N positions form a grid (row-major) or a sequence."""

    layout: Layout
    shape: tuple[int, ...]
    channels: int

    @property
    def positions(self) -> int:
        """N, the number of latent vectors per image."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        place = "×".join(map(str, self.shape)) + " grid" if self.layout == "grid" else f"sequence of {self.positions}"
        return f"{self.channels} channels in a {place}"


@dataclass(frozen=True, slots=True)
class CodeSpec:
    """Discrete codes, int64 ``[B, M]`` for one level or ``[B, M, L]`` for L levels.

    Attributes:
        shape: the arrangement of the M positions, ``(h, w)`` row-major or ``(n,)``.
        vocab: the number of codes of each level (residual and product quantizers have several), or of each position.
        segments: the shapes of consecutive groups of positions where codes are not one per latent position (VAR's
            scales, ``((1, 1), (2, 2), (4, 4))``); None otherwise.
        vocab_by: ``"level"``, or ``"position"`` where each position has its own vocabulary and there is one level.

    Raises:
        ValueError: ``vocab`` by position has another length than there are positions.
    """

    shape: tuple[int, ...]
    vocab: tuple[int, ...]
    segments: tuple[tuple[int, ...], ...] | None = None
    vocab_by: Literal["level", "position"] = "level"

    def __post_init__(self) -> None:
        if self.vocab_by == "position" and len(self.vocab) != self.positions:
            raise ValueError(f"{len(self.vocab)} vocabularies of {self.positions} positions")

    @property
    def positions(self) -> int:
        """M, the number of code positions per image."""
        return sum(map(math.prod, self.segments)) if self.segments else math.prod(self.shape)

    @property
    def levels(self) -> int:
        """L, the number of codes at each position."""
        return len(self.vocab) if self.vocab_by == "level" else 1

    @property
    def tokens(self) -> int:
        """How many integers describe an image, M·L."""
        return self.positions * self.levels

    @property
    def largest(self) -> int:
        """The largest vocabulary: every code lies in ``[0, largest)``."""
        return max(self.vocab)

    @property
    def bits_per_image(self) -> float:
        """Raw size of the code, ``Σ log2(vocab)`` over its tokens: what it costs without an entropy coder."""
        bits = sum(math.log2(size) for size in self.vocab)
        return bits if self.vocab_by == "position" else self.positions * bits

    def batch_shape(self, batch: int) -> tuple[int, ...]:
        """The shape of the codes of ``batch`` images."""
        return (batch, self.positions) if self.levels == 1 else (batch, self.positions, self.levels)

    def __str__(self) -> str:
        place = "×".join(map(str, self.shape)) if self.segments is None else f"{self.positions}"
        if self.vocab_by == "level":
            return f"{place} codes of {'×'.join(map(str, self.vocab))}"
        return f"{place} codes of {min(self.vocab)} to {max(self.vocab)}, by position"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an AR model learns, and what it may know of the tokenizer that made it.

    Attributes:
        codes: None where the tokenizer is continuous, and the latent itself is what could be learned.
        latent: the quantized latent that the codes stand for.
        classes: the number of classes a sample may be asked to be of; None without labels.
        provides: the capabilities of the tokenizer's parts.
    """

    codes: CodeSpec | None
    latent: LatentSpec
    classes: int | None = None
    provides: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class HiddenSpec:
    """Hidden states ``[B, T, dim]`` served at a tap; ``shape`` is the arrangement of the T tokens."""

    shape: tuple[int, ...]
    dim: int

    @property
    def positions(self) -> int:
        """T, the number of tokens."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Chain:
    """The solved shapes of one tokenizer: what every component was promised.

    Attributes:
        codes: None for a continuous quantizer; the code, AR and generation stages are then not applicable.
        quantized: the latent the quantizer hands to the decoder.
        hidden: the taps that regularizers asked for, as the decoder serves them.
        encoder_hidden: the same of the encoder's taps.
        provides: the capabilities of the three parts.
    """

    image: ImageSpec
    classes: int | None
    latent: LatentSpec
    quantized: LatentSpec
    codes: CodeSpec | None
    feature_map: FeatureMapSpec | None
    hidden: dict[Tap, HiddenSpec]
    encoder_hidden: dict[Tap, HiddenSpec] = field(default_factory=dict)
    provides: frozenset[str] = frozenset()

    @property
    def tokens(self) -> Tokens:
        """What an AR model is built from."""
        return Tokens(self.codes, self.quantized, self.classes, self.provides)


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """One number a metric reports, described for tables and records without importing torch.

    Attributes:
        id: ``group.name``, such as ``reconstruction.psnr``.
        label: the field's name for a column, such as ``rFID``.
        unit: "" for a pure number.
        better: which way is better; None for a description that is never ranked (codebook usage, parameters).
        observed: True for what varies from run to run (throughput): kept outside a record's identity.
        digits: decimals shown in tables.
    """

    id: str
    label: str
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    observed: bool = False
    digits: int = 3
