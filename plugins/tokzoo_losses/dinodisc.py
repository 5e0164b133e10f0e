"""The DINO discriminator: trained heads on the hidden states of a frozen, pretrained transformer.

Projected GANs (arXiv 2111.01007) introduced frozen features for discriminators, StyleGAN-T (arXiv 2301.09515, section
3.2) heads on a DINO transformer (arXiv 2104.14294); VAR's code and GigaTok (arXiv 2504.08736) train tokenizers with
it, as here.
"""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokzoo import Chain
from tokzoo.nn.frozen_network import WithFrozenNetwork
from tokzoo_losses.adversary_configs import DinoDiscConfig
from tokzoo_losses.batch_norm_local import BatchNormLocal
from tokzoo_losses.dino_backbone import DinoBackbone, outlined
from tokzoo_losses.discriminator import Discriminator
from tokzoo_losses.spectral_norm import spectral_norm

SLOPE = 0.2


class DinoDiscriminator(WithFrozenNetwork, Discriminator):
    """A head for each readout; each gives a logit for every patch.

    Only the heads are trained, and only they are saved.

    Raises:
        TokzooError: the transformer is none that can serve the readouts.
    """

    def __init__(self, config: DinoDiscConfig, chain: Chain) -> None:
        super().__init__(config, chain)
        width = outlined(config).num_features
        self.heads = nn.ModuleList(make_head(width, config) for _ in config.readouts)

    def start(self) -> None:
        """Read the transformer's weights.

        Raises:
            TokzooError: they cannot be had.
        """
        self.hold(DinoBackbone(self.config))

    def adversary_parameters(self) -> Iterable[nn.Parameter]:
        """The heads'."""
        return self.heads.parameters()

    def logits(self, images: Tensor) -> Tensor:
        """``[B, readouts · T]`` of images ``[B, 1 or 3, H, W]``."""
        hidden = self.network(framed(images, self.config.image_size, self.config.crop))
        return torch.cat([head(tokens).flatten(1) for head, tokens in zip(self.heads, hidden, strict=True)], 1)


def framed(images: Tensor, side: int, crop: float) -> Tensor:
    """Images of the side the transformer sees.

    Larger ones are cropped at random (one place for the whole batch) with probability ``crop``, else averaged down;
    smaller ones are interpolated (bicubic). Which of the two is decided on the device: nothing waits for the draw.
    """
    height, width = images.shape[-2:]
    if (height, width) == (side, side):
        return images
    if min(height, width) <= side:
        return F.interpolate(images, (side, side), mode="bicubic")
    down, right, chance = torch.rand(3, device=images.device)
    span = torch.arange(side, device=images.device)
    rows, columns = (down * (height - side + 1)).long() + span, (right * (width - side + 1)).long() + span
    cropped = images.index_select(2, rows).index_select(3, columns)
    return torch.where(chance < crop, cropped, F.interpolate(images, (side, side), mode="area"))


class HeadBlock(nn.Sequential):
    """A circular convolution along the tokens with spectral norm, batch norm, LeakyReLU."""

    def __init__(self, width: int, kernel: int, group: int) -> None:
        convolution = nn.Conv1d(width, width, kernel, padding=kernel // 2, padding_mode="circular")
        super().__init__(spectral_norm(convolution), BatchNormLocal(width, group), nn.LeakyReLU(SLOPE))


class Residual(nn.Module):
    """``(x + f(x)) / √2``."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of ``x``."""
        return (x + self.inner(x)) / math.sqrt(2)


def make_head(width: int, config: DinoDiscConfig) -> nn.Sequential:
    """From ``[B, width, T]`` to logits ``[B, 1, T]``."""
    return nn.Sequential(
        HeadBlock(width, 1, config.group),
        Residual(HeadBlock(width, config.kernel, config.group)),
        spectral_norm(nn.Conv1d(width, 1, 1)),
    )
