"""LPIPS with weights of our own making in files as they are published, since none can be downloaded here."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import torchvision

from tokzoo import ImageSpec, Progress, Refusal, TokzooError
from tokzoo_losses.lpips import Lpips, read_lin
from tokzoo_losses.lpips_config import LpipsConfig
from tokzoo_losses.lpips_network import directions

CHAIN = SimpleNamespace(image=ImageSpec(3, (16, 16)))
WIDTHS = [64, 128, 256, 512, 512]


@pytest.fixture(scope="module")
def original():
    """Torchvision's network, with random weights that keep its activations in range."""
    with torch.device("meta"):
        features = torchvision.models.vgg16().features
    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.randn(p.shape, generator=generator) * (2 / p[0].numel()) ** 0.5
        if p.ndim > 1
        else 0.1 * torch.randn(p.shape, generator=generator)
        for name, p in features.state_dict().items()
    }
    features.load_state_dict(state, assign=True)
    return features.requires_grad_(False)


@pytest.fixture(scope="module")
def lin():
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(1, width, 1, 1, generator=generator) for width in WIDTHS]


@pytest.fixture(scope="module")
def files(original, lin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    classifier = {"classifier.0.weight": torch.zeros(2, 2)}
    torch.save({f"features.{name}": p for name, p in original.state_dict().items()} | classifier, folder / "vgg16.pth")
    torch.save({f"lin{number}.model.1.weight": weight for number, weight in enumerate(lin)}, folder / "vgg.pth")
    return {"vgg": folder / "vgg16.pth", "lin": folder / "vgg.pth"}


@pytest.fixture(scope="module")
def term(files):
    return started(**files).train()


def started(image=CHAIN.image, **fields):
    term = Lpips(LpipsConfig(**fields), SimpleNamespace(image=image))
    term.start()
    return term


def naive(original, lin, images, target):
    """Image by image and tap by tap, as it is defined."""
    mean = (torch.tensor([0.485, 0.456, 0.406]) * 2 - 1)[:, None, None]
    std = (torch.tensor([0.229, 0.224, 0.225]) * 2)[:, None, None]
    torch.testing.assert_close(mean, torch.tensor([-0.030, -0.088, -0.188])[:, None, None])
    total = 0.0
    for pair in zip(images, target, strict=True):
        hidden = [((image - mean) / std)[None] for image in pair]
        for number, layer in enumerate(original[:30]):
            hidden = [layer(h.clone()) for h in hidden]
            if number in (3, 8, 15, 22, 29):
                one, two = (h[0] / h[0].square().sum(0, keepdim=True).sqrt().clamp(min=1e-10) for h in hidden)
                weight = lin[(3, 8, 15, 22, 29).index(number)][0]
                total += ((one - two).square() * weight).sum(0).mean().item()
    return total / len(images)


def test_the_formula(term, original, lin, images):
    other = images.flip(0) * 0.7
    distance = term.distance(other, images)
    assert distance.item() == pytest.approx(naive(original, lin, other, images), rel=1e-4)
    assert distance > 0.1
    assert term.distance(images, images) == 0
    assert term.distance(other, images) == distance  # nothing is dropped out, in training mode either


def test_gradients_pass_to_the_reconstruction_alone(term, images):
    ours, target = (images.flip(0) * 0.7).requires_grad_(), images.clone().requires_grad_()
    term.distance(ours, target).backward()
    assert ours.grad.abs().sum() > 0
    assert target.grad is None
    assert all(p.grad is None for p in term.network.parameters())


def test_places_without_activation_have_finite_gradients():
    features = torch.tensor([[0.0, 3.0], [0.0, 4.0]]).view(1, 2, 1, 2).requires_grad_()
    directed = directions(features)
    torch.testing.assert_close(directed.flatten(), torch.tensor([0.0, 0.6, 0.0, 0.8]))
    directed.relu().sum().backward()
    assert features.grad.isfinite().all()


def test_one_channel_is_seen_as_grey(term, files, images):
    grey = images[:, :1]
    alone = started(ImageSpec(1, (16, 16)), **files)
    distance = alone.distance(grey.flip(0), grey)
    torch.testing.assert_close(distance, term.distance(grey.flip(0).expand_as(images), grey.expand_as(images)))


def test_precision(term, images):
    exact = term.distance(images.flip(0), images)
    with torch.autocast("cpu", torch.bfloat16):
        rough = term.distance(images.flip(0).bfloat16(), images)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0)


