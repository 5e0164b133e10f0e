import pytest
import torch
import torch.nn.functional as F

from tokzoo import LatentSpec, Progress, StepContext
from tokzoo.nn.nearest import nearest
from tokzoo_quantizers.configs import VQConfig
from tokzoo_quantizers.vq import VectorQuantizer

TOTAL = 100


def build(**fields) -> VectorQuantizer:
    config = VQConfig(**{"codes": 32, "dim": 4, **fields})
    return VectorQuantizer(config, LatentSpec("sequence", (8,), config.dim))


def at(step, latent=None, codes=None) -> StepContext:
    return StepContext(Progress(step, TOTAL), latent, codes)


def train_step(quantizer, step, latent):
    """One step as the loop makes it: seeded, an optimizer step between the hooks."""
    torch.manual_seed(step)
    quantizer.before_step(at(step))
    quantized = quantizer(latent)
    if quantized.losses:
        (gradient,) = torch.autograd.grad(sum(quantized.losses.values()), quantizer.codebook)
        with torch.no_grad():
            quantizer.codebook -= 0.1 * gradient
    return quantizer.after_step(at(step, latent, quantized.codes))


def clustered(steps=1, spread=0.02):
    """Latents ``[steps · 64, 8, 4]`` in one narrow direction, with 32 sub-clusters."""
    centres = torch.tensor([1.0, 0, 0, 0]) + 0.3 * torch.randn(32, 4)
    return centres[torch.randint(32, (steps * 64, 8))] + spread * torch.randn(steps * 64, 8, 4)


def usage(quantizer, latent) -> float:
    with torch.no_grad():
        return len(quantizer(latent).codes.unique()) / quantizer.config.codes


@pytest.mark.parametrize("l2_norm", [False, True])
@pytest.mark.parametrize("rotation", [False, True])
def test_eval_gives_exact_code_vectors(l2_norm, rotation):
    torch.manual_seed(0)
    quantizer = build(l2_norm=l2_norm, rotation=rotation).eval()
    with torch.no_grad():
        quantizer.codebook.mul_(torch.rand(32, 1) * 5)  # stored rows need not be unit vectors
    quantized = quantizer(torch.randn(3, 8, 4))
    assert quantized.codes.shape == (3, 8)
    assert quantized.codes.dtype == torch.int64
    assert quantized.losses == {}
    assert torch.equal(quantizer.decode(quantized.codes), quantized.latent)
    norms = quantized.latent.norm(dim=-1)
    assert torch.allclose(norms, torch.ones_like(norms)) == l2_norm


def test_codes_are_the_nearest():
    torch.manual_seed(0)
    quantizer = build(l2_norm=False)
    latent = torch.randn(3, 8, 4) / 20
    distances = torch.cdist(latent.flatten(0, 1), quantizer.codebook)
    assert torch.equal(quantizer(latent).codes.flatten(), distances.argmin(1))


def test_straight_through_gradient_is_the_identity():
    torch.manual_seed(0)
    latent, weight = torch.randn(2, 8, 4, requires_grad=True), torch.randn(2, 8, 4)
    (build(l2_norm=False)(latent).latent * weight).sum().backward()
    torch.testing.assert_close(latent.grad, weight, atol=0, rtol=0)


def test_with_l2_norm_gradients_pass_through_the_normalisation_alone():
    torch.manual_seed(0)
    latent, weight = torch.randn(2, 8, 4, requires_grad=True), torch.randn(2, 8, 4)
    (build()(latent).latent * weight).sum().backward()
    (expected,) = torch.autograd.grad((F.normalize(latent, dim=-1) * weight).sum(), latent)
    torch.testing.assert_close(latent.grad, expected)


def test_rotation_turns_gradients_with_the_latent():
    """The gradient at the code, turned back by the rotation that takes the latent to it, arrives at the latent."""
    latent = torch.tensor([[[1.0, 0.0]]], requires_grad=True)
    quantizer = build(codes=2, dim=2, rotation=True)
    with torch.no_grad():
        quantizer.codebook.copy_(torch.tensor([[0.0, 1.0], [-1.0, -0.1]]))
    quantized = quantizer(latent)
    torch.testing.assert_close(quantized.latent, torch.tensor([[[0.0, 1.0]]]), atol=1e-5, rtol=0)
    (quantized.latent * torch.tensor([-1.0, 0.0])).sum().backward()
    # A quarter turn: (-1, 0) at (0, 1) is (0, 1) at (1, 0).
    torch.testing.assert_close(latent.grad, torch.tensor([[[0.0, 1.0]]]), atol=1e-5, rtol=0)


