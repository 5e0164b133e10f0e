"""Entropy of the assignment of latents to codes: certain for each latent, spread over the codebook on average.

The form used by MaskGIT's code, MAGVIT-v2 (arXiv 2310.05737) and GigaTok (arXiv 2504.08736). With
``p = softmax((-scale·‖q - e‖² + bias) / temperature)`` over the codes and ``p̄`` its mean over latents, the loss is
``mean(-Σ p log p) + Σ p̄ log(p̄ + 1e-5)``. Where a code is a combination of parts that are chosen by themselves (levels,
groups, bits), it is the sum over these parts: exact for the first entropy, and an upper bound of the second.
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
        temperature = self.config.temperature
        pairs = [
            assignment_entropies(
                each.queries,
                each.codes,
                each.scale / temperature,
                None if each.bias is None else each.bias / temperature,
            )
            for each in factors
        ]
        sample, codebook = (sum(each[1:], each[0]) for each in zip(*pairs, strict=True))
        return {"sample": sample, "codebook": codebook}


def assignment_entropies(
    queries: Tensor, codes: Tensor, sharpness: float, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean entropy of ``p = softmax(-sharpness·‖q - e‖² + bias)``, and ``Σ p̄ log(p̄ + 1e-5)`` of its mean ``p̄``.

    Once differentiable in queries, codes and bias. Works in chunks of queries, forward and backward, in at least
    float32.

    Args:
        queries: ``[M, d]``.
        codes: ``[K, d]``.
        sharpness: inverse temperature, > 0.
        bias: ``[K]``, or None.

    Returns:
        Two scalars.
    """
    bias = None if bias is None else at_least_float32(bias)
    sample, codebook = _Entropies.apply(at_least_float32(queries), at_least_float32(codes), sharpness, bias)
    return sample, codebook


class _Entropies(torch.autograd.Function):
    """Keeps nothing of size M×K between the passes: backward makes the probabilities of each chunk anew.

    Gradients follow from ``∂(Σ p w)/∂logit = p (w - Σ p w)``, with ``w = -log p`` for the first output and
    ``w = ∂codebook/∂p̄`` for the second, and from ``∂‖q - e‖²/∂q = 2 (q - e)``. A query's gradients add up to zero over
    the codes, so that this ``q`` could drop out; it is kept because rounding leaves a remainder, harmless times a short
    ``q - e`` but not times a long ``e``.
    """

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, codes: Tensor, sharpness: float, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        entropy, highest, log_total = queries.new_empty(3, len(queries))
        mean = codes.new_zeros(len(codes))
        with without_autocast(queries.device):
            for here, distances in distance_chunks(queries, codes):
                logits = _logits(distances, sharpness, bias)
                highest[here] = logits.amax(1)
                logits.sub_(highest[here, None]).clamp_(min=FLOOR)
                p = logits.exp()
                total = p.sum(1)
                log_total[here] = total.log()
                mean.addmv_(p.T, 1 / (len(queries) * total))
                entropy[here] = log_total[here] - logits.mul_(p).sum(1) / total
        ctx.sharpness = sharpness
        ctx.save_for_backward(queries, codes, bias, mean, entropy, highest, log_total)
        return entropy.mean(), (mean * (mean + EPSILON).log()).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, Tensor | None]:
        queries, codes, bias, mean, entropy, highest, log_total = ctx.saved_tensors
        grad_sample, grad_codebook = grads
        of_mean = grad_codebook * ((mean + EPSILON).log() + mean / (mean + EPSILON))
        columns = codes.T.contiguous()
        grad_queries, grad_columns, sums = torch.empty_like(queries), torch.zeros_like(columns), torch.zeros_like(mean)
        with without_autocast(queries.device):
            for here, distances in distance_chunks(queries, codes):
                log_p = _logits(distances, ctx.sharpness, bias).sub_(highest[here, None]).sub_(log_total[here, None])
                p = log_p.clamp_(min=FLOOR).exp()
                average = grad_sample * entropy[here] + p @ of_mean
                grad_logits = log_p.mul_(-grad_sample).add_(of_mean).sub_(average[:, None]).mul_(p)
                grad_queries[here] = grad_logits @ columns.T - grad_logits.sum(1, keepdim=True) * queries[here]
                grad_columns.addmm_(queries[here].T, grad_logits)
                sums += grad_logits.sum(0)
        factor = 2 * ctx.sharpness / len(queries)
        grad_codes = grad_columns.T - sums[:, None] * codes
        grad_bias = None if bias is None else sums / len(queries)
        return grad_queries.mul_(factor), grad_codes.mul_(factor), None, grad_bias


def _logits(distances: Tensor, sharpness: float, bias: Tensor | None) -> Tensor:
    """Logits of a chunk, in the memory of its distances."""
    logits = distances.mul_(-sharpness)
    return logits if bias is None else logits.add_(bias)
