"""The convolutional ends of GigaTok (arXiv 2504.08736): images to a feature map, and a feature map to images.

They are the VQGAN autoencoder (arXiv 2012.09841) without attention; the decoder doubles by depth-to-space and is styled
by its own input through adaptive GroupNorm, both as in MAGVIT-v2 (arXiv 2310.05737).
"""

from collections import OrderedDict
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from tokzoo.nn.adaptive_norm import AdaptiveGroupNorm, style_statistics
from tokzoo.nn.memory import nchw
from tokzoo.nn.resample import DepthToSpaceUpsample, Downsample
from tokzoo.nn.resnet import EPS, ResBlock
from tokzoo_gigatok.configs import CNNDecoderConfig, CNNEncoderConfig


def _level(widths: tuple[int, int], blocks: int, groups: int, **resample: nn.Module) -> nn.Sequential:
    """The residual blocks of one resolution, then perhaps a sampler, each under its published name."""
    before, after = widths
    res = nn.Sequential(*(ResBlock(before if i == 0 else after, after, groups) for i in range(blocks)))
    return nn.Sequential(OrderedDict(res=res, **resample))


class CNNEncoder(nn.Module):
    """Images to the feature map: levels of residual blocks, halved in between, and two blocks in the middle."""

    def __init__(self, config: CNNEncoderConfig, image_channels: int) -> None:
        super().__init__()
        groups = config.groups
        widths = [config.channels, *(config.channels * factor for factor in config.multipliers)]
        last = len(config.multipliers) - 1
        self.conv_in = nn.Conv2d(image_channels, config.channels, 3, padding=1)
        self.conv_blocks = nn.ModuleList(
            _level(pair, config.blocks, groups, **({"downsample": Downsample(pair[1])} if i < last else {}))
            for i, pair in enumerate(pairwise(widths))
        )
        self.mid = nn.ModuleList(ResBlock(widths[-1], widths[-1], groups) for _ in range(2))
        self.norm_out = nn.GroupNorm(groups, widths[-1], eps=EPS)
        self.conv_out = nn.Conv2d(widths[-1], config.map_channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[B, C, H, W]`` to a map ``[B, map_channels, h, w]``."""
        x = self.conv_in(nchw(images))
        for module in (*self.conv_blocks, *self.mid):
            x = module(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class CNNDecoder(nn.Module):
    """A feature map to images: the encoder mirrored, each level preceded by adaptive GroupNorm."""

    def __init__(self, config: CNNDecoderConfig, image_channels: int) -> None:
        super().__init__()
        groups = config.groups
        deepest = config.channels * config.multipliers[-1]
        widths = [deepest, *(config.channels * factor for factor in reversed(config.multipliers))]
        last = len(config.multipliers) - 1
        self.conv_in = nn.Conv2d(config.map_channels, deepest, 3, padding=1)
        self.mid = nn.ModuleList(ResBlock(deepest, deepest, groups) for _ in range(2))
        self.adaptive = nn.ModuleList(AdaptiveGroupNorm(width, config.map_channels, groups) for width in widths[:-1])
        self.conv_blocks = nn.ModuleList(
            _level(pair, config.blocks, groups, **({"upsample": DepthToSpaceUpsample(pair[1])} if i < last else {}))
            for i, pair in enumerate(pairwise(widths))
        )
        self.norm_out = nn.GroupNorm(groups, widths[-1], eps=EPS)
        self.conv_out = nn.Conv2d(widths[-1], image_channels, 3, padding=1)

    def forward(self, feature_map: Tensor) -> Tensor:
        """A map ``[B, map_channels, h, w]`` to images ``[B, C, H, W]``, not clamped."""
        feature_map = nchw(feature_map)
        deviation, mean = style_statistics(feature_map)
        x = self.conv_in(feature_map)
        for block in self.mid:
            x = block(x)
        for style, level in zip(self.adaptive, self.conv_blocks, strict=True):
            x = level(style(x, deviation, mean))
        return self.conv_out(F.silu(self.norm_out(x)))
