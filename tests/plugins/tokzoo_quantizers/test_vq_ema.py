"""The codebook moved by moving averages, against the formulas written out."""

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from tokzoo import LatentSpec, Progress, StepContext
from tokzoo_quantizers.configs import VQConfig
from tokzoo_quantizers.vq import VectorQuantizer

CODES, DIM, TOTAL = 6, 3, 100


def build(**fields) -> VectorQuantizer:
    config = VQConfig(**{"codes": CODES, "dim": DIM, "ema": {}, **fields})
    torch.manual_seed(0)
    return VectorQuantizer(config, LatentSpec("sequence", (8,), DIM))


def train_step(quantizer, step, latent):
    torch.manual_seed(step)
    quantizer.before_step(StepContext(Progress(step, TOTAL)))
    quantized = quantizer(latent)
    return quantizer.after_step(StepContext(Progress(step, TOTAL), latent, quantized.codes)), quantized.codes


def spread(steps):
    """Latents ``[steps, 4, 8, 3]`` off centre, so that some codes are never used."""
    torch.manual_seed(1)
    return 0.5 + 0.3 * torch.randn(steps, 4, 8, DIM)


def share_of_all(codes):
    return F.one_hot(codes.flatten(), CODES).double() * CODES / codes.numel()  # [M, K], in equal shares


