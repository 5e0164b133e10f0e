"""What holds of every teacher that is a pretrained network of a library."""

import shutil

import open_clip
import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torchvision import models

from tokzoo import HiddenSpec, ImageSpec, Refusal
from tokzoo.assembly.build import build_teacher
from tokzoo.contracts.errors import TokzooError
from tokzoo.recipes.slots import Slot
from tokzoo.registry.catalogue import Entry
from tokzoo.registry.component import load_config
from tokzoo_teachers.plugin import tokzoo_components

SPECS = {spec.name: spec for spec in tokzoo_components() if spec.name != "fashion"}
SMALL = {
    "timm": {"model": "vit_tiny_patch16_224"},
    "open-clip": {"model": "ViT-S-32"},
    "torchvision": {"model": "resnet18", "node": "layer3"},
}
IMAGE = ImageSpec(3, (32, 32))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Files of weights by the teacher's name."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_file(timm.create_model("vit_tiny_patch16_224").state_dict(), folder / "timm.safetensors")
    visual = open_clip.create_model("ViT-S-32").visual.state_dict()
    save_file({f"visual.{name}": value for name, value in visual.items()}, folder / "open-clip.safetensors")
    save_file(models.resnet18().state_dict(), folder / "torchvision.safetensors")
    return {name: str(folder / f"{name}.safetensors") for name in SPECS}


@pytest.fixture(scope="module", params=SPECS)
def make(request, weights):
    """A function from fields to a small teacher, as the assembly builds and starts it."""

    def build(image=IMAGE, started=True, **fields):
        spec = SPECS[request.param]
        config = load_config(spec)(**{**SMALL[spec.name], "image_size": 64, "weights": weights[spec.name], **fields})
        teacher = build_teacher(Slot("teacher", Entry(spec, "test"), config), image)
        if started:
            teacher.start()
        return teacher

    return build


@pytest.fixture(scope="module")
def teacher(make):
    return make()


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_features_are_as_promised_and_differ_from_place_to_place(teacher, images):
    spec = teacher.config.hidden_spec(IMAGE)
    with torch.no_grad():
        ours = teacher(images)
        assert torch.equal(teacher(images), ours)
    assert ours.shape == (2, spec.positions, spec.dim)
    assert ours.dtype == torch.float32
    assert ours.isfinite().all()
    assert (ours[:, 0] - ours[:, -1]).abs().max() > 1e-3
    assert not teacher.training


def test_places_are_row_major(teacher, images):
    changed = images.clone()
    changed[..., 24:, :8] = 1.0
    side = teacher.config.hidden_spec(IMAGE).shape[0]
    with torch.no_grad():
        distance = (teacher(images) - teacher(changed)).square().sum(dim=2).view(2, side, side)
    assert (distance.flatten(1).argmax(dim=1) == side * (side - 1)).all()


def test_frozen_but_differentiable_in_the_images(teacher, images):
    ours = images.clone().requires_grad_()
    teacher(ours).square().mean().backward()
    assert ours.grad.abs().sum() > 0
    assert not any(p.requires_grad or p.grad is not None for p in teacher.parameters())


def test_full_precision_on_a_cpu_whatever_is_around(teacher, images):
    with torch.no_grad():
        exact = teacher(images)
        with torch.autocast("cpu", torch.bfloat16):
            within = teacher(images)
    assert torch.equal(within, exact)


def test_follows_a_change_of_type(make, images):
    with torch.no_grad():
        assert make().double()(images).dtype == torch.float64


def test_one_channel_is_seen_as_grey(make, teacher, images):
    grey = images[:, :1]
    with torch.no_grad():
        torch.testing.assert_close(make(ImageSpec(1, (32, 32)))(grey), teacher(grey.expand(-1, 3, -1, -1)))
    for channels in (2, 4):
        with pytest.raises(Refusal, match=f"1 or 3 channels, not a {channels}×32×32 image"):
            make(ImageSpec(channels, (32, 32)))


def test_only_the_network_is_state(teacher):
    assert not [name for name in teacher.state_dict() if not name.startswith("network.")]


def test_weights_are_read_where_it_is_started(make, teacher, images):
    built = make(weights="none.pth", started=False)
    assert sum(p.numel() for p in built.parameters()) == sum(p.numel() for p in teacher.parameters())
    with pytest.raises(TokzooError, match=r"Teacher has no weights yet: start\(\) reads them"):
        built(images)
    with torch.device("meta"):  # as when parameters are counted before anything is trained
        built = make(weights="none.pth", started=False)
        spec = built.config.hidden_spec(IMAGE)
        assert built(torch.empty(2, 3, 32, 32)).shape == (2, spec.positions, spec.dim)


def test_a_file_that_is_not_there_or_not_weights(make, tmp_path):
    with pytest.raises(TokzooError, match=r"^teacher '.*': weights: there is no file .*none\.pth; it should be "):
        make(weights=str(tmp_path / "none.pth"))
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(b"not weights")
    with pytest.raises(TokzooError, match=r"weights: .*damaged\.pth is not of .*; it should be "):
        make(weights=str(damaged))


def test_a_size_that_cannot_be(make):
    with pytest.raises(ValidationError, match="image_size 4 is smaller than a"):
        make(image_size=4)
    with pytest.raises(ValidationError, match="model"):
        make(model="")


def test_the_path_of_the_weights_is_no_part_of_the_identity(tmp_path, weights):
    slot = Slot("teacher", Entry(SPECS["timm"], "test"), load_config(SPECS["timm"])(weights=weights["timm"]))
    copy = tmp_path / "copy.safetensors"
    shutil.copy(weights["timm"], copy)
    other = Slot("teacher", slot.entry, slot.config.model_copy(update={"weights": str(copy)}))
    assert other.identity() == slot.identity()
    copy.write_bytes(b"other")
    assert other.identity() == slot.identity()  # what it is was settled when it was first asked
    again = Slot("teacher", slot.entry, other.config)
    assert again.identity() != slot.identity()


@pytest.mark.parametrize("name", SPECS)
def test_registration_is_sound(name):
    SPECS[name].check()
    example = load_config(SPECS[name])(**SPECS[name].example)
    assert isinstance(example.hidden_spec(IMAGE), HiddenSpec)
    assert "weights" in example.contents
