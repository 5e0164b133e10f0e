"""Residual quantization over any quantizer: each level quantizes what the ones before it left over.

SoundStream (arXiv 2107.03312, algorithm 1) and RQ-VAE (arXiv 2203.01941, section 3.1).
"""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

import tokzoo


class ResidualConfig(tokzoo.QuantizerConfig):
    inner: Annotated[tokzoo.Slot, tokzoo.ComponentRef["quantizer"]]
    levels: int = Field(3, ge=1)

    @property
    def provides(self) -> frozenset[str]:
        """A level's choice is the inner quantizer's, so what can be said of one can be said of all."""
        return self.inner.config.provides & {"assignment"}

    def weight_of(self, term: str) -> float:
        return self.inner.config.weight_of(term)

    def wants(self, layout: str) -> int | None:
        return self.inner.config.wants(layout)

    def code_spec(self, latent: tokzoo.LatentSpec) -> tokzoo.CodeSpec:
        inner = self.inner.config.code_spec(latent)
        if inner is None or inner.levels != 1 or inner.segments or inner.vocab_by != "level":
            raise tokzoo.Refusal(f"repeats a quantizer of one code per position, and its inner one makes {inner}")
        if self.inner.config.hands_on(latent) != latent:
            raise tokzoo.Refusal("subtracts what a level hands on, and its inner quantizer hands on another shape")
        return tokzoo.CodeSpec(inner.shape, inner.vocab * self.levels)


class Residual(tokzoo.Quantizer):
    def __init__(self, config: ResidualConfig, latent: tokzoo.LatentSpec) -> None:
        super().__init__(config, latent)
        made = [tokzoo.build(config.inner, latent) for _ in range(config.levels)]
        self.levels = nn.ModuleList(made)

    def start(self) -> None:
        for level in self.levels:
            level.start()

    def forward(self, latent: Tensor) -> tokzoo.Quantized:
        outs = []
        left = latent
        for level in self.levels:
            outs.append(level(left))
            left = left - outs[-1].latent.detach()
        total = sum(out.latent.detach() for out in outs)
        # Straight through the sum; and the levels' losses, each of its own residual.
        through = latent + (total - latent).detach() if self.training else total
        if any(out.codes is None for out in outs):
            return tokzoo.Quantized(through, None)
        names = outs[0].losses
        losses = {name: sum(out.losses[name] for out in outs) / len(outs) for name in names}
        statistics = {f"{i}.{k}": v for i, out in enumerate(outs) for k, v in out.statistics.items()}
        return tokzoo.Quantized(through, torch.stack([out.codes for out in outs], -1), losses, statistics)

    def decode(self, codes: Tensor) -> Tensor:
        return sum(level.decode(of_level) for level, of_level in zip(self.levels, codes.unbind(-1), strict=True))

    def assignment(self, latent: Tensor) -> Sequence[tokzoo.Assignment]:
        """The inner quantizers' factors, each of its own residual."""
        factors = []
        left = latent
        for level in self.levels:
            factors += level.assignment(left)
            left = left - level(left).latent.detach()
        return factors

    def before_step(self, context: tokzoo.StepContext) -> None:
        for level in self.levels:
            level.before_step(context)

    @torch.no_grad()
    def after_step(self, context: tokzoo.StepContext) -> Sequence[tokzoo.Overwritten]:
        """Each inner quantizer is shown the residuals and codes of its level, as its own step would have."""
        changes: list[tokzoo.Overwritten] = []
        left = context.latent
        codes: Any = [None] * len(self.levels) if context.codes is None else context.codes.unbind(-1)
        for level, of_level in zip(self.levels, codes, strict=True):
            taken = level.decode(of_level) if of_level is not None else level(left).latent
            changes += level.after_step(tokzoo.StepContext(context.progress, left, of_level))
            left = left - taken
        return changes


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    inner = {"use": "vq", "codes": 16, "dim": 4}
    spec = tokzoo.ComponentSpec(
        "quantizer", "strain/residual", ResidualConfig, Residual, "residual over any", example={"inner": inner}
    )
    return [spec]
