"""The convolutional residual block of the VQGAN family: GroupNorm, SiLU, 3×3 convolution, twice.

Layout and names follow the autoencoder of taming transformers (arXiv 2012.09841, appendix A), which most tokenizers
kept.
"""

import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-6
"""The GroupNorm epsilon of the family; torch's default 1e-5 changes what trained weights give."""


class ResBlock(nn.Module):
    """``x + conv2(silu(norm2(conv1(silu(norm1(x))))))``, with a 1×1 shortcut where the channels change.

    On a CPU, feed it row-major strides (see :func:`tokzoo.nn.memory.nchw`).

    Args:
        channels_in: channels of the input, a multiple of ``groups``.
        channels_out: channels of the output, a multiple of ``groups``.
        groups: groups of both norms.
    """

    def __init__(self, channels_in: int, channels_out: int, groups: int = 32) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels_in, eps=EPS)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, channels_out, eps=EPS)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.nin_shortcut = nn.Identity() if channels_in == channels_out else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels_in, h, w]`` to ``[B, channels_out, h, w]``."""
        hidden: Tensor = self.conv1(F.silu(self.norm1(x)))
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        shortcut: Tensor = self.nin_shortcut(x)
        return shortcut + hidden
