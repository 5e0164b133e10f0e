"""LeCam regularisation of a discriminator (arXiv 2104.03310): its logits may not stray far from the other kind's mean.

The penalty is ``mean(max(0, real - m_fake)²) + mean(max(0, m_real - fake)²)``, where ``m`` are running means of the
logits. The paper squares both differences whatever their sign; its published code, and GigaTok's, take the positive
part. Some implementations start the means far away and wait a thousand steps. Here, as in the paper's published code,
they are weighted means of all logits seen so far, this step's among them, from the first step that the discriminator
is trained. On several ranks they are of all ranks' logits.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokzoo.nn.distributed import gather_batch


class LeCam(nn.Module):
    """The penalty, and the two running means, which are buffers and part of a checkpoint.

    Args:
        decay: of the running means, in [0, 1).
    """

    averages: Tensor
    mass: Tensor

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay
        # Averages that start at zero, and what an average of ones would be by now: their quotient has no such start.
        self.register_buffer("averages", torch.zeros(2))
        self.register_buffer("mass", torch.zeros(()))

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """The penalty for logits of any shape, in at least float32; the means take them in first."""
        real_mean, fake_mean = self._take_in(real, fake)
        return F.relu(real - fake_mean).square().mean() + F.relu(real_mean - fake).square().mean()

    @torch.no_grad()
    def _take_in(self, real: Tensor, fake: Tensor) -> tuple[Tensor, ...]:
        means = gather_batch(torch.stack([real.mean(), fake.mean()])[None]).mean(0)
        self.averages.lerp_(means, 1 - self.decay)
        self.mass.lerp_(torch.ones_like(self.mass), 1 - self.decay)
        return (self.averages / self.mass).unbind()
