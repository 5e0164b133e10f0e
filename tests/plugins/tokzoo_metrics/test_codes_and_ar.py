import math

import pytest
import torch

import tokzoo
from tokzoo_metrics.ar_loss import HeldOutLoss
from tokzoo_metrics.codebook import Codebook
from tokzoo_metrics.configs import ARLossConfig, CodebookConfig


def codes_batch(codes):
    return tokzoo.ReconstructionBatch(torch.zeros(1), torch.zeros(1), codes, None)


def codebook(chain, *batches):
    metric = Codebook(CodebookConfig(), chain)
    for codes in batches:
        metric.update(codes_batch(codes))
    return metric.compute()


def test_even_use_of_some_codes(make_chain):
    chain = make_chain(vocab=(16,))
    codes = torch.tensor([1, 3, 5, 15]).repeat(4).view(1, 16)
    assert codebook(chain, codes, codes) == pytest.approx({"codes.usage": 4 / 16, "codes.perplexity": 4.0})
    collapsed = torch.full((3, 16), 7)
    assert codebook(chain, collapsed) == pytest.approx({"codes.usage": 1 / 16, "codes.perplexity": 1.0})


def test_uneven_use(make_chain):
    codes = torch.tensor([[0, 0, 0, 1]])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert codebook(make_chain(shape=(2, 2)), codes)["codes.perplexity"] == pytest.approx(math.exp(entropy))


def test_levels_are_averaged(make_chain):
    codes = torch.stack([torch.arange(16) % 2, torch.arange(16) % 8], dim=-1).view(1, 16, 2)
    measured = codebook(make_chain(vocab=(4, 32)), codes)
    assert measured == pytest.approx({"codes.usage": (2 / 4 + 8 / 32) / 2, "codes.perplexity": (2 + 8) / 2})


def test_batches_of_codes_do_not_matter(make_chain):
    chain = make_chain(vocab=(16, 5))
    generator = torch.Generator().manual_seed(0)
    levels = [torch.randint(size, (9, 16), generator=generator) for size in (12, 5)]
    codes = torch.stack(levels, dim=-1)
    expected = codebook(chain, codes)
    assert codebook(chain, *codes.split(1)) == pytest.approx(expected, abs=1e-12)
    assert codebook(chain, *codes.split(4)) == pytest.approx(expected, abs=1e-12)
    assert expected["codes.usage"] == pytest.approx((12 / 16 + 1) / 2)


def test_a_codebook_of_any_size_is_counted(make_chain):
    codes = torch.tensor([1, 2**35, 2**36 - 1, 2**35]).repeat(4).view(1, 16)
    measured = codebook(make_chain(vocab=(2**36,)), codes, codes)
    assert measured == pytest.approx({"codes.usage": 3 / 2**36, "codes.perplexity": 2**1.5})


def test_continuous_quantizer_has_no_codebook(make_chain):
    assert codebook(make_chain(vocab=None), None) == {}


def held_out(codes, *batches, exact=True):
    metric = HeldOutLoss(ARLossConfig(), None)
    for nats in batches:
        values = None if nats is None else torch.tensor(nats)
        metric.update(tokzoo.LikelihoodBatch(tokzoo.ARLoss(torch.tensor(0.0), values, exact), codes))
    return metric.compute()


def test_mean_is_over_images_not_batches():
    measured = held_out(tokzoo.CodeSpec((4, 4), (16,)), [1.0, 2.0, 3.0], [6.0])
    assert measured == pytest.approx({"ar.nats_per_token": 3.0, "ar.bits_per_image": 3.0 * 16 / math.log(2)})


@pytest.mark.parametrize("vocab", [(16,), (8, 8, 8)])
def test_uniform_model_needs_the_raw_size_of_the_code(vocab):
    codes = tokzoo.CodeSpec((5,), vocab)
    measured = held_out(codes, [math.log(vocab[0])] * 2)
    assert measured["ar.bits_per_image"] == pytest.approx(codes.bits_per_image, rel=1e-6)


def test_bounds_have_their_own_ids():
    measured = held_out(tokzoo.CodeSpec((2,), (4,)), [1.0], exact=False)
    assert measured == pytest.approx({"ar.nats_per_token_bound": 1.0, "ar.bits_per_image_bound": 2 / math.log(2)})
    assert {info.id: info.better for info in ARLossConfig.reports if info.id in measured} == dict.fromkeys(measured)


def test_no_likelihood_no_number():
    assert held_out(tokzoo.CodeSpec((2,), (4,)), None) == {}
