"""PatchGAN alone, against GigaTok's golden tensors, and as a player of an objective."""

import pytest
import torch
from torch import nn

from tokzoo import Decoded, Encoded, ImageSpec, Pass, Progress, Refusal, View
from tokzoo.assembly.objective import detached
from tokzoo.nn.configs import DiffAugmentConfig, LeCamConfig
from tokzoo.nn.gan_loss import discriminator_loss, generator_loss
from tokzoo_losses.adversary_configs import PatchGanConfig
from tokzoo_losses.patchgan import PatchGan

SMALL = {"use": "patchgan", "channels": 4, "layers": 1}


class Pictures:
    """All of a chain that a discriminator looks at."""

    def __init__(self, channels=3, size=(16, 16)):
        self.image = ImageSpec(channels, size)


def make(chain=None, **fields):
    torch.manual_seed(0)
    return PatchGan(PatchGanConfig(**fields), chain or Pictures()).train()


def state_of(images, **views):
    views = {name: View(Decoded(ours), images) for name, ours in views.items()}
    return Pass(None, images, None, Progress(0, 1), Encoded(images), views=views)


def from_golden(header, tensors, **fields):
    made = make(channels=header["disc"]["ndf"], layers=header["disc"]["n_layers"], **fields)
    weights = {name[6:]: tensor for name, tensor in tensors.items() if name.startswith("wdisc.")}
    missing, unexpected = made.load_state_dict(weights, strict=False)
    assert not unexpected
    assert {name.rpartition(".")[2] for name in missing} == {"running_mean", "running_var"}  # of which none is used
    return made


@pytest.mark.parametrize("path", ["rot0", "rot1"])
def test_golden_logits_and_losses(golden, path):
    header, tensors = golden
    made = from_golden(header, tensors)
    key = f"train.{path}."
    images = tensors["in.x"]
    torch.testing.assert_close(made.logits(images), tensors[f"{key}logits_real"], atol=1e-5, rtol=0)
    state = state_of(images, main=tensors[f"{key}recon"], direct=tensors[f"{key}recon_direct"])
    weight = made.config.weight_of("")
    ours = made.terms(state)
    assert set(ours) == {"", "direct"}
    wanted = tensors[f"{key}total_adv"].item() - tensors[f"{key}total"].item()
    assert weight * sum(ours.values()).item() == pytest.approx(wanted, abs=5e-6)
    theirs = made.adversary_terms(state)
    assert weight * theirs["loss"].item() == pytest.approx(tensors[f"{key}disc_loss"].item(), abs=5e-6)


def test_parameters_and_names_of_the_original():
    made = make(Pictures(size=(256, 256)))
    assert sum(p.numel() for p in made.parameters()) == 2_765_633
    shapes = {name: tuple(p.shape) for name, p in made.named_parameters()}
    assert shapes == {
        "main.0.weight": (64, 3, 4, 4),
        "main.0.bias": (64,),
        "main.2.weight": (128, 64, 4, 4),
        "main.3.weight": (128,),
        "main.3.bias": (128,),
        "main.5.weight": (256, 128, 4, 4),
        "main.6.weight": (256,),
        "main.6.bias": (256,),
        "main.8.weight": (512, 256, 4, 4),
        "main.9.weight": (512,),
        "main.9.bias": (512,),
        "main.11.weight": (1, 512, 4, 4),
        "main.11.bias": (1,),
    }
    assert [layer.stride for layer in made.main if isinstance(layer, nn.Conv2d)] == [(2, 2)] * 3 + [(1, 1)] * 2
    assert {id(p) for p in made.adversary_parameters()} == {id(p) for p in made.parameters()}


