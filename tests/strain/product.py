"""Product quantization over any quantizer: the channels are cut into groups, each quantized by itself.

Jégou et al. (TPAMI 2011, section II.B); grouped codebooks as in wav2vec 2.0 (arXiv 2006.11477) and HiFi-Codec
(arXiv 2305.02765, without its residual levels).
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

import tokzoo


class ProductConfig(tokzoo.QuantizerConfig):
    inner: Annotated[tokzoo.Slot, tokzoo.ComponentRef["quantizer"]]
    groups: int = Field(2, ge=1)

    @property
    def provides(self) -> frozenset[str]:
        return self.inner.config.provides & {"assignment"}

    def weight_of(self, term: str) -> float:
        return self.inner.config.weight_of(term)

    def wants(self, layout: str) -> int | None:
        inner = self.inner.config.wants(layout)
        return None if inner is None else inner * self.groups

    def of_group(self, latent: tokzoo.LatentSpec) -> tokzoo.LatentSpec:
        if latent.channels % self.groups:
            raise tokzoo.Refusal(f"cuts channels into {self.groups} groups, and the latent has {latent.channels}")
        return replace(latent, channels=latent.channels // self.groups)

    def code_spec(self, latent: tokzoo.LatentSpec) -> tokzoo.CodeSpec:
        inner = self.inner.config.code_spec(self.of_group(latent))
        if inner is None or inner.segments or inner.vocab_by != "level":
            raise tokzoo.Refusal(f"joins codes by position, and its inner quantizer makes {inner}")
        return tokzoo.CodeSpec(inner.shape, inner.vocab * self.groups)

    def hands_on(self, latent: tokzoo.LatentSpec) -> tokzoo.LatentSpec:
        inner = self.inner.config.hands_on(self.of_group(latent))
        return replace(inner, channels=inner.channels * self.groups)


class Product(tokzoo.Quantizer):
    def __init__(self, config: ProductConfig, latent: tokzoo.LatentSpec) -> None:
        super().__init__(config, latent)
        each = config.of_group(latent)
        self.inner_levels = config.inner.config.code_spec(each).levels
        self.parts = nn.ModuleList(tokzoo.build(config.inner, each) for _ in range(config.groups))

    def start(self) -> None:
        for part in self.parts:
            part.start()

    def forward(self, latent: Tensor) -> tokzoo.Quantized:
        outs = [part(some) for part, some in zip(self.parts, self._cut(latent), strict=True)]
        total = torch.cat([out.latent for out in outs], -1)
        if any(out.codes is None for out in outs):
            return tokzoo.Quantized(total, None)
        losses = {name: sum(out.losses[name] for out in outs) / len(outs) for name in outs[0].losses}
        statistics = {f"{i}.{k}": v for i, out in enumerate(outs) for k, v in out.statistics.items()}
        codes = [out.codes.unflatten(1, (-1, 1)) if self.inner_levels == 1 else out.codes for out in outs]
        joined = torch.cat(codes, -1)
        return tokzoo.Quantized(total, joined.squeeze(-1) if joined.shape[-1] == 1 else joined, losses, statistics)

    def decode(self, codes: Tensor) -> Tensor:
        codes = self._by_group(codes)
        return torch.cat([part.decode(some) for part, some in zip(self.parts, codes, strict=True)], -1)

    def assignment(self, latent: Tensor) -> Sequence[tokzoo.Assignment]:
        pairs = zip(self.parts, self._cut(latent), strict=True)
        return list(chain.from_iterable(part.assignment(some) for part, some in pairs))

    def before_step(self, context: tokzoo.StepContext) -> None:
        for part in self.parts:
            part.before_step(context)

    def after_step(self, context: tokzoo.StepContext) -> Sequence[tokzoo.Overwritten]:
        codes = [None] * len(self.parts) if context.codes is None else self._by_group(context.codes)
        shown = zip(self.parts, self._cut(context.latent), codes, strict=True)
        steps = (part.after_step(replace(context, latent=some, codes=theirs)) for part, some, theirs in shown)
        return list(chain.from_iterable(steps))

    def _cut(self, latent: Tensor) -> Sequence[Tensor]:
        return latent.chunk(len(self.parts), -1)

    def _by_group(self, codes: Tensor) -> Sequence[Tensor]:
        """Codes ``[B, M, groups · l]`` as each part knows them."""
        if len(self.parts) == 1:
            return [codes]
        parts = codes.chunk(len(self.parts), -1)
        return [part.squeeze(-1) for part in parts] if self.inner_levels == 1 else parts


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    example = {"inner": {"use": "fsq", "levels": [4, 4]}}
    summary = "groups of channels, any quantizer in each"
    return [tokzoo.ComponentSpec("quantizer", "strain/product", ProductConfig, Product, summary, example=example)]
