"""A continuous latent: the Gaussian bottleneck of a VAE (arXiv 1312.6114, appendix B; weight of 2112.10752)."""

import torch
from torch import Tensor

import tokzoo


class GaussianConfig(tokzoo.QuantizerConfig):
    dim: int = 4
    kl: float = 1e-6

    def weight_of(self, term: str) -> float:
        return self.kl

    def wants(self, layout: str) -> int:
        return 2 * self.dim

    def code_spec(self, latent: tokzoo.LatentSpec) -> None:
        return None

    def hands_on(self, latent: tokzoo.LatentSpec) -> tokzoo.LatentSpec:
        return tokzoo.LatentSpec(latent.layout, latent.shape, self.dim)


class Gaussian(tokzoo.Quantizer):
    """Mean and log-variance; a draw in training, the mean in use. The loss is the mean over images."""

    def forward(self, latent: Tensor) -> tokzoo.Quantized:
        mean, log_variance = latent.chunk(2, -1)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1).mean()
        if self.training:
            mean = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return tokzoo.Quantized(mean, None, {"kl": kl})

    def decode(self, codes: Tensor) -> Tensor:
        raise tokzoo.TokzooError("a continuous latent has no codes")


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    return [tokzoo.ComponentSpec("quantizer", "strain/gaussian", GaussianConfig, Gaussian, "a VAE's bottleneck")]
