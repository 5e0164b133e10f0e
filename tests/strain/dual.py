"""Two codebooks with one index: an entry is a semantic and a pixel vector, chosen by the sum of their distances.

TokenFlow (arXiv 2412.03069, shared mapping): ``argmin_i d_sem(i) + w · d_pix(i)``. The encoder's channels hold both
parts, the semantic ones first, and so does what is handed on: a pixel decoder reads all, a semantic one its half.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import tokzoo
from tokzoo.nn.nearest import nearest


class DualConfig(tokzoo.QuantizerConfig):
    provides = frozenset({"assignment"})

    codes: int = Field(16384, ge=2)
    semantic: int = Field(32, ge=1, description="channels of the semantic vectors, which come first")
    pixel: int = Field(8, ge=1, description="channels of the pixel vectors")
    pixel_distance: float = Field(1.0, gt=0, description="weight of the pixel distance against the semantic one")
    commitment: float = Field(0.25, ge=0)

    def weight_of(self, term: str) -> float:
        return self.commitment if term == "commitment" else 1.0

    def wants(self, layout: str) -> int:
        return self.semantic + self.pixel

    def code_spec(self, latent: tokzoo.LatentSpec) -> tokzoo.CodeSpec:
        if latent.channels != self.semantic + self.pixel:
            raise tokzoo.Refusal(f"has {self.semantic} + {self.pixel} channels and the latent has {latent.channels}")
        return tokzoo.CodeSpec(latent.shape, (self.codes,))


class Dual(tokzoo.Quantizer):
    def __init__(self, config: DualConfig, latent: tokzoo.LatentSpec) -> None:
        super().__init__(config, latent)
        self.semantic = nn.Parameter(torch.randn(config.codes, config.semantic))
        self.pixel = nn.Parameter(torch.randn(config.codes, config.pixel))

    def forward(self, latent: Tensor) -> tokzoo.Quantized:
        latent = self._unit(latent.float())
        codes = nearest(*self._joint(latent)).view(latent.shape[:-1])
        chosen = self.decode(codes)
        if not self.training:
            return tokzoo.Quantized(chosen, codes)
        losses = {
            "commitment": F.mse_loss(latent, chosen.detach()),
            "codebook": F.mse_loss(chosen, latent.detach()),
        }
        return tokzoo.Quantized(latent + (chosen - latent).detach(), codes, losses)

    def decode(self, codes: Tensor) -> Tensor:
        return F.embedding(codes, self._unit(torch.cat([self.semantic, self.pixel], -1)))

    def assignment(self, latent: Tensor) -> Sequence[tokzoo.Assignment]:
        """One factor: the joint distance is a distance of joined vectors."""
        return [tokzoo.Assignment(*self._joint(self._unit(latent.float())))]

    def _joint(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and codes whose squared distance is the weighted sum of the two."""
        factors = torch.ones(latent.shape[-1], device=latent.device)
        factors[self.config.semantic :] = self.config.pixel_distance**0.5
        codes = self._unit(torch.cat([self.semantic, self.pixel], -1))
        return latent.flatten(0, -2) * factors, codes * factors

    def _unit(self, both: Tensor) -> Tensor:
        parts = both.split([self.config.semantic, self.config.pixel], -1)
        return torch.cat([F.normalize(part, dim=-1) for part in parts], -1)


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    example = {"codes": 16, "semantic": 4, "pixel": 2}
    return [tokzoo.ComponentSpec("quantizer", "strain/dual", DualConfig, Dual, "shared index", example=example)]
