import math

import pytest
import torch

from tokzoo import LatentSpec
from tokzoo.nn.nearest import nearest
from tokzoo_quantizers.configs import FSQConfig
from tokzoo_quantizers.fsq import MARGIN, FiniteScalarQuantizer

LEVELS = [(8, 8, 8), (2,), (5, 2, 3), (7, 4), (2, 2, 2, 2)]


def build(*levels: int) -> FiniteScalarQuantizer:
    return FiniteScalarQuantizer(FSQConfig(levels=levels), LatentSpec("sequence", (4,), len(levels)))


def bounded(latent, level):
    """Appendix A.1, one channel, written out."""
    half = (level - 1) * (1 - MARGIN) / 2
    offset = 0.5 if level % 2 == 0 else 0.0
    return torch.tanh(latent + math.tan(offset / half)) * half - offset


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("levels", LEVELS)
def test_every_code_is_reached_and_decoded_to_what_was_quantized(levels, training):
    torch.manual_seed(0)
    quantizer = build(*levels).train(training)
    quantized = quantizer(1.5 * torch.randn(64, 1024, len(levels)))
    assert torch.equal(quantizer.decode(quantized.codes), quantized.latent)
    assert torch.equal(quantized.codes.unique(), torch.arange(math.prod(levels)))
    assert quantized.latent.abs().max() <= 1
    assert quantized.losses == {}


@pytest.mark.parametrize("levels", LEVELS)
def test_decode_is_a_bijection(levels):
    values = build(*levels).decode(torch.arange(math.prod(levels))[None])[0]
    assert len(values.unique(dim=0)) == math.prod(levels)
    for channel, level in enumerate(levels):
        grid = (torch.arange(level) - level // 2) / (level // 2)
        assert torch.equal(values[:, channel].unique(), grid)


def test_the_first_channel_is_the_fastest():
    values = build(5, 3).decode(torch.tensor([[0, 1, 5, 14]]))
    assert values[0].tolist() == [[-1, -1], [-0.5, -1], [-1, 0], [1, 1]]


@pytest.mark.parametrize("level", [2, 3, 8, 1000])
def test_bound_and_gradient_are_the_papers(level):
    torch.manual_seed(0)
    latent = (3 * torch.randn(5, 7, 1)).requires_grad_()
    quantized = build(level)(latent)
    expected = bounded(latent, level).round() / (level // 2)
    torch.testing.assert_close(quantized.latent, expected, atol=1e-6, rtol=1e-6)
    (gradient,) = torch.autograd.grad(quantized.latent.sum(), latent)
    (smooth,) = torch.autograd.grad((bounded(latent, level) / (level // 2)).sum(), latent)
    torch.testing.assert_close(gradient, smooth, atol=1e-6, rtol=1e-4)


def test_extreme_latents_stay_within_the_levels():
    quantizer = build(8, 5, 2)
    codes = quantizer(torch.tensor([[[1e4] * 3, [-1e4] * 3]])).codes
    assert codes.tolist() == [[79, 0]]


def test_assignment_factors_choose_the_codes():
    torch.manual_seed(0)
    quantizer, latent = build(8, 8, 8), torch.randn(3, 50, 3, requires_grad=True)
    (factors,) = quantizer.assignment(latent)
    assert factors.codes.shape == (512, 3)
    assert torch.equal(nearest(factors.queries, factors.codes), quantizer(latent).codes.flatten())
    factors.queries.sum().backward()
    assert latent.grad.all()


def test_half_precision_is_quantized_in_float32():
    torch.manual_seed(0)
    latent = torch.randn(2, 50, 2).bfloat16()
    quantizer = build(1000, 999).eval()
    plain = quantizer(latent.float())
    with torch.autocast("cpu", torch.bfloat16):
        quantized = quantizer(latent)
    assert torch.equal(quantized.codes, plain.codes)
    assert torch.equal(quantized.latent, plain.latent)
    assert torch.equal(quantizer.bfloat16()(latent).codes, plain.codes)


def test_there_is_nothing_to_save():
    assert build(8, 8).state_dict() == {}
