"""The rotation trick: gradients through a rotation from latent to code (Fifty et al., arXiv 2410.06424)."""

import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-6


def rotation_trick(z: Tensor, e: Tensor) -> Tensor:
    """The code vectors ``e``, as a fixed rotation and scaling of ``z / ‖z‖``; gradients reach ``z`` through these.

    Written with a Householder vector as in the paper, with GigaTok's terms: ``z`` is normalised once more, and 1e-6 is
    added to both norms, which moves the result by up to 4e-6 (unit vectors). No gradient reaches ``e``.

    Args:
        z: latents ``[..., d]``.
        e: their codes ``[..., d]``.

    Returns:
        ``[..., d]``.
    """
    z, e = F.normalize(z, dim=-1), e.detach()
    z_norm = z.norm(dim=-1, keepdim=True).detach() + EPSILON
    e_norm = e.norm(dim=-1, keepdim=True)
    source, target = z.detach() / z_norm, e / (e_norm + EPSILON)
    halfway = F.normalize(source + target, dim=-1)
    turned = z - 2 * _dot(z, halfway) * halfway + 2 * _dot(z, source) * target
    return turned * (e_norm / z_norm)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)
