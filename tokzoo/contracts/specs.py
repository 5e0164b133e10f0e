"""What flows between components, as shapes: agreed before any weight exists, and without torch."""

import math
from dataclasses import dataclass
from typing import Literal

Layout = Literal["grid", "sequence"]
"""How the vectors of a latent are arranged: in rows and columns, or in a row."""

ASSIGNMENT = "assignment"
FEATURE_MAP_DECODING = "feature_map_decoding"
CROPS = "crops"
"""Names of capabilities: ``contracts.capabilities`` has the methods of the first two, ``Split.crop`` is the third."""

Tap = int | str
"""Where a decoder is read: a layer number (1-based, after that layer) or a name."""


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
        vocab: the number of codes of each level (residual and product quantizers have several).
        segments: lengths of the consecutive groups of positions where codes are not one per latent position (VAR's
            scales); None otherwise.
    """

    shape: tuple[int, ...]
    vocab: tuple[int, ...]
    segments: tuple[int, ...] | None = None

    @property
    def positions(self) -> int:
        """M, the number of code positions per image."""
        return sum(self.segments) if self.segments else math.prod(self.shape)

    @property
    def levels(self) -> int:
        """L, the number of codes at each position."""
        return len(self.vocab)

    @property
    def tokens(self) -> int:
        """How many integers describe an image, M·L."""
        return self.positions * self.levels

    @property
    def bits_per_image(self) -> float:
        """Raw size of the code, ``M · Σ log2(vocab)``: what it costs without an entropy coder."""
        return self.positions * sum(math.log2(size) for size in self.vocab)

    def batch_shape(self, batch: int) -> tuple[int, ...]:
        """The shape of the codes of ``batch`` images."""
        return (batch, self.positions) if self.levels == 1 else (batch, self.positions, self.levels)

    def __str__(self) -> str:
        place = "×".join(map(str, self.shape)) if self.segments is None else f"{self.positions}"
        return f"{place} codes of {'×'.join(map(str, self.vocab))}"


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
    """

    image: ImageSpec
    classes: int | None
    latent: LatentSpec
    quantized: LatentSpec
    codes: CodeSpec | None
    feature_map: FeatureMapSpec | None
    hidden: dict[Tap, HiddenSpec]


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
