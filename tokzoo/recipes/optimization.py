"""How a model is optimised, and how much it is trained."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokzoo.contracts.configs import Config, check_spans

Decay = Annotated[float, Field(ge=0, lt=1)]


class PartTraining(Config):
    """How one part is trained where it is not as the whole: ``train.tokenizer.parts: {encoder: {stop: 0.5}}``.

    A part is an encoder, a quantizer, a decoder, or ``regularizers.ROLE``; of an adversary, its own optimizer is meant.
    It is trained while ``start <= step < stop`` (steps, or fractions of the budget below 1) and frozen otherwise: no
    gradient is computed for it, and a quantizer's own updates (moving averages, revival) rest too. ``stop: 0`` freezes
    it throughout. While frozen, encoder and decoder are in eval mode; a quantizer stays in training mode.
    """

    lr: float | None = Field(None, gt=0, description="peak learning rate of this part; null: that of the whole")
    betas: tuple[Decay, Decay] | None = Field(None, description="AdamW's moment decays; null: those of the whole")
    weight_decay: float | None = Field(None, ge=0, description="null: that of the whole")
    start: int | float = Field(0, ge=0, description="first step it is trained in: an int, or a fraction of the budget")
    stop: int | float | None = Field(None, ge=0, description="first step it is frozen again; null: never; 0: frozen")

    @model_validator(mode="after")
    def _gates_are_steps_or_fractions(self) -> Self:
        check_spans(self, ("start", "stop"))
        return self


class Optimization(Config):
    """How a model is optimised; its budget is the track's.

    AdamW (arXiv 1711.05101) with a linear warm-up from ``lr / warm-up steps``, then the schedule.
    """

    lr: float = Field(1e-4, gt=0, description="peak learning rate")
    betas: tuple[Decay, Decay] = Field((0.9, 0.95), description="AdamW's moment decays")
    weight_decay: float = Field(1e-4, ge=0)
    decay: Literal["matrices", "all"] = Field(
        "matrices", description="which parameters decay; matrices: two axes or more"
    )
    schedule: Literal["cosine", "constant", "wsd"] = Field(
        "cosine", description="after the warm-up; wsd: warm-up, stable, then a square-root cool-down"
    )
    warmup: int | float = Field(0, ge=0, description="steps, or a fraction of the budget")
    cooldown: int | float = Field(0.2, ge=0, description="last part of the budget (wsd): steps, or a fraction of it")
    final_lr: float = Field(0.1, ge=0, le=1, description="learning rate at the end, as a fraction of lr (cosine, wsd)")
    clip: float | None = Field(1.0, gt=0, description="largest gradient norm; null: no clipping")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the weight average judged instead; null: none")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: autocast")
    parts: dict[str, PartTraining] = Field(
        default_factory=dict, description="parts of a tokenizer that are trained otherwise, by name or role"
    )

    @model_validator(mode="after")
    def _spans_are_steps_or_fractions(self) -> Self:
        check_spans(self, ("warmup", "cooldown"))
        return self


class Budget(Config):
    """How much is trained."""

    steps: int = Field(gt=0)
    batch: int = Field(gt=0)