def test_start():
    main = make(Pictures(size=(256, 256))).main
    for layer in main:
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
            assert abs(layer.weight.mean().item()) < 1e-3
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.005)
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.25)
            assert not layer.bias.any()
    assert main[0].bias.abs().max() <= 48**-0.5
    assert main[0].bias.std().item() == pytest.approx(48**-0.5 / 3**0.5, rel=0.25)


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("layers", [1, 2, 3, 5])
def test_the_smallest_images_give_one_logit_and_smaller_ones_are_refused(channels, layers):
    side = 3 * 2**layers
    config = PatchGanConfig(layers=layers, channels=2)
    config.accepts(Pictures(channels, (side, side + 2)))
    made = make(Pictures(channels, (side, side)), layers=layers, channels=2)
    assert made.logits(torch.rand(1, channels, side, side)).shape == (1, 1, 1, 1)
    mend = f"set layers: {layers - 1}" if layers > 1 else "it sees no images below 6×6"
    for size in ((side - 1, side), (side + 9, side - 1)):
        with pytest.raises(Refusal, match=f"images from {side}×{side} on, not a {channels}×.* image; {mend}"):
            config.accepts(Pictures(channels, size))


def test_what_the_refusal_proposes_is_accepted(make_chain):
    with pytest.raises(Refusal, match=r"tokenizer → regularizers.gan: .* set layers: 2"):
        make_chain(gan="patchgan")
    make_chain(gan={"use": "patchgan", "layers": 2})


def test_each_batch_is_normalised_by_its_own_statistics(images):
    made = make(channels=4, layers=1)
    dark = images * 0.1 - 0.8
    alone = made.logits(images)
    made.adversary_terms(state_of(images, main=dark))
    torch.testing.assert_close(made.logits(images), alone)
    theirs = made.adversary_terms(state_of(images, main=dark))["loss"]
    torch.testing.assert_close(theirs, discriminator_loss("hinge", alone, made.logits(dark)))


def test_views_and_their_weight(images):
    other = images.flip(0) * 0.5
    made = make(channels=4, layers=1, loss="non-saturating", weight=0.3)
    state = state_of(images, main=images, shortcut=other)
    ours = made.terms(state)
    assert set(ours) == {"", "shortcut"}
    torch.testing.assert_close(ours["shortcut"], generator_loss("non-saturating", made.logits(other)))
    both = sum(discriminator_loss("non-saturating", made.logits(images), made.logits(x)) for x in (images, other))
    assert set(made.adversary_terms(state)) == {"loss"}
    torch.testing.assert_close(made.adversary_terms(state)["loss"], both)
    chosen = make(channels=4, layers=1, views=("main", "elsewhere"))
    assert set(chosen.terms(state)) == {""}
    one = discriminator_loss("hinge", chosen.logits(images), chosen.logits(images))
    torch.testing.assert_close(chosen.adversary_terms(state)["loss"], one)
    assert [made.config.weight_of(term) for term in ("", "shortcut", "loss", "lecam")] == [0.3] * 4
    with pytest.raises(ValueError, match="add 'main' to them"):
        PatchGanConfig(views=("shortcut",))


def test_lecam_is_over_all_views_and_weighed_beside_the_loss(images):
    lecam = LeCamConfig(weight=0.01, decay=0.5)
    made = make(channels=4, layers=1, weight=0.3, lecam=lecam)
    other = images.flip(0) * 0.5
    with torch.no_grad():
        real = torch.cat([made.logits(images)] * 2)
        fake = torch.cat([made.logits(images), made.logits(other)])
    terms = made.adversary_terms(state_of(images, main=images, shortcut=other))
    assert set(terms) == {"loss", "lecam"}
    wanted = (real - fake.mean()).relu().square().mean() + (real.mean() - fake).relu().square().mean()
    torch.testing.assert_close(terms["lecam"].detach(), wanted)
    assert made.config.weight_of("lecam") == pytest.approx(0.003)
    assert made.config.weight_of("loss") == 0.3
    assert {"lecam.averages", "lecam.mass"} <= made.state_dict().keys()


def test_all_that_it_sees_is_augmented_each_time_anew(images):
    made = make(channels=4, layers=1, augment=DiffAugmentConfig())
    seen = []
    logits = made.logits
    made.logits = lambda pixels: seen.append(pixels) or logits(pixels)
    state = state_of(images, main=images)
    made.terms(state)
    made.adversary_terms(state)
    assert len(seen) == 3
    assert len({tuple(x.flatten().tolist()) for x in [*seen, images]}) == 4


