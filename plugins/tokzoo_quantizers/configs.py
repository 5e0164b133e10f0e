"""Configs of the quantizers, without torch."""

import math
from typing import ClassVar, Self

from pydantic import Field, field_validator, model_validator

from tokzoo import CodeSpec, Config, LatentSpec, QuantizerConfig, Refusal
from tokzoo.contracts.configs import first_step
from tokzoo.contracts.specs import Layout
from tokzoo.nn.configs import EMAConfig

MAX_FSQ_CODES = 2**24


class RevivalConfig(Config):
    """When a code counts as dead. Usage is a code's share of the latents, relative to an equal share (1.0)."""

    threshold: float = Field(
        0.01, gt=0, lt=1, description="a code whose usage falls below this is replaced by a random recent latent"
    )
    decay: float = Field(
        0.99, gt=0, lt=1, description="per-step decay of the usage average; new and revived codes start at usage 1"
    )


class VQConfig(QuantizerConfig):
    """A learned codebook, see ``tokzoo_quantizers.vq``."""

    provides: ClassVar[frozenset[str]] = frozenset({"assignment"})

    codes: int = Field(16384, ge=2, description="number of codes")
    dim: int = Field(8, ge=1, description="codebook dimension: the channels of the latent")
    l2_norm: bool = Field(True, description="compare latents and codes on the unit sphere")
    rotation: bool = Field(False, description="gradient by the rotation trick instead of straight-through")
    commitment: float = Field(0.25, ge=0, description="weight of the commitment loss, which pulls latents to codes")
    codebook_weight: float = Field(
        1.0, ge=0, description="weight of the codebook loss, which pulls codes to latents; with ema there is none"
    )
    ema: EMAConfig | None = Field(
        None, description="move codes by moving averages of their latents ({}: with defaults); null: by gradients"
    )
    warmup: int | float = Field(
        0, ge=0, description="first training steps without quantization: an int, or a fraction of the budget below 1"
    )
    kmeans: bool = Field(False, description="initialise the codebook by k-means on the last latents of the warm-up")
    revive: RevivalConfig | None = Field(None, description="replace dead codes ({}: with defaults); null: never")

    @model_validator(mode="after")
    def _check_ema(self) -> Self:
        # The default says nothing: a config that was written out and read back gives every field.
        if self.ema and self.codebook_weight != type(self).model_fields["codebook_weight"].default:
            raise ValueError(
                "codebook_weight weighs the codebook loss, and with ema there is none: leave one of the two out"
            )
        return self

    @model_validator(mode="after")
    def _check_warmup(self) -> Self:
        if isinstance(self.warmup, float) and not self.warmup < 1:
            raise ValueError(
                "warmup: a float is a fraction of the budget below 1; write a number of steps as an integer"
            )
        if self.kmeans and not self.warmup:
            raise ValueError(
                "kmeans clusters the latents of the warm-up, and there is none: set warmup to 1 or more steps"
            )
        return self

    def weight_of(self, term: str) -> float:
        """The weight of ``commitment`` or ``codebook``."""
        return {"commitment": self.commitment, "codebook": self.codebook_weight}[term]

    def warnings(self, steps: int) -> list[str]:
        """That the warm-up lasts as long as the training."""
        warmup = first_step(self.warmup, steps)
        if warmup < steps:
            return []
        return [
            f"never quantizes in training, and is judged quantized: its warm-up lasts {warmup} steps; lower warmup, or "
            "write it as a fraction of the budget"
        ]

    def wants(self, layout: Layout) -> int:
        """The codebook dimension."""
        return self.dim

    def code_spec(self, latent: LatentSpec) -> CodeSpec:
        """One code per latent vector."""
        if latent.channels != self.dim:
            raise Refusal(f"its codes have {self.dim} channels and the latent has {latent.channels}; set dim")
        return CodeSpec(shape=latent.shape, vocab=(self.codes,))


class FSQConfig(QuantizerConfig):
    """Finite scalar quantization, see ``tokzoo_quantizers.fsq``."""

    provides: ClassVar[frozenset[str]] = frozenset({"assignment"})

    levels: tuple[int, ...] = Field(
        (8, 8, 8), min_length=1, description="values each channel may take; their product is the number of codes"
    )

    @field_validator("levels")
    @classmethod
    def _check_levels(cls, levels: tuple[int, ...]) -> tuple[int, ...]:
        if min(levels) < 2:
            raise ValueError(f"a channel needs at least 2 levels to say anything, not {min(levels)}")
        if math.prod(levels) > MAX_FSQ_CODES:
            raise ValueError(
                f"{math.prod(levels)} codes are too many (limit {MAX_FSQ_CODES}): use fewer or lower levels"
            )
        return levels

    def wants(self, layout: Layout) -> int:
        """One channel per entry of ``levels``."""
        return len(self.levels)

    def code_spec(self, latent: LatentSpec) -> CodeSpec:
        """One code per latent vector."""
        if latent.channels != len(self.levels):
            raise Refusal(
                f"has levels for {len(self.levels)} channels and the latent has {latent.channels}; set levels"
            )
        return CodeSpec(shape=latent.shape, vocab=(math.prod(self.levels),))
