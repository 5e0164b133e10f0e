"""Entropy of the assignment of latents to codes: certain for each latent, spread over the codebook on average.

The form used by MaskGIT's code, MAGVIT-v2 (arXiv 2310.05737) and GigaTok (arXiv 2504.08736). With
``p = softmax(-scale·‖q - e‖² / temperature)`` over the codes and ``p̄`` its mean over latents, the loss is
``mean(-Σ p log p) + Σ p̄ log(p̄ + 1e-5)``.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tokzoo import Pass, Regularizer
from tokzoo.nn.nearest import distance_chunks
from tokzoo.nn.precision import at_least_float32, without_autocast

EPSILON = 1e-5
# Log-probabilities end here. Beyond, a code adds nothing even in float64, and subnormal numbers are slow on a CPU.
FLOOR = -60.0


class AssignmentEntropy(Regularizer):
    """The two entropies as separately logged terms of the same weight; their sum is the loss.

    ``sample`` is the mean entropy of a latent's assignment, in ``[0, log K]``; ``codebook`` the negated entropy of the
    mean assignment, about ``-log K`` at best. Both means go over all latents of this rank; as in GigaTok's code,
    nothing is gathered from other ranks. While the quantizer does not quantize (warm-up), there are no terms.
    """

    def terms(self, state: Pass) -> dict[str, Tensor]:
        """The unweighted terms ``sample`` and ``codebook``."""
        if state.quantized is None or state.quantized.codes is None:
            return {}
        factors = state.tokenizer.quantizer.assignment(state.encoded.latent)
        sharpness = factors.scale / self.config.temperature
        sample, codebook = assignment_entropies(factors.queries, factors.codes, sharpness)
        return {"sample": sample, "codebook": codebook}


def assignment_entropies(queries: Tensor, codes: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
    """Mean entropy of ``p = softmax(-sharpness·‖q - e‖²)``, and ``Σ p̄ log(p̄ + 1e-5)`` of its mean ``p̄``.

    Once differentiable in both. Works in chunks of queries, forward and backward, in at least float32.

    Args:
        queries: ``[M, d]``.
        codes: ``[K, d]``.
        sharpness: inverse temperature, > 0.

    Returns:
        Two scalars.
    """
    sample, codebook = _Entropies.apply(at_least_float32(queries), at_least_float32(codes), sharpness)
    return sample, codebook


class _Entropies(torch.autograd.Function):
    """Keeps nothing of size M×K between the passes: backward makes the probabilities of each chunk anew.

    Gradients follow from ``∂(Σ p w)/∂logit = p (w - Σ p w)``, with ``w = -log p`` for the first output and
    ``w = ∂codebook/∂p̄`` for the second, and from ``∂‖q - e‖²/∂q = 2 (q - e)``. A query's gradients add up to zero over
    the codes, so that this ``q`` could drop out; it is kept because rounding leaves a remainder, harmless times a short
    ``q - e`` but not times a long ``e``.
    """

    @staticmethod
    def forward(ctx: Any, queries: Tensor, codes: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
        entropy, highest, log_total = queries.new_empty(3, len(queries))
        mean = codes.new_zeros(len(codes))
        with without_autocast(queries.device):
            for here, distances in distance_chunks(queries, codes):
                logits = distances.mul_(-sharpness)
                highest[here] = logits.amax(1)
                logits.sub_(highest[here, None]).clamp_(min=FLOOR)
                p = logits.exp()
                total = p.sum(1)
                log_total[here] = total.log()
                mean.addmv_(p.T, 1 / (len(queries) * total))
                entropy[here] = log_total[here] - logits.mul_(p).sum(1) / total
        ctx.sharpness = sharpness
        ctx.save_for_backward(queries, codes, mean, entropy, highest, log_total)
        return entropy.mean(), (mean * (mean + EPSILON).log()).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        queries, codes, mean, entropy, highest, log_total = ctx.saved_tensors
        grad_sample, grad_codebook = grads
        of_mean = grad_codebook * ((mean + EPSILON).log() + mean / (mean + EPSILON))
        columns = codes.T.contiguous()
        grad_queries, grad_columns, sums = torch.empty_like(queries), torch.zeros_like(columns), torch.zeros_like(mean)
        with without_autocast(queries.device):
            for here, distances in distance_chunks(queries, codes):
                log_p = distances.mul_(-ctx.sharpness).sub_(highest[here, None]).sub_(log_total[here, None])
                p = log_p.clamp_(min=FLOOR).exp()
                average = grad_sample * entropy[here] + p @ of_mean
                grad_logits = log_p.mul_(-grad_sample).add_(of_mean).sub_(average[:, None]).mul_(p)
                grad_queries[here] = grad_logits @ columns.T - grad_logits.sum(1, keepdim=True) * queries[here]
                grad_columns.addmm_(queries[here].T, grad_logits)
                sums += grad_logits.sum(0)
        factor = 2 * ctx.sharpness / len(queries)
        grad_codes = grad_columns.T - sums[:, None] * codes
        return grad_queries.mul_(factor), grad_codes.mul_(factor), None