@pytest.mark.parametrize("l2_norm", [False, True])
@pytest.mark.parametrize(("decay", "epsilon"), [(0.9, 1e-5), (0.6, 0.3)])
def test_follows_the_published_rule(l2_norm, decay, epsilon):
    quantizer = build(l2_norm=l2_norm, ema={"decay": decay, "epsilon": epsilon})
    codebook = quantizer.codebook.double()
    n, m = torch.ones(CODES).double(), codebook.clone()
    for step, latent in enumerate(spread(5)):
        overwritten, codes = train_step(quantizer, step, latent)
        assert overwritten == ()
        chosen, z = share_of_all(codes), latent.flatten(0, 1).double()
        z = F.normalize(z, dim=1) if l2_norm else z
        n = decay * n + (1 - decay) * chosen.sum(0)
        m = decay * m + (1 - decay) * chosen.T @ z
        e = m / ((n + epsilon) / (n.sum() + CODES * epsilon) * n.sum())[:, None]
        used = chosen.sum(0)[:, None] > 0
        codebook = torch.where(used, F.normalize(e, dim=1) if l2_norm else e, codebook)
        assert not used.all(), "the test must have seen an unused code"
        torch.testing.assert_close(quantizer.codebook.double(), codebook, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("rotation", [False, True])
def test_the_codebook_takes_no_gradient_and_has_no_loss(rotation):
    quantizer, latent = build(rotation=rotation), torch.randn(2, 8, DIM, requires_grad=True)
    quantized = quantizer(latent)
    assert set(quantized.losses) == {"commitment"}
    (quantized.latent.sum() + quantized.losses["commitment"] + quantizer.assignment(latent)[0].codes.sum()).backward()
    assert latent.grad.any()
    assert quantizer.codebook.grad is None
    assert not quantizer.codebook.requires_grad


def test_the_codebook_is_saved_and_the_statistics_are_not():
    quantizer = build()
    assert set(quantizer.state_dict()) == {"codebook"}
    assert {name for name, _ in quantizer.named_buffers()} == {"idle", "average.counts", "average.sums"}


@pytest.mark.parametrize("l2_norm", [False, True])
def test_converges_to_the_means_of_its_latents(l2_norm):
    quantizer, (latent,) = build(l2_norm=l2_norm, ema={"decay": 0.5}), spread(1)
    for step in range(60):
        _, codes = train_step(quantizer, step, latent)
    z = F.normalize(latent, dim=-1) if l2_norm else latent
    for code in codes.unique():
        mean = z[codes == code].mean(0)
        expected = F.normalize(mean, dim=0) if l2_norm else mean
        torch.testing.assert_close(quantizer.codebook[code].detach(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("l2_norm", [False, True])
def test_a_long_unused_code_stays_where_it_is(l2_norm):
    quantizer, latent = build(l2_norm=l2_norm, ema={"decay": 0.01}), torch.ones(1, 8, DIM)
    before = quantizer.codebook.detach().clone()
    for step in range(60):  # 0.01 ** 60 underflows
        _, codes = train_step(quantizer, step, latent)
    unused = torch.arange(CODES) != codes[0, 0]
    torch.testing.assert_close(quantizer.codebook[unused].detach(), before[unused])
    assert quantizer.codebook.isfinite().all()


def test_starts_from_the_codebook_it_finds():
    """Weights may be loaded after the quantizer was made."""
    quantizer, (latent,) = build(l2_norm=False, ema={"decay": 0.999}), spread(1)
    with torch.no_grad():
        quantizer.codebook.copy_(0.5 + 0.1 * torch.randn(CODES, DIM))
    before = quantizer.codebook.detach().clone()
    train_step(quantizer, 0, latent)
    assert 0 < (quantizer.codebook - before).abs().max() < 0.02


def test_kmeans_and_warmup_come_first():
    quantizer, latents = build(warmup=2, kmeans=True, ema={"decay": 0.999}), spread(3)
    before = quantizer.codebook.detach().clone()
    assert train_step(quantizer, 0, latents[0]) == ((), None)
    assert torch.equal(quantizer.codebook, before)
    ((overwritten,), _) = train_step(quantizer, 1, latents[1])
    assert overwritten.parameter is quantizer.codebook
    assert overwritten.rows.all()
    centres = quantizer.codebook.detach().clone()
    assert not torch.allclose(centres, before)
    assert train_step(quantizer, 2, latents[2])[0] == ()
    assert 0 < (quantizer.codebook - centres).abs().max() < 0.02, "the average goes on from the centres"


def test_statistics_of_revived_codes_start_anew():
    quantizer = build(l2_norm=False, ema={"decay": 0.9}, revive={"threshold": 0.5, "decay": 0.5})
    latents = spread(8)
    for step, latent in enumerate(latents):
        ((overwritten,), codes) = train_step(quantizer, step, latent)
        revived = overwritten.rows
        if revived.any():
            break
    assert not revived.all()
    assert (quantizer.average.counts[revived] == 0).all()
    assert (quantizer.average.counts[~revived] > 0).all()
    rows = quantizer.codebook.detach().clone()
    # One latent of 32 is 6/32 of an equal share: N = 0.9 + 0.1 · 6/32, and so on.
    code = int(revived.nonzero()[0])
    codes = torch.full((4, 8), int((~revived).nonzero()[0]))
    codes[0, 0] = code
    context = StepContext(Progress(50, TOTAL), latents[0], codes)
    quantizer.after_step(context)
    weight = 0.1 * 6 / 32
    expected = (0.9 * rows[code] + weight * latents[0][0, 0]) / (0.9 + weight)
    torch.testing.assert_close(quantizer.codebook[code].detach(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_a_resumed_run_continues_bit_for_bit(cut):
    fields = {"warmup": 2, "kmeans": True, "revive": {"threshold": 0.9, "decay": 0.8}, "ema": {"decay": 0.8}}
    first, second, latents = build(**fields), build(**fields), spread(8)
    with torch.no_grad():
        for step, latent in enumerate(latents):
            if step == cut:
                for ours, theirs in zip(state(second), state(first), strict=True):
                    ours.copy_(theirs)
            train_step(first, step, latent)
        for step in range(cut, 8):
            train_step(second, step, latents[step])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(state(second), state(first), strict=True))


def state(quantizer):
    return [*quantizer.parameters(), *quantizer.buffers()]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ema": {}, "codebook_weight": 0.5}, "leave one of the two out"),
        ({"ema": {"decay": 1.0}}, "less than 1"),
        ({"ema": {"epsilon": 0}}, "greater than 0"),
        ({"ema": {"rate": 0.9}}, "Extra inputs"),
        ({"ema": True}, "valid dictionary"),
    ],
)
def test_wrong_configs(fields, message):
    with pytest.raises(ValidationError, match=message):
        VQConfig(**fields)


def test_a_config_reads_back_as_itself():
    config = VQConfig(ema={"decay": 0.95})
    assert VQConfig(**config.model_dump(mode="json")) == config
