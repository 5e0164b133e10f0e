"""Vector quantization: the nearest row of a learned codebook.

VQ-VAE (van den Oord et al., arXiv 1711.00937, equations 1 to 3). Options: the L2-normalised codebook of ViT-VQGAN
(arXiv 2110.04627), gradients by the rotation trick (arXiv 2410.06424), and against a collapsing codebook an unquantized
warm-up, k-means initialisation on its latents, and revival of dead codes. With L2 norm and rotation it is GigaTok's
quantizer (arXiv 2504.08736).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokzoo import Assignment, LatentSpec, Overwritten, Progress, Quantized, Quantizer, StepContext
from tokzoo.nn.nearest import at_least_float32, nearest
from tokzoo_quantizers.configs import VQConfig
from tokzoo_quantizers.kmeans import kmeans
from tokzoo_quantizers.reservoir import Reservoir
from tokzoo_quantizers.rotation import rotate

# Latents kept for k-means and revival: enough for clusters of some size, and never less than this.
KEPT_PER_CODE = 4
KEPT_AT_LEAST = 1 << 14


class VectorQuantizer(Quantizer):
    """A codebook ``[codes, dim]``.

    In training the quantized latent carries the gradient to the encoder, and the losses ``commitment`` and ``codebook``
    come with it: means over all elements of ``(z - sg e)²`` and ``(sg z - e)²``. In eval mode the latent is the code
    vector itself (normalised with ``l2_norm``), bit for bit what ``decode`` gives; GigaTok's original goes on through
    straight-through or the rotation there, which differs by up to 1e-5.

    Everything is computed in at least float32; what is handed on has the codebook's dtype.

    k-means and revival draw from torch's global generator in ``after_step``: on several ranks it must stand at the same
    state in each of them.
    """

    def __init__(self, config: VQConfig, latent: LatentSpec) -> None:
        super().__init__(config, latent)
        codebook = torch.empty(config.codes, config.dim).uniform_(-1 / config.codes, 1 / config.codes)
        self.codebook = nn.Parameter(F.normalize(codebook, dim=-1) if config.l2_norm else codebook)
        self.unquantized = False
        kept = max(KEPT_AT_LEAST, KEPT_PER_CODE * config.codes)
        self.reservoir = Reservoir(kept, config.dim) if config.kmeans or config.revive else None
        if config.revive:
            self.register_buffer("usage", torch.ones(config.codes), persistent=False)

    def forward(self, latent: Tensor) -> Quantized:
        """Quantize ``[B, N, dim]`` to codes ``[B, N]``; in the training steps of the warm-up, only normalise it."""
        z = self._normalised(latent)
        if self.training and self.unquantized:
            return Quantized(z.to(self.codebook.dtype), None)
        codebook = self._normalised(self.codebook)
        codes = nearest(z.flatten(0, -2), codebook).view(z.shape[:-1])
        e = F.embedding(codes, codebook)
        if not self.training:
            return Quantized(e.to(self.codebook.dtype), codes)
        losses = {"commitment": F.mse_loss(z, e.detach()), "codebook": F.mse_loss(e, z.detach())}
        out = rotate(z, e) if self.config.rotation else z + (e - z).detach()
        return Quantized(out.to(self.codebook.dtype), codes, losses)

    def decode(self, codes: Tensor) -> Tensor:
        """The code vectors ``[B, N, dim]`` of codes ``[B, N]`` in ``[0, codes)``."""
        return F.embedding(codes, self._normalised(self.codebook)).to(self.codebook.dtype)

    def assignment(self, latent: Tensor) -> Assignment:
        """Latents ``[B·N, dim]`` and codes ``[codes, dim]`` as they are compared (normalised with ``l2_norm``)."""
        return Assignment(self._normalised(latent).flatten(0, -2), self._normalised(self.codebook))

    def before_step(self, context: StepContext) -> None:
        """Decide whether this step is quantized."""
        self.unquantized = context.progress.step < self._warmup_steps(context.progress)

    @torch.no_grad()
    def after_step(self, context: StepContext) -> Sequence[Overwritten]:
        """Keep latents; initialise the codebook after the warm-up's last step; afterwards revive dead codes."""
        warmup, step = self._warmup_steps(context.progress), context.progress.step
        if self.reservoir is None or (step >= warmup and not self.config.revive):
            return ()
        self.reservoir.put(self._normalised(context.latent).flatten(0, -2))
        if step == warmup - 1 and self.config.kmeans:
            return (self._initialise(),)
        return (self._revive(context.codes),) if step >= warmup else ()

    def _normalised(self, vectors: Tensor) -> Tensor:
        vectors = at_least_float32(vectors)
        return F.normalize(vectors, dim=-1) if self.config.l2_norm else vectors

    def _warmup_steps(self, progress: Progress) -> int:
        # A small fraction of a small budget rounds to no step, but k-means needs one.
        return max(progress.steps(self.config.warmup), int(self.config.kmeans))

    def _initialise(self) -> Overwritten:
        """Set the codebook by k-means; rows for which there are no latents stay."""
        latents = self.reservoir.contents()
        count = min(len(latents), self.config.codes)
        self.codebook[:count] = kmeans(latents, count, spherical=self.config.l2_norm).to(self.codebook.dtype)
        rows = torch.arange(self.config.codes, device=self.codebook.device) < count
        return Overwritten(self.codebook, rows)

    def _revive(self, codes: Tensor) -> Overwritten:
        """Update usage with the step's codes and replace the rows of dead ones."""
        codes = codes.flatten()
        counts = torch.zeros_like(self.usage).index_add_(0, codes, torch.ones_like(codes, dtype=self.usage.dtype))
        self.usage.lerp_(counts * (self.config.codes / len(codes)), 1 - self.config.revive.decay)
        dead = self.usage < self.config.revive.threshold
        latents = self.reservoir.draw(self.config.codes).to(self.codebook.dtype)
        self.codebook.copy_(torch.where(dead[:, None], latents, self.codebook))
        self.usage.masked_fill_(dead, 1.0)
        return Overwritten(self.codebook, dead)
