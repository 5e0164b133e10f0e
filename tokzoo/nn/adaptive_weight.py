"""The weight a loss term gets from gradients, so that it pulls as hard as others do at one layer.

VQGAN (Esser, Rombach and Ommer, arXiv 2012.09841, equation 7) weighs its adversarial term so at the decoder's last
layer; VA-VAE (arXiv 2501.01423, section 3.2) its alignment term at the encoder's.
"""

import torch
from torch import Tensor

from tokzoo.contracts.errors import TokzooError

EPSILON = 1e-4
"""Added to the term's own gradient norm (VQGAN's code; its paper has 1e-6)."""

LARGEST = 1e4


def adaptive_weight(
    reference: Tensor, own: Tensor, at: Tensor, epsilon: float = EPSILON, largest: float = LARGEST
) -> Tensor:
    """``‖∂reference/∂at‖ / (‖∂own/∂at‖ + epsilon)``, between 0 and ``largest``; no gradient passes through it.

    Args:
        reference: the scalar loss to be matched, such as reconstruction and perceptual terms together.
        own: the scalar term to be weighed.
        at: the parameter where gradients are compared, such as a decoder's ``last_layer()``.
        epsilon: keeps a vanishing gradient from an infinite weight.
        largest: the weight's upper bound.

    Returns:
        A scalar in float32. 0 where the reference does not depend on the parameter.

    Raises:
        TokzooError: the parameter is frozen, so that there are no gradients to compare.
    """
    if not at.requires_grad:
        raise TokzooError("a weight that follows from gradients needs them at a last layer, and its part is frozen")
    reference_norm, own_norm = (_gradient(loss, at).float().norm() for loss in (reference, own))
    return (reference_norm / (own_norm + epsilon)).clamp(0.0, largest).detach()


def _gradient(loss: Tensor, at: Tensor) -> Tensor:
    if not loss.requires_grad:
        return torch.zeros_like(at)
    (gradient,) = torch.autograd.grad(loss, at, retain_graph=True, allow_unused=True)
    return torch.zeros_like(at) if gradient is None else gradient