def test_commitment_moves_latents_and_the_codebook_loss_moves_codes():
    torch.manual_seed(0)
    quantizer, latent = build(), torch.randn(2, 8, 4, requires_grad=True)
    losses = quantizer(latent).losses
    assert set(losses) == {"commitment", "codebook"}
    torch.testing.assert_close(losses["commitment"], losses["codebook"])
    grads = {
        name: torch.autograd.grad(loss, (latent, quantizer.codebook), allow_unused=True, retain_graph=True)
        for name, loss in losses.items()
    }
    assert grads["commitment"][0].any()
    assert grads["commitment"][1] is None
    assert grads["codebook"][0] is None
    assert grads["codebook"][1].any()


def test_autocast_quantizes_in_float32():
    torch.manual_seed(0)
    quantizer, latent = build(codes=512), torch.randn(4, 8, 4).bfloat16()
    plain = quantizer(latent.float())
    with torch.autocast("cpu", torch.bfloat16):
        quantized = quantizer(latent)
    assert torch.equal(quantized.codes, plain.codes)
    assert quantized.latent.dtype == torch.float32
    torch.testing.assert_close(quantized.losses, plain.losses)


@pytest.mark.parametrize("l2_norm", [False, True])
def test_assignment_factors_choose_the_codes(l2_norm):
    torch.manual_seed(0)
    quantizer, latent = build(l2_norm=l2_norm), torch.randn(2, 8, 4, requires_grad=True)
    (factors,) = quantizer.assignment(latent)
    assert factors.scale == 1.0
    assert torch.equal(nearest(factors.queries, factors.codes), quantizer(latent).codes.flatten())
    (factors.queries.sum() + factors.codes.sum()).backward()
    assert latent.grad is not None
    assert quantizer.codebook.grad is not None


@pytest.mark.parametrize("l2_norm", [False, True])
def test_warmup_passes_latents_on(l2_norm):
    quantizer, latent = build(warmup=2, l2_norm=l2_norm), torch.randn(2, 8, 4)
    for step, quantizes in ((0, False), (1, False), (2, True)):
        quantizer.before_step(at(step))
        quantized = quantizer(latent)
        assert (quantized.codes is not None) == quantizes
        assert bool(quantized.losses) == quantizes
        if not quantizes:
            expected = F.normalize(latent, dim=-1) if l2_norm else latent
            assert torch.equal(quantized.latent, expected)
            assert quantizer.eval()(latent).codes is not None, "eval always quantizes"
            quantizer.train()


def test_warmup_as_a_fraction_of_the_budget():
    quantizer = build(warmup=0.25)
    quantizer.before_step(at(24))
    assert quantizer.unquantized
    quantizer.before_step(at(25))
    assert not quantizer.unquantized


@pytest.mark.parametrize("l2_norm", [False, True])
def test_kmeans_saves_a_collapsed_codebook(l2_norm):
    torch.manual_seed(0)
    latents = clustered(steps=3)
    plain, quantizer = build(l2_norm=l2_norm), build(warmup=3, kmeans=True, l2_norm=l2_norm)
    assert usage(plain, latents) < 0.5
    for step, batch in enumerate(latents.chunk(3)):
        overwritten = train_step(quantizer, step, batch)
        assert len(overwritten) == (step == 2), "only after the last step of the warm-up"
    assert overwritten[0].parameter is quantizer.codebook
    assert overwritten[0].rows.all()
    quantizer.before_step(at(3))
    assert usage(quantizer, latents) == 1
    before = quantizer.codebook.clone()
    assert quantizer.after_step(at(3, latents, torch.zeros(64, 8, dtype=torch.int64))) == ()
    assert torch.equal(quantizer.codebook, before)


def test_kmeans_has_a_step_even_if_the_fraction_rounds_to_none():
    quantizer = build(warmup=0.001, kmeans=True)
    (overwritten,) = train_step(quantizer, 0, clustered())
    assert overwritten.rows.all()