def test_losses_in_float32_under_autocast(images):
    made = make(channels=4, layers=1, lecam=LeCamConfig(), augment=DiffAugmentConfig())
    with torch.autocast("cpu", torch.bfloat16):
        state = state_of(images, main=images.bfloat16())
        terms = {**made.terms(state), **made.adversary_terms(state)}
    assert {term.dtype for term in terms.values()} == {torch.float32}


def test_no_host_sync():
    made = make(channels=4, layers=1, lecam=LeCamConfig(), augment=DiffAugmentConfig()).to("meta")
    state = state_of(torch.rand(2, 3, 16, 16, device="meta"), main=torch.rand(2, 3, 16, 16, device="meta"))
    assert set(made.terms(state) | made.adversary_terms(state)) == {"", "loss", "lecam"}  # .item() would raise


def moved(before, objective):
    return {name for name, p in objective.named_parameters() if not torch.equal(before[name], p)}


def test_as_a_player_it_learns_to_tell_images_and_moves_nothing_else(make_objective, images):
    objective = make_objective(gan={**SMALL, "start": 0.5, "lecam": {}})
    closed = objective(images, None, Progress(4, 10))
    assert not [name for name in closed.terms if name.startswith("gan")]
    losses = objective(images, None, Progress(5, 10))
    player = objective.by_role["gan"]
    before = {name: p.detach().clone() for name, p in objective.named_parameters()}
    optimizer = torch.optim.Adam(player.adversary_parameters(), 1e-2)
    history = []
    for _ in range(8):
        answer = objective(images, None, Progress(5, 10), "gan", detached(losses.state))
        assert set(answer.terms) == {"gan.adversary.loss", "gan.adversary.lecam"}
        wanted = 0.5 * (answer.terms["gan.adversary.loss"] + 0.001 * answer.terms["gan.adversary.lecam"])
        torch.testing.assert_close(answer.total.detach(), wanted)
        optimizer.zero_grad()
        answer.total.backward()
        optimizer.step()
        history.append(answer.terms["gan.adversary.loss"].item())
    assert history[-1] < history[0] - 0.1
    assert moved(before, objective) == {f"regularizers.gan.{name}" for name, _ in player.named_parameters()}
    assert not any(p.grad is not None for p in objective.tokenizer.parameters())


@pytest.mark.parametrize("weight", [0.1, 0.5])
def test_adaptive_it_pulls_at_the_last_layer_as_hard_as_the_other_terms_do(make_objective, images, weight):
    objective = make_objective(gan={**SMALL, "weight": weight, "adaptive": True})
    losses = objective(images, None, Progress(0, 10))
    last = objective.tokenizer.decoder.cnn.conv_out.weight
    (pull,) = torch.autograd.grad(losses.total, last)
    decoded = objective.tokenizer.decoder(losses.state.quantized.latent).images
    (others,) = torch.autograd.grad((decoded - images).square().mean(), last)
    assert (pull - others).norm().item() == pytest.approx(weight * others.norm().item(), rel=1e-2)
    plain = make_objective(gan={**SMALL, "weight": weight})(images, None, Progress(0, 10))
    rest = plain.total.item() - weight * plain.terms["gan"].item()
    factor = losses.terms["gan.factor"].item()
    assert losses.total.item() == pytest.approx(rest + factor * weight * losses.terms["gan"].item(), rel=1e-5)
    assert "gan.factor" not in plain.terms


def test_the_tokenizer_learns_from_it_without_moving_it(make_objective, images):
    objective = make_objective(gan={**SMALL, "weight": 0.25})
    player = objective.by_role["gan"]
    for parameter in player.adversary_parameters():
        parameter.requires_grad_(False)
    losses = objective(images, None, Progress(0, 10))
    state = losses.state
    torch.testing.assert_close(losses.terms["gan"], -player.logits(state.decoded.images).mean().detach())
    rest = losses.terms["l2"] + sum(
        objective.tokenizer.quantizer.config.weight_of(name) * losses.terms[f"quantizer.{name}"]
        for name in state.quantized.losses
    )
    torch.testing.assert_close(losses.total.detach(), rest + 0.25 * losses.terms["gan"])
    player.terms(state)[""].backward()
    assert objective.tokenizer.decoder.cnn.conv_out.weight.grad.abs().sum() > 0
    assert objective.tokenizer.encoder.cnn.conv_in.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in player.parameters())
