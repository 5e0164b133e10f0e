"""Vector quantization: the nearest row of a learned codebook.

VQ-VAE (van den Oord et al., arXiv 1711.00937, equations 1 to 3). Options: a codebook moved by moving averages
instead of gradients (its appendix A.1), the L2-normalised codebook of ViT-VQGAN (arXiv 2110.04627), gradients by the
rotation trick (arXiv 2410.06424), and against a collapsing codebook an unquantized warm-up, k-means initialisation on
its latents, and revival of dead codes. With L2 norm and rotation it is GigaTok's quantizer (arXiv 2504.08736).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokzoo import Assignment, LatentSpec, Overwritten, Progress, Quantized, Quantizer, StepContext
from tokzoo.nn.code_statistics import code_statistics
from tokzoo.nn.codebook_average import CodebookAverage
from tokzoo.nn.kmeans import kmeans
from tokzoo.nn.nearest import nearest
from tokzoo.nn.precision import at_least_float32
from tokzoo.nn.reservoir import Reservoir
from tokzoo.nn.rotation_trick import rotation_trick
from tokzoo_quantizers.configs import VQConfig

# Latents kept for k-means and revival: enough for clusters of some size, and never less than this.
KEPT_PER_CODE = 4
KEPT_AT_LEAST = 1 << 14

DEAD_AFTER = 100
"""A code counts as dead in the statistics once no latent has chosen it for so many steps."""


class VectorQuantizer(Quantizer):
    """A codebook ``[codes, dim]``.

    In training the quantized latent carries the gradient to the encoder, and the losses ``commitment`` and ``codebook``
    come with it: means over all elements of ``(z - sg e)²`` and ``(sg z - e)²``. In eval mode the latent is the code
    vector itself (normalised with ``l2_norm``), bit for bit what ``decode`` gives; GigaTok's original goes on through
    straight-through or the rotation there, which differs by up to 1e-5.

    Everything is computed in at least float32; what is handed on has the codebook's dtype.

    The statistics of a training step are those of :func:`code_statistics`, and ``dead``: which part of the codebook no
    latent, of any rank, has chosen for :data:`DEAD_AFTER` steps.

    With ``ema`` the codebook takes no gradient and there is no loss ``codebook``; ``after_step`` moves it.

    k-means, revival and the moving average see the latents of all ranks, and random numbers are drawn by the first rank
    from torch's global generator. So every rank comes to the same codebook, bit for bit where their hardware is alike.
    """

    def __init__(self, config: VQConfig, latent: LatentSpec) -> None:
        super().__init__(config, latent)
        codebook = torch.empty(config.codes, config.dim).uniform_(-1 / config.codes, 1 / config.codes)
        codebook = F.normalize(codebook, dim=-1) if config.l2_norm else codebook
        self.codebook = nn.Parameter(codebook, requires_grad=config.ema is None)
        self.unquantized = False
        kept = max(KEPT_AT_LEAST, KEPT_PER_CODE * config.codes)
        self.reservoir = Reservoir(kept, config.dim) if config.kmeans or config.revive else None
        self.register_buffer("idle", torch.zeros(config.codes, dtype=torch.int32), persistent=False)
        if config.revive:
            self.register_buffer("usage", torch.ones(config.codes), persistent=False)
        self.average = CodebookAverage(config.ema, config.codes, config.dim) if config.ema else None

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
        losses = {"commitment": F.mse_loss(z, e.detach())}
        if self.average is None:
            losses["codebook"] = F.mse_loss(e, z.detach())
        out = rotation_trick(z, e) if self.config.rotation else z + (e - z).detach()
        dead = (self.idle >= DEAD_AFTER).float().mean()
        statistics = {**code_statistics(codes, self.config.codes), "dead": dead}
        return Quantized(out.to(self.codebook.dtype), codes, losses, statistics)

    def decode(self, codes: Tensor) -> Tensor:
        """The code vectors ``[B, N, dim]`` of codes ``[B, N]`` in ``[0, codes)``."""
        return F.embedding(codes, self._normalised(self.codebook)).to(self.codebook.dtype)

    def assignment(self, latent: Tensor) -> tuple[Assignment, ...]:
        """Latents ``[B·N, dim]`` and codes ``[codes, dim]`` as they are compared (normalised with ``l2_norm``)."""
        return (Assignment(self._normalised(latent).flatten(0, -2), self._normalised(self.codebook)),)

    def before_step(self, context: StepContext) -> None:
        """Decide whether this step is quantized."""
        self.unquantized = context.progress.step < self._warmup_steps(context.progress)

    @torch.no_grad()
    def after_step(self, context: StepContext) -> Sequence[Overwritten]:
        """Keep latents; initialise the codebook after the warm-up's last step; then move it and revive dead codes.

        A move of the moving average is not among what it returns: it is small, as an optimizer's, so that an average of
        weights should follow it and not start anew.
        """
        if context.codes is not None:
            self.idle += 1
            self.idle.index_fill_(0, context.codes.flatten(), 0)
        if self.reservoir is None and self.average is None:
            return ()
        warmup, step = self._warmup_steps(context.progress), context.progress.step
        latents = self._normalised(context.latent).flatten(0, -2)
        if self.reservoir is not None and (step < warmup or self.config.revive):
            self.reservoir.put(latents)
        if step < warmup:
            return (self._initialise(),) if self.config.kmeans and step == warmup - 1 else ()
        codes = context.codes.flatten()
        if self.average is not None:
            codebook = self._normalised(self.codebook)
            self.codebook.copy_(self.average.update(codebook, latents, codes, spherical=self.config.l2_norm))
        return (self._revive(codes),) if self.config.revive else ()

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
        centres = kmeans(latents, count, spherical=self.config.l2_norm)
        rows = torch.arange(self.config.codes, device=self.codebook.device) < count
        return self._overwrite(rows, F.pad(centres, (0, 0, 0, self.config.codes - count)))

    def _revive(self, codes: Tensor) -> Overwritten:
        """Update usage with the step's codes ``[M]`` and replace the rows of dead ones."""
        counts = torch.zeros_like(self.usage).index_add_(0, codes, torch.ones_like(codes, dtype=self.usage.dtype))
        self.usage.lerp_(counts * (self.config.codes / len(codes)), 1 - self.config.revive.decay)
        dead = self.usage < self.config.revive.threshold
        self.usage.masked_fill_(dead, 1.0)
        return self._overwrite(dead, self.reservoir.draw(self.config.codes))

    def _overwrite(self, rows: Tensor, vectors: Tensor) -> Overwritten:
        """Replace rows (bool ``[codes]``) of the codebook by those of ``vectors`` ``[codes, dim]``."""
        self.codebook.copy_(torch.where(rows[:, None], vectors.to(self.codebook.dtype), self.codebook))
        self.idle.masked_fill_(rows, 0)
        if self.average is not None:
            self.average.restart(rows)
        return Overwritten(self.codebook, rows)
