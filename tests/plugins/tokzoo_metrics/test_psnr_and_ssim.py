import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import tokzoo
from tokzoo_metrics.configs import PSNRConfig, SSIMConfig
from tokzoo_metrics.psnr import PSNR, psnr
from tokzoo_metrics.ssim import SSIM, ssim, window_matrix


def pair(count=7, shape=(3, 20, 27), noise=0.3):
    """Smooth images and noisy reconstructions, some of them out of range."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, shape[0], 4, 4, generator=generator)
    images = torch.nn.functional.interpolate(coarse, shape[1:], mode="bilinear").clamp(-1, 1)
    return images, images + noise * torch.randn(images.shape, generator=generator)


def eight_bit(images):
    return np.rint((np.clip(images.double().numpy(), -1, 1) + 1) * 127.5)


def constant(level, shape=(1, 1, 16, 16)):
    return torch.full(shape, level / 127.5 - 1)


def batch(images, reconstructions):
    return tokzoo.ReconstructionBatch(images, reconstructions, None, None)


@pytest.mark.parametrize("difference", [1, 2, 10, 255])
def test_psnr_by_hand(difference):
    expected = 20 * math.log10(255 / difference)
    assert psnr(constant(0), constant(difference)).tolist() == pytest.approx([expected], abs=1e-9)


def test_psnr_against_numpy():
    images, reconstructions = pair()
    error = (eight_bit(images) - eight_bit(reconstructions)) ** 2
    expected = [10 * math.log10(255**2 / image.mean()) for image in error]
    assert psnr(images, reconstructions).tolist() == pytest.approx(expected, abs=1e-9)


def test_psnr_sees_what_an_8_bit_file_would_hold():
    assert psnr(constant(100), constant(100.4)) == 100.0  # the cap: identical after rounding
    assert psnr(constant(100), constant(100.6)) == psnr(constant(100), constant(101))
    assert psnr(constant(255), constant(400)) == 100.0  # clamped
    large = constant(7, (1, 1, 512, 512))
    other = large.clone()
    other[0, 0, 0, 0] += 2 / 255  # 102.3 dB
    assert psnr(large, other) == 100.0
    assert psnr(constant(0), constant(float("nan"))).isnan()


def test_psnr_averages_decibels_not_errors(make_chain):
    metric = PSNR(PSNRConfig(), make_chain())
    metric.update(batch(torch.cat([constant(0), constant(0)]), torch.cat([constant(1), constant(255)])))
    assert metric.compute()["reconstruction.psnr"] == pytest.approx(20 * math.log10(255) / 2, abs=1e-9)


def reference_ssim(images, reconstructions):
    """Through scipy's Gaussian filter: radius 5 is int(3.5 · 1.5 + 0.5)."""

    def local(values):
        return gaussian_filter(values, 1.5, truncate=3.5, mode="constant")[5:-5, 5:-5]

    scores = []
    for image, other in zip(eight_bit(images) / 255, eight_bit(reconstructions) / 255, strict=True):
        channels = []
        for x, y in zip(image, other, strict=True):
            mx, my = local(x), local(y)
            vx, vy, cov = local((x) ** 2) - mx**2, local(y**2) - my**2, local(x * y) - mx * my
            top = (2 * mx * my + 0.01**2) * (2 * cov + 0.03**2)
            channels.append((top / ((mx**2 + my**2 + 0.01**2) * (vx + vy + 0.03**2))).mean())
        scores.append(np.mean(channels))
    return scores


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 20, 27), (2, 11, 11)])
@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_ssim_against_scipy(shape, noise):
    images, reconstructions = pair(shape=shape, noise=noise)
    expected = reference_ssim(images, reconstructions)
    assert ssim(images, reconstructions).tolist() == pytest.approx(expected, abs=1e-9)


def test_ssim_by_hand():
    images, _ = pair()
    assert ssim(images, images).tolist() == pytest.approx([1.0] * 7, abs=1e-12)
    # Without variance only the luminance term remains: black against white.
    c1 = 0.01**2
    assert ssim(constant(0), constant(255)).item() == pytest.approx(c1 / (1 + c1), abs=1e-12)
    first, second = 51 / 255, 102 / 255
    expected = (2 * first * second + c1) / (first**2 + second**2 + c1)
    assert ssim(constant(51), constant(102)).item() == pytest.approx(expected, abs=1e-9)


def test_window():
    matrix = window_matrix(14, torch.device("cpu"))
    assert matrix.shape == (4, 14)
    torch.testing.assert_close(matrix.sum(1), torch.ones(4, dtype=torch.float64))
    assert (matrix[2] > 0).nonzero().flatten().tolist() == list(range(2, 13))
    assert matrix[0, 5] / matrix[0, 6] == pytest.approx(math.exp(1 / (2 * 1.5**2)), abs=1e-12)


def test_ssim_refuses_images_smaller_than_its_window(make_chain):
    SSIM(SSIMConfig(), make_chain(image=(1, 11, 11)))
    with pytest.raises(tokzoo.Refusal, match="11×11"):
        SSIM(SSIMConfig(), make_chain(image=(1, 32, 10)))


@pytest.mark.parametrize(("metric", "config"), [(PSNR, PSNRConfig), (SSIM, SSIMConfig)])
def test_batches_do_not_matter(make_chain, metric, config):
    images, reconstructions = pair()
    values = []
    for size in (7, 1, 3):
        one = metric(config(), make_chain(image=(3, 20, 27)))
        for part in zip(images.split(size), reconstructions.split(size), strict=True):
            one.update(batch(*part))
        (value,) = one.compute().values()
        values.append(value)
    assert values == pytest.approx([values[0]] * 3, abs=1e-9)


@pytest.mark.parametrize(("metric", "config"), [(PSNR, PSNRConfig), (SSIM, SSIMConfig)])
def test_nothing_measured(make_chain, metric, config):
    with pytest.raises(tokzoo.TokzooError, match="no batch"):
        metric(config(), make_chain()).compute()
