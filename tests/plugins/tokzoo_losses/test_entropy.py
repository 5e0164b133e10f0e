import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from tokzoo import Assignment, Encoded, Pass, Progress, Quantized
from tokzoo.nn import nearest as module
from tokzoo_losses.configs import EntropyConfig
from tokzoo_losses.entropy import AssignmentEntropy, assignment_entropies


def plain(queries, codes, sharpness):
    """The formula with whole matrices."""
    distances = queries.square().sum(1, keepdim=True) + codes.square().sum(1) - 2 * queries @ codes.T
    log_p = (-sharpness * distances).log_softmax(1)
    mean = log_p.exp().mean(0)
    return -(log_p.exp() * log_p).sum(1).mean(), (mean * (mean + 1e-5).log()).sum()


def run(function, queries, codes, sharpness, weights=(0.7, 0.4)):
    queries, codes = queries.clone().requires_grad_(), codes.clone().requires_grad_()
    sample, codebook = function(queries, codes, sharpness)
    (weights[0] * sample + weights[1] * codebook).backward()
    return sample.detach(), codebook.detach(), queries.grad, codes.grad


def factors(dtype, queries=300, codes=128, dim=8):
    torch.manual_seed(0)
    return F.normalize(torch.randn(queries, dim), dim=1).to(dtype), F.normalize(torch.randn(codes, dim), dim=1).to(
        dtype
    )


