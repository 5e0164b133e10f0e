"""Every registered component, first-party or not, keeps to the checks of its kind."""

import json

import open_clip
import pytest
import timm
import torch
import torchvision
from PIL import Image

from tokzoo.registry.plugins import load_registry
from tokzoo.testing.conformance import CHECKS, checks_for, run_check
from tokzoo.testing.subject import Subject

REGISTRY = load_registry()
CASES = [(entry, check) for entry in REGISTRY.components for check in checks_for(entry.spec.kind)]
NANO = {"embed_dim": 24, "vision_cfg": {"image_size": 64, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}}
TEXT = {"context_length": 8, "vocab_size": 16, "width": 16, "heads": 2, "layers": 1}


def with_fashion_teacher(folder):
    return {"teacher": {"use": "fashion"}}


def random_lpips(folder):
    features = torchvision.models.vgg16().features.state_dict()
    torch.save({f"features.{name}": tensor for name, tensor in features.items()}, folder / "vgg16.pth")
    lin = {f"lin{i}.model.1.weight": torch.rand(1, width, 1, 1) for i, width in enumerate([64, 128, 256, 512, 512])}
    torch.save(lin, folder / "lin.pth")
    return {"vgg": str(folder / "vgg16.pth"), "lin": str(folder / "lin.pth")}


def random_timm(folder, **fields):
    torch.save(timm.create_model("test_vit", num_classes=0).state_dict(), folder / "vit.pth")
    return {"model": "test_vit", "weights": str(folder / "vit.pth"), "image_size": 32, **fields}


def random_torchvision(folder):
    weights = str(folder / "shufflenet.pth")
    torch.save(torchvision.models.shufflenet_v2_x0_5().state_dict(), weights)
    read = {"node": "stage3", "stride": 16, "dim": 96}
    return {"model": "shufflenet_v2_x0_5", **read, "weights": weights, "image_size": 64}


def random_open_clip(folder):
    (folder / "ViT-conformance-16.json").write_text(json.dumps({**NANO, "text_cfg": TEXT}))
    open_clip.add_model_config(folder)
    torch.save(open_clip.create_model("ViT-conformance-16").state_dict(), folder / "clip.pth")
    return {"model": "ViT-conformance-16", "weights": str(folder / "clip.pth"), "dim": 32, "image_size": 64}


def pictures(folder):
    for number in range(12):
        place = folder / ("train", "val")[number % 2] / ("a", "b")[number % 4 // 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((24, 20), 20 + number).convert("RGB").save(place / f"{number}.png")
    return {"root": str(folder), "size": 16}


IN_NEED_OF_FILES = {
    "regularizer/feature": with_fashion_teacher,
    "regularizer/semantic": lambda folder: {**with_fashion_teacher(folder), "tap": 2},
    "regularizer/lpips": random_lpips,
    "regularizer/dinodisc": lambda folder: {**random_timm(folder), "readouts": [0, 2]},
    "teacher/timm": lambda folder: random_timm(folder, patch=16, dim=64),
    "teacher/torchvision": random_torchvision,
    "teacher/open-clip": random_open_clip,
    "dataset/images": pictures,
    "dataset/live-images": pictures,
}
"""Components whose example names weights or pictures that come with no package: fields that name some of our making."""


@pytest.fixture(scope="module")
def subject_of(tmp_path_factory):
    """A function from an entry to the component under test, its files made once."""
    made = {}

    def make(entry):
        name = f"{entry.spec.kind}/{entry.spec.name}"
        if name not in made:
            folder = tmp_path_factory.mktemp(name.replace("/", "-"))
            fields = IN_NEED_OF_FILES[name](folder) if name in IN_NEED_OF_FILES else None
            made[name] = Subject.of(entry, REGISTRY.components, fields)
        return made[name]

    return make


@pytest.mark.parametrize(
    ("entry", "check"), CASES, ids=[f"{e.spec.kind}/{e.spec.name}-{check.__name__}" for e, check in CASES]
)
def test_component(entry, check, subject_of):
    run_check(check, subject_of(entry))


def test_every_kind_is_checked():
    assert {entry.spec.kind for entry, _ in CASES} == CHECKS.keys()
    assert min(map(len, CHECKS.values())) >= 5
    assert not REGISTRY.broken
    assert {f"{entry.spec.kind}/{entry.spec.name}" for entry, _ in CASES} >= IN_NEED_OF_FILES.keys()
