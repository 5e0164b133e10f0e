"""Residual blocks, adaptive norms and resampling against their formulas."""

import torch
import torch.nn.functional as F

from tokzoo.nn.adaptive_norm import AdaptiveGroupNorm, style_statistics
from tokzoo.nn.resample import DepthToSpaceUpsample, Downsample, depth_to_space
from tokzoo.nn.resnet import ResBlock


def scrambled(module):
    """Give every parameter a random value, so that no term of a formula is multiplied by 1 or has 0 added."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module


def group_norm(x, groups, eps):
    parts = x.reshape(len(x), groups, -1)
    variance, mean = torch.var_mean(parts, dim=-1, correction=0, keepdim=True)
    return ((parts - mean) / (variance + eps).sqrt()).reshape(x.shape)


def test_residual_block_with_and_without_shortcut():
    torch.manual_seed(0)
    for channels in (8, 12):
        block = scrambled(ResBlock(8, channels, groups=4)).double()
        # Small values make the epsilon of the norms visible.
        x = 1e-3 * torch.randn(2, 8, 5, 4, dtype=torch.double)
        hidden = group_norm(x, 4, 1e-6) * block.norm1.weight[:, None, None] + block.norm1.bias[:, None, None]
        hidden = F.conv2d(hidden * hidden.sigmoid(), block.conv1.weight, block.conv1.bias, padding=1)
        hidden = group_norm(hidden, 4, 1e-6) * block.norm2.weight[:, None, None] + block.norm2.bias[:, None, None]
        hidden = F.conv2d(hidden * hidden.sigmoid(), block.conv2.weight, block.conv2.bias, padding=1)
        shortcut = x if channels == 8 else F.conv2d(x, block.nin_shortcut.weight, block.nin_shortcut.bias)
        torch.testing.assert_close(block(x), shortcut + hidden)


def test_style_statistics_are_unbiased_and_have_a_floor():
    style = torch.tensor([[[[1.0, 3.0]], [[2.0, 2.0]]]])
    deviation, mean = style_statistics(style)
    torch.testing.assert_close(deviation, torch.tensor([[(2.0 + 1e-6) ** 0.5, 1e-3]]))
    torch.testing.assert_close(mean, torch.tensor([[2.0, 2.0]]))


def test_adaptive_norm_scales_by_gamma_itself():
    torch.manual_seed(0)
    norm = scrambled(AdaptiveGroupNorm(8, 3, groups=4)).double()
    x = 1e-3 * torch.randn(2, 8, 4, 4, dtype=torch.double)
    deviation, mean = torch.rand(2, 3, dtype=torch.double), torch.randn(2, 3, dtype=torch.double)
    gamma = deviation @ norm.gamma.weight.T + norm.gamma.bias
    beta = mean @ norm.beta.weight.T + norm.beta.bias
    expected = gamma[:, :, None, None] * group_norm(x, 4, 1e-6) + beta[:, :, None, None]
    torch.testing.assert_close(norm(x, deviation, mean), expected)


def test_depth_to_space_order():
    c, height, width = 3, 2, 5
    x = torch.arange(4 * c * height * width).reshape(1, 4 * c, height, width)
    out = depth_to_space(x)
    assert out.shape == (1, c, 2 * height, 2 * width)
    for channel in range(c):
        for row in range(2 * height):
            for column in range(2 * width):
                block = 2 * (row % 2) + column % 2
                assert out[0, channel, row, column] == x[0, block * c + channel, row // 2, column // 2]


def test_upsample_is_a_convolution_then_depth_to_space():
    upsample = DepthToSpaceUpsample(2)
    x = torch.randn(1, 2, 3, 3)
    out = upsample(x)
    torch.testing.assert_close(out, depth_to_space(F.conv2d(x, upsample.conv.weight, upsample.conv.bias, padding=1)))
    assert out.is_contiguous()


def test_downsample_pads_right_and_below():
    downsample = Downsample(1)
    torch.nn.init.ones_(downsample.conv.weight)
    torch.nn.init.zeros_(downsample.conv.bias)
    x = torch.ones(1, 1, 4, 6)
    torch.testing.assert_close(downsample(x), torch.tensor([[[[9.0, 9.0, 6.0], [6.0, 6.0, 4.0]]]]))
