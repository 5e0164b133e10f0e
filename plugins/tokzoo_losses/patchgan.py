"""PatchGAN: a discriminator whose every logit sees one patch (pix2pix, arXiv 1611.07004).

The form of VQGAN (arXiv 2012.09841) and GigaTok (arXiv 2504.08736), whose names ``main.0.weight`` and so on it keeps.
"""

from collections.abc import Iterable

from torch import Tensor, nn

from tokzoo import Chain
from tokzoo_losses.adversary_configs import PatchGanConfig
from tokzoo_losses.discriminator import Discriminator

KERNEL, SLOPE, STD = 4, 0.2, 0.02
WIDEST = 8
"""Channels are at most this multiple of the first convolution's."""


class PatchGan(Discriminator):
    """A convolution of stride 2, ``layers`` ones with batch norm (the last of stride 1, the others of 2), and a last.

    A logit sees 70×70 pixels with the usual three layers; an image of side s has ``s // 2^layers - 2`` each way.
    """

    def __init__(self, config: PatchGanConfig, chain: Chain) -> None:
        super().__init__(config, chain)
        self.main = make_patchgan(config, chain.image.channels)

    def adversary_parameters(self) -> Iterable[nn.Parameter]:
        """All it has."""
        return self.main.parameters()

    def logits(self, images: Tensor) -> Tensor:
        """``[B, 1, h, w]`` of images ``[B, C, H, W]``."""
        return self.main(images)


def make_patchgan(config: PatchGanConfig, image_channels: int) -> nn.Sequential:
    """The network, initialised: convolutions N(0, .02), norms N(1, .02), biases of convolutions as torch does."""
    width = config.channels
    parts: list[nn.Module] = [nn.Conv2d(image_channels, width, KERNEL, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
    for layer in range(1, config.layers + 1):
        before, width = width, config.channels * min(2**layer, WIDEST)
        stride = 2 if layer < config.layers else 1
        # Batch norm takes any bias away.
        convolution = nn.Conv2d(before, width, KERNEL, stride=stride, padding=1, bias=False)
        parts += [convolution, nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE)]
    parts.append(nn.Conv2d(width, 1, KERNEL, padding=1))
    for part in parts:
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, std=STD)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, mean=1.0, std=STD)
    return nn.Sequential(*parts)
