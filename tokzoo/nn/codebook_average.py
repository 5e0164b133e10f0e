"""A codebook that follows its latents by moving averages, instead of by gradients.

VQ-VAE (van den Oord et al., arXiv 1711.00937, appendix A.1): ``N ← γ N + (1 - γ) n``, ``m ← γ m + (1 - γ) Σ z`` and
``e = m / N``, where n latents z chose the code e in this step. VQ-VAE-2 (arXiv 1906.00446) keeps the rule; the Laplace
smoothing of N over K codes, ``(N + ε) / (ΣN + K ε) · ΣN``, is that of its released code.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokzoo.nn.code_means import code_means
from tokzoo.nn.configs import EMAConfig


class CodebookAverage(nn.Module):
    """The statistics N and m of every code, as buffers that are not saved with the tokenizer.

    Both, and ε with them, are in units of an equal share of the latents (their number / K), so that nothing depends on
    the batch size. A code starts at N = 1, that is, as if its row were the mean of an equal share so far.

    Attributes:
        counts: N, ``[K]``. 0 marks a row that starts anew from the codebook; a code unused for so long that N
            underflows may do so too.
        sums: m, ``[K, dim]``.
    """

    counts: Tensor
    sums: Tensor

    def __init__(self, config: EMAConfig, codes: int, dim: int) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("counts", torch.zeros(codes), persistent=False)
        self.register_buffer("sums", torch.zeros(codes, dim), persistent=False)

    def update(self, codebook: Tensor, latents: Tensor, codes: Tensor, spherical: bool) -> Tensor:
        """Take in one step and return the codebook after it.

        A code that no latent chose stays where it is, as without smoothing: N and m shrink alike.

        Args:
            codebook: ``[K, dim]`` before the step; unit vectors if spherical.
            latents: ``[M, dim]``.
            codes: int64 ``[M]``, the code of each latent.
            spherical: put the rows back on the unit sphere.

        Returns:
            ``[K, dim]``.
        """
        fresh = self.counts == 0
        self.counts.masked_fill_(fresh, 1.0)
        self.sums.copy_(torch.where(fresh[:, None], codebook, self.sums))
        means, numbers = code_means(latents, codes, len(codebook))
        shares = numbers.to(self.counts.dtype) * (len(codebook) / len(codes))
        self.counts.lerp_(shares, 1 - self.config.decay)
        self.sums.lerp_((means * shares[:, None]).to(self.sums.dtype), 1 - self.config.decay)
        total, epsilon = self.counts.sum(), self.config.epsilon
        smoothed = (self.counts + epsilon) * (total / (total + len(codebook) * epsilon))
        rows = self.sums / smoothed[:, None]
        return torch.where(numbers[:, None] > 0, F.normalize(rows, dim=-1) if spherical else rows, codebook)

    def restart(self, rows: Tensor) -> None:
        """Forget the past of rows (bool ``[K]``) that were overwritten in the codebook."""
        self.counts.masked_fill_(rows, 0.0)
