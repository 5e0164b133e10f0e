"""The losses of a discriminator and of what it judges.

Hinge: Geometric GAN (arXiv 1705.02894), as VQGAN (arXiv 2012.09841) and GigaTok (arXiv 2504.08736) use it.
Non-saturating: the original GAN (arXiv 1406.2661, section 3) written in logits. Both discriminator losses are the mean
of their two sides.
"""

import torch.nn.functional as F
from torch import Tensor

from tokzoo.nn.configs import GanLoss
from tokzoo.nn.precision import at_least_float32


def generator_loss(kind: GanLoss, fake: Tensor) -> Tensor:
    """What the tokenizer minimises.

    Args:
        kind: ``hinge``: ``-mean(fake)``; ``non-saturating``: ``mean(log(1 + e^-fake))``.
        fake: logits of reconstructions, of any shape.

    Returns:
        A scalar, in at least float32.
    """
    fake = at_least_float32(fake)
    return -fake.mean() if kind == "hinge" else F.softplus(-fake).mean()


def discriminator_loss(kind: GanLoss, real: Tensor, fake: Tensor) -> Tensor:
    """What the discriminator minimises.

    Args:
        kind: ``hinge``: half of ``mean(max(0, 1 - real)) + mean(max(0, 1 + fake))``; ``non-saturating``: half of
            ``mean(log(1 + e^-real)) + mean(log(1 + e^fake))``.
        real: logits of images, of any shape.
        fake: logits of reconstructions, of any shape.

    Returns:
        A scalar >= 0, in at least float32.
    """
    real, fake = at_least_float32(real), at_least_float32(fake)
    if kind == "hinge":
        return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
    return 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())