def test_nothing_of_the_network_is_saved_or_trained(term):
    assert not term.state_dict()
    assert not list(term.parameters())
    assert term.training
    assert not term.network.training
    assert not any(p.requires_grad for p in term.network.parameters())
    assert {p.dtype for p in [*term.network.parameters(), *term.network.buffers()]} == {torch.float32}


def test_the_network_follows_its_owner(files, images):
    owner = torch.nn.Sequential(started(**files)).double()
    assert owner[0].distance(images.double().flip(0), images.double()).dtype == torch.float64
    owner.to("meta")
    assert owner[0].distance(images.to("meta"), images.to("meta")).shape == ()  # .item() would raise


def test_in_an_objective(make_objective, files, images):
    fields = {name: str(path) for name, path in files.items()}
    objective = make_objective(perceptual={"use": "lpips", **fields}, shortcut="shortcut")
    losses = objective(images, None, Progress(0, 1))
    assert {"perceptual", "perceptual.shortcut"} <= losses.terms.keys()
    objective.by_role["perceptual"].terms(losses.state)[""].backward()
    assert objective.tokenizer.encoder.cnn.conv_in.weight.grad.abs().sum() > 0


def test_other_names_and_half_precision(lin, tmp_path):
    path = tmp_path / "lin.pth"
    torch.save({f"lins.{number}.model.1.weight": weight.half() for number, weight in enumerate(lin)}, path)
    for ours, wanted in zip(read_lin(path), lin, strict=True):
        assert torch.equal(ours, wanted.half().float().flatten())


def test_missing_files_are_one_clear_error(tmp_path):
    script = (
        "from types import SimpleNamespace\n"
        "from tokzoo import TokzooError\n"
        "from tokzoo_losses.lpips import Lpips\n"
        "from tokzoo_losses.lpips_config import LpipsConfig\n"
        "try:\n    Lpips(LpipsConfig(lin='nowhere/vgg.pth'), SimpleNamespace()).start()\n"
        "except TokzooError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TORCH_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 1
    assert "set these fields to their paths: vgg: vgg16-397923af.pth from https://download.pytorch.org/" in lines[0]
    assert f"(there is no {tmp_path}/hub/checkpoints/vgg16-397923af.pth); lin: vgg.pth from https://github" in lines[0]
    assert "(there is no nowhere/vgg.pth)" in lines[0]


def test_what_is_at_hand_is_found(files, tmp_path, monkeypatch):
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth").symlink_to(files["vgg"])
    (tmp_path / "lpips" / "weights" / "v0.1").mkdir(parents=True)
    (tmp_path / "lpips" / "__init__.py").write_text("raise AssertionError('imported')")
    (tmp_path / "lpips" / "weights" / "v0.1" / "vgg.pth").symlink_to(files["lin"])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    found = started()
    torch.testing.assert_close(found.network.weight0, read_lin(files["lin"])[0])


def test_files_of_something_else(files, tmp_path):
    swapped = {"vgg": files["lin"], "lin": files["vgg"]}
    for field, message in (("vgg", "is not torchvision's VGG-16; it should"), ("lin", "has not the weights of VGG's")):
        with pytest.raises(TokzooError, match=f"lpips': {field}: .*{message}"):
            started(**{**files, field: swapped[field]})
    path = tmp_path / "broken.pth"
    path.write_bytes(b"not weights")
    with pytest.raises(TokzooError, match=r"lin: .*broken\.pth cannot be read; it should be vgg\.pth from"):
        read_lin(path)
    torch.save({"code": LpipsConfig}, path)  # which would be run if it were unpickled
    with pytest.raises(TokzooError, match="cannot be read"):
        read_lin(path)


def test_weights_are_read_where_it_is_started(images):
    term = Lpips(LpipsConfig(vgg="nowhere", lin="nowhere"), CHAIN)
    with pytest.raises(TokzooError, match=r"Lpips has no network yet: start\(\) reads it"):
        term.distance(images, images)


def test_refusals():
    for image, reason in ((ImageSpec(2, (32, 32)), "1 or 3 channels"), (ImageSpec(3, (32, 15)), "from 16×16 on")):
        with pytest.raises(Refusal, match=reason):
            LpipsConfig().accepts(SimpleNamespace(image=image))
    LpipsConfig().accepts(CHAIN)
    assert LpipsConfig.contents == {"vgg", "lin"}