def test_kmeans_on_fewer_latents_than_codes_leaves_the_other_rows():
    torch.manual_seed(0)
    quantizer, latent = build(warmup=1, kmeans=True), torch.randn(1, 8, 4)
    before = quantizer.codebook.detach().clone()
    (overwritten,) = train_step(quantizer, 0, latent)
    assert overwritten.rows.tolist() == [True] * 8 + [False] * 24
    assert torch.equal(quantizer.codebook[8:], before[8:])
    quantizer.before_step(at(1))
    torch.testing.assert_close(quantizer(latent).latent, F.normalize(latent, dim=-1))


def test_revival_replaces_exactly_the_dead_codes():
    torch.manual_seed(0)
    quantizer = build(revive={"threshold": 0.5, "decay": 0.9})
    latent = F.normalize(torch.randn(4, 8, 4), dim=-1)
    codes = torch.arange(32).view(4, 8) % 16  # codes from 16 on are never used
    for step in range(6):
        before = quantizer.codebook.detach().clone()
        (overwritten,) = quantizer.after_step(at(step, latent, codes))
        assert overwritten.parameter is quantizer.codebook
        assert not overwritten.rows.any()  # 0.9 ** 6 > 0.5
        assert torch.equal(quantizer.codebook, before)
    assert torch.allclose(quantizer.usage[:16], torch.tensor(2 - 0.9**6))
    (overwritten,) = quantizer.after_step(at(6, latent, codes))
    assert torch.equal(overwritten.rows, torch.arange(32) >= 16)
    assert torch.equal(quantizer.codebook[:16], before[:16])
    from_latents = torch.cdist(quantizer.codebook[16:], latent.flatten(0, 1)).amin(1)
    assert from_latents.max() < 1e-3
    assert torch.equal(quantizer.usage[16:], torch.ones(16)), "a revived code starts anew"
    assert not quantizer.after_step(at(7, latent, codes))[0].rows.any()


def test_no_upkeep_without_kmeans_or_revival():
    quantizer, latent = build(), torch.randn(2, 8, 4)
    assert quantizer.after_step(at(0, latent, quantizer(latent).codes)) == ()
    assert {name for name, _ in quantizer.named_buffers()} == {"idle"}


def test_statistics_tell_of_dead_codes():
    """In training only; a code is dead once nothing has chosen it for a hundred steps."""
    quantizer, latent = build(), torch.randn(2, 8, 4)
    codes = quantizer(latent).codes
    used = len(codes.unique()) / len(quantizer.codebook)
    for step in range(99):
        quantizer.after_step(at(step, latent, codes))
    assert quantizer(latent).statistics["dead"] == 0
    quantizer.after_step(at(99, latent, codes))
    found = quantizer(latent).statistics
    assert found["dead"].item() == pytest.approx(1 - used)
    assert found["usage"].item() == pytest.approx(used)
    assert not quantizer.eval()(latent).statistics


def test_training_state_is_not_saved_with_the_tokenizer():
    quantizer = build(warmup=1, kmeans=True, revive={})
    assert set(quantizer.state_dict()) == {"codebook"}
    assert {name for name, _ in quantizer.named_buffers()} == {"idle", "usage", "reservoir.ring", "reservoir.seen"}


@pytest.mark.parametrize("cut", [1, 3, 4, 9])
def test_a_resumed_run_continues_bit_for_bit(cut):
    torch.manual_seed(0)
    fields = {"warmup": 4, "kmeans": True, "revive": {"threshold": 0.9, "decay": 0.8}}
    latents = clustered(steps=12).chunk(12)
    first, masks = build(**fields), []
    for step in range(12):
        if step == cut:
            checkpoint = {k: v.detach().clone() for k, v in [*first.named_parameters(), *first.named_buffers()]}
        overwritten = train_step(first, step, latents[step])
        masks += [part.rows for part in overwritten]
    assert any(0 < mask.sum() < 32 for mask in masks), "the run must have revived something"

    second = build(**fields)
    with torch.no_grad():
        for name, tensor in [*second.named_parameters(), *second.named_buffers()]:
            tensor.copy_(checkpoint[name])
    for step in range(cut, 12):
        train_step(second, step, latents[step])
    for (name, ours), (_, theirs) in zip(
        [*second.named_parameters(), *second.named_buffers()],
        [*first.named_parameters(), *first.named_buffers()],
        strict=True,
    ):
        assert torch.equal(ours, theirs), name
