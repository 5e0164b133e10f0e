"""Configs of the AR models and their samplers. No torch."""

from typing import ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

import tokzoo
from tokzoo.nn.guidance import AnySchedule, Constant


class Shape(NamedTuple):
    """The size of a transformer."""

    layers: int
    heads: int
    width: int


GPT_SIZES = {
    "B": Shape(12, 12, 768),
    "L": Shape(24, 16, 1024),
    "XL": Shape(36, 20, 1280),
    "XXL": Shape(48, 24, 1536),
    "XXXL": Shape(48, 40, 2560),
}
"""LlamaGen's sizes (arXiv 2406.06525), and GigaTok's XXXL."""


LARGEST_VOCABULARY = 2**20
"""The largest published vocabulary with a row for each code is 2^18; much larger ones fit no memory."""


class GPTSampler(tokzoo.Config):
    """How codes are drawn: guidance, then temperature, then top-k, then top-p."""

    temperature: float = Field(1.0, ge=1e-5, description="divides the logits")
    top_k: int = Field(0, ge=0, description="draw among this many likeliest codes; 0: all")
    top_p: float = Field(
        1.0, gt=0, le=1, description="draw among the likeliest codes that together reach this probability; 1: all"
    )
    greedy: bool = Field(False, description="take the likeliest code; temperature, top_k, top_p and seeds do nothing")
    cfg: float = Field(1.0, ge=0, description="scale of classifier-free guidance; 1: none, and half the work")
    schedule: AnySchedule = Field(Constant(), description="how the scale changes from code to code")

    def accepts(self, classes: int | None) -> None:
        """Raise :class:`Refusal` unless a model of so many classes (None: unconditional) can be sampled so."""
        if classes is None and self.cfg != 1:
            raise tokzoo.Refusal(
                f"cfg {self.cfg:g} guides towards a class, and this model has no classes; set the sampler's cfg to 1"
            )


class GPTConfig(tokzoo.ARConfig):
    """LlamaGen's GPT, as GigaTok trains it; its dropouts are the defaults.

    Give either a size, or ``size: null`` with layers, heads and width.
    """

    sampler: ClassVar[type[tokzoo.Config]] = GPTSampler

    size: Literal["B", "L", "XL", "XXL", "XXXL"] | None = Field("B", description="a published size; null: as below")
    layers: int | None = Field(None, ge=1, description="number of blocks, with size null")
    heads: int | None = Field(None, ge=1, description="attention heads, with size null; divides width")
    width: int | None = Field(None, ge=1, description="width of the hidden states, with size null")
    ffn_multiple: int = Field(256, ge=1, description="the SwiGLU's hidden width, 8/3 · width, is rounded up to this")
    positions: Literal["learned", "rotary", "rotary-2d"] = Field(
        "learned",
        description="a learned vector each; or queries and keys are turned by their place in the sequence or grid",
    )
    qk_norm: bool = Field(False, description="LayerNorm on the queries and keys of every head")
    adaln: Literal["none", "full", "shared"] = Field(
        "none",
        description="class-modulated norms: a projection in every block, or one for all blocks with an offset in each",
    )
    token_dropout: float = Field(0.1, ge=0, lt=1, description="dropout of the input embeddings")
    residual_dropout: float = Field(0.1, ge=0, lt=1, description="dropout after attention")
    ffn_dropout: float = Field(0.1, ge=0, lt=1, description="dropout after the SwiGLU")
    drop_path: float = Field(
        0.0, ge=0, lt=1, description="drop-path rate of the last block, linear from 0 at the first"
    )
    label_dropout: float = Field(0.1, ge=0, le=1, description="share of labels replaced by the null class in training")

    @model_validator(mode="after")
    def _one_way_to_say_the_size(self) -> Self:
        given = [name for name in Shape._fields if getattr(self, name) is not None]
        if self.size is not None and given:
            raise ValueError(
                f"size {self.size} already decides {', '.join(given)}; set size to null to choose your own"
            )
        if self.size is None and len(given) < len(Shape._fields):
            missing = [name for name in Shape._fields if name not in given]
            raise ValueError(f"size is null, so {', '.join(missing)} must be given")
        if self.shape.width % self.shape.heads:
            raise ValueError(f"width {self.width} is not divisible by {self.heads} heads")
        return self

    @model_validator(mode="after")
    def _heads_can_be_turned(self) -> Self:
        channels = 2 * self.axes
        if channels and self.head_width % channels:
            raise ValueError(
                f"positions {self.positions} turn channels in groups of {channels}, and a head has {self.head_width}; "
                f"choose width and heads so that width / heads is a multiple of {channels}, or positions learned"
            )
        return self

    @property
    def axes(self) -> int:
        """The number of axes along which queries and keys are turned; 0 for learned positions."""
        return {"learned": 0, "rotary": 1, "rotary-2d": 2}[self.positions]

    @property
    def head_width(self) -> int:
        """Channels of an attention head."""
        return self.shape.width // self.shape.heads

    @property
    def shape(self) -> Shape:
        """Layers, heads and width, however they were given."""
        if self.size is not None:
            return GPT_SIZES[self.size]
        return Shape(self.layers or 0, self.heads or 0, self.width or 0)

    @property
    def ffn_width(self) -> int:
        """Hidden width of the SwiGLU."""
        return -(-(8 * self.shape.width // 3) // self.ffn_multiple) * self.ffn_multiple

    def accepts(self, tokens: tokzoo.Tokens) -> None:
        """Refuse several levels, vocabularies too large for a head, and with 2D positions codes that form no grid."""
        codes = tokens.codes
        if codes is None:
            raise tokzoo.Refusal("learns codes, and this tokenizer is continuous; choose a quantizer that makes codes")
        if codes.vocab_by == "position":
            raise tokzoo.Refusal("has one vocabulary for all positions, and these codes have one for each")
        if codes.largest > LARGEST_VOCABULARY:
            raise tokzoo.Refusal(
                f"has a row of its embedding and of its head for each of {codes.largest:,} codes, which is more than "
                f"{LARGEST_VOCABULARY:,}; choose a smaller vocabulary, or an AR model that splits codes into parts"
            )
        if codes.levels != 1:
            raise tokzoo.Refusal(
                f"learns one code per position, and these have {codes.levels} levels; choose a quantizer with one level"
            )
        if self.positions == "rotary-2d" and (len(codes.shape) != 2 or codes.segments):
            raise tokzoo.Refusal(
                f"turns by row and column, and {codes} form no grid; set positions to rotary or learned, "
                "or choose an encoder whose latent is a grid"
            )