@pytest.mark.parametrize("sharpness", [1.0, 10.0, 100.0])
@pytest.mark.parametrize("chunk", [1, 5000, 1 << 20])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_equal_to_the_plain_formula(monkeypatch, sharpness, chunk, dtype, atol):
    monkeypatch.setattr(module, "CPU_CHUNK", chunk)
    queries, codes = factors(dtype)
    ours = run(assignment_entropies, queries, codes, sharpness)
    reference = run(plain, queries.double(), codes.double(), sharpness)
    for one, other in zip(ours, reference, strict=True):
        torch.testing.assert_close(one.double(), other, atol=atol, rtol=0)


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0)])
def test_each_output_has_its_own_gradient(weights):
    queries, codes = factors(torch.float64)
    ours = run(assignment_entropies, queries, codes, 20.0, weights)
    reference = run(plain, queries, codes, 20.0, weights)
    for one, other in zip(ours, reference, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def test_gradients_by_finite_differences():
    queries, codes = factors(torch.float64, queries=5, codes=7, dim=3)
    assert torch.autograd.gradcheck(
        lambda q, c: assignment_entropies(q, c, 3.0), (queries.requires_grad_(), codes.requires_grad_())
    )


def test_small_gradients_of_decided_latents_are_accurate():
    torch.manual_seed(0)
    codes = torch.randn(128, 8)
    queries = codes[torch.randint(128, (300,))] + 0.05 * torch.randn(300, 8)
    ours = run(assignment_entropies, queries, codes, 10.0, (1.0, 1.0))
    reference = run(plain, queries.double(), codes.double(), 10.0, (1.0, 1.0))
    for one, other in zip(ours[2:], reference[2:], strict=True):
        torch.testing.assert_close(one.double(), other, atol=2e-8, rtol=0)


def test_far_latents_do_not_underflow():
    """At a distance of 1000 every exp(-sharpness·distance) is zero in float32; the nearest code still has it all."""
    queries = torch.tensor([[1000.0, 0.0]])
    codes = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    sample, codebook, *grads = run(assignment_entropies, queries, codes, 100.0)
    assert sample == pytest.approx(0, abs=1e-20)
    assert codebook == pytest.approx(math.log(1 + 1e-5), abs=1e-7)
    assert all(grad.isfinite().all() for grad in grads)


def test_extremes():
    """Undecided; decided and spread; decided and collapsed. ``codebook`` never sees who decided, only the mean."""
    codes = torch.eye(8, dtype=torch.float64)
    spread = pytest.approx(math.log(1 / 8 + 1e-5), abs=1e-9)
    sample, codebook = assignment_entropies(torch.zeros(4, 8, dtype=torch.float64), codes, 100.0)
    assert (float(sample), float(codebook)) == (pytest.approx(math.log(8)), spread)
    sample, codebook = assignment_entropies(codes, codes, 100.0)
    assert (float(sample), float(codebook)) == (pytest.approx(0, abs=1e-9), spread)
    sample, codebook = assignment_entropies(codes[:1].expand(8, -1), codes, 100.0)
    assert (float(sample), float(codebook)) == (pytest.approx(0, abs=1e-9), pytest.approx(math.log(1 + 1e-5), abs=1e-9))


def test_no_whole_matrix_is_kept_for_backward():
    queries, codes = factors(torch.float32, queries=2000, codes=1000)
    largest = 0

    def pack(tensor):
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        assignment_entropies(queries.requires_grad_(), codes.requires_grad_(), 100.0)
    assert 0 < largest <= queries.numel()


def test_autocast_changes_nothing():
    queries, codes = factors(torch.float32)
    expected = run(assignment_entropies, queries, codes, 100.0)
    with torch.autocast("cpu", torch.bfloat16):
        ours = run(assignment_entropies, queries, codes, 100.0)
    for one, other in zip(ours, expected, strict=True):
        assert torch.equal(one, other)


def make_pass(latent, codes_of_latent, codebook, scale=1.0) -> Pass:
    def assignment(tensor):
        return [Assignment(tensor.flatten(0, 1), codebook, scale)]

    return Pass(
        tokenizer=SimpleNamespace(quantizer=SimpleNamespace(assignment=assignment)),
        images=torch.zeros(2, 1, 4, 4),
        labels=None,
        progress=Progress(0, 10),
        encoded=Encoded(latent),
        quantized=Quantized(latent, codes_of_latent),
    )


def test_terms_sum_to_the_loss_and_see_scale_and_temperature():
    queries, codes = factors(torch.float32)
    state = make_pass(queries.view(2, 150, 8), torch.zeros(2, 150, dtype=torch.int64), codes, scale=3.0)
    regularizer = AssignmentEntropy(EntropyConfig(temperature=0.1, weight=0.005), chain=None)
    terms = regularizer.terms(state)
    assert set(terms) == {"sample", "codebook"}
    torch.testing.assert_close((terms["sample"], terms["codebook"]), plain(queries, codes, 30.0), atol=1e-5, rtol=1e-5)
    assert {regularizer.config.weight_of(term) for term in terms} == {0.005}


def test_no_terms_while_unquantized():
    queries, codes = factors(torch.float32)
    regularizer = AssignmentEntropy(EntropyConfig(), chain=None)
    assert regularizer.terms(make_pass(queries.view(2, 150, 8), None, codes)) == {}


def test_a_bias_makes_dot_products_exact():
    """``q·e = -‖q - e‖²/2 + ‖e‖²/2`` up to what all codes share; gradients reach the bias too."""
    queries, codes = factors(torch.float64)
    ours = assignment_entropies(queries.requires_grad_(), codes.requires_grad_(), 0.5, codes.square().sum(1) / 2)
    p = (queries @ codes.T).softmax(1)
    mean = p.mean(0)
    wanted = -(p * p.log()).sum(1).mean(), (mean * (mean + 1e-5).log()).sum()
    torch.testing.assert_close(ours, wanted)
    for one, other in zip(*(torch.autograd.grad(sum(pair), (queries, codes)) for pair in (ours, wanted)), strict=True):
        torch.testing.assert_close(one, other)


def test_the_entropies_of_factors_are_summed():
    queries, codes = factors(torch.float32)
    state = make_pass(queries.view(2, 150, 8), torch.zeros(2, 150, dtype=torch.int64), codes)
    regularizer = AssignmentEntropy(EntropyConfig(), chain=None)
    once = regularizer.terms(state)
    assign = state.tokenizer.quantizer.assignment
    state.tokenizer.quantizer.assignment = lambda latent: assign(latent) * 3
    for name, term in regularizer.terms(state).items():
        torch.testing.assert_close(term, 3 * once[name])
