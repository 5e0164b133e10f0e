import hashlib
import json
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

import tokzoo
from tokzoo.data.pixels import to_unit
from tokzoo.data.split import InMemorySplit
from tokzoo_teachers.configs import FashionTeacherConfig
from tokzoo_teachers.fashion import teacher as teacher_module
from tokzoo_teachers.fashion import train as script
from tokzoo_teachers.fashion.teacher import FACTS, WEIGHTS, FashionTeacher, load_network
from tokzoo_teachers.plugin import tokzoo_components

IMAGE = tokzoo.ImageSpec(1, (32, 32))


@pytest.fixture(scope="module")
def teacher():
    teacher = FashionTeacher(FashionTeacherConfig(), IMAGE)
    teacher.start()
    return teacher


@pytest.fixture(scope="module")
def splits():
    """Images in [-1, 1] and labels of both splits; labels only judge the teacher here."""
    from tokzoo.registry.component import load_config, load_target
    from tokzoo.registry.plugins import load_registry

    spec = load_registry().components.get("dataset", "fashion").spec
    dataset = load_target(spec)(load_config(spec)())
    found = {}
    for name in ("train", "val"):
        images, labels = getattr(dataset, name).batch(torch.arange(len(getattr(dataset, name))))
        found[name] = (to_unit(images), labels)
    return found


@pytest.fixture(scope="module")
def features(teacher, splits):
    with torch.no_grad():
        return {name: torch.cat([teacher(part) for part in images.split(500)]) for name, (images, _) in splits.items()}


def linear_accuracy(train, train_labels, val, val_labels):
    """Of logistic regression on standardized features, by 50 steps of L-BFGS: near the optimum, and quick."""
    mean, deviation = train.mean(dim=0), train.std(dim=0) + 1e-3
    train, val = (train - mean) / deviation, (val - mean) / deviation
    head = torch.nn.Linear(train.shape[1], 10)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=50, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(head(train), train_labels) + 5e-4 * head.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        return float((head(val).argmax(dim=1) == val_labels).double().mean())


def test_features_are_as_promised(teacher):
    config = FashionTeacherConfig()
    spec = config.hidden_spec(IMAGE)
    found = teacher(torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    assert found.shape == (3, spec.positions, spec.dim) == (3, 16, 128)
    assert spec.shape == (4, 4)
    assert found.dtype == torch.float32


@pytest.mark.parametrize("image", [tokzoo.ImageSpec(3, (32, 32)), tokzoo.ImageSpec(1, (28, 28))])
def test_other_images_are_refused(image):
    with pytest.raises(tokzoo.Refusal, match="has learned from a 1×32×32 image, and this is a"):
        FashionTeacherConfig().hidden_spec(image)
    with pytest.raises(tokzoo.Refusal):
        FashionTeacher(FashionTeacherConfig(), image)


def test_it_is_frozen_and_an_image_has_its_features_to_itself(teacher, splits):
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    images = splits["val"][0][:8]
    teacher.train()
    together = teacher(images)
    torch.testing.assert_close(teacher(images[:1]), together[:1], atol=1e-4, rtol=1e-4)
    images = images.clone().requires_grad_()
    teacher(images).sum().backward()
    assert images.grad.abs().sum() > 0


def test_positions_are_row_major(teacher, splits):
    image = splits["val"][0][:1]
    changed = image.clone()
    changed[..., 24:, :8] = 1.0
    distance = (teacher(image) - teacher(changed)).square().sum(dim=2).view(4, 4)
    assert distance.argmax() == 12
    assert distance[0, 3] < 0.1 * distance[3, 0]


def test_features_tell_classes_better_than_pixels_do(features, splits):
    (train, train_labels), (val, val_labels) = splits["train"], splits["val"]
    pixels = linear_accuracy(train.flatten(1), train_labels, val.flatten(1), val_labels)
    pooled = linear_accuracy(features["train"].mean(dim=1), train_labels, features["val"].mean(dim=1), val_labels)
    assert pooled >= 0.845
    assert pooled > pixels + 0.02


def test_a_single_position_tells_classes(features, splits):
    labels = splits["train"][1], splits["val"][1]
    for position in (0, 10):
        found = linear_accuracy(features["train"][:, position], labels[0], features["val"][:, position], labels[1])
        assert found > 0.8, f"position {position}: {found}"


def test_no_channel_is_dead_and_none_dominates(features):
    """Standard normal they are over random views; over the images themselves, about so."""
    flat = features["train"].flatten(0, 1)
    assert flat.mean(dim=0).abs().max() < 1
    deviation = flat.std(dim=0)
    assert 0.5 < float(deviation.min()) <= float(deviation.max()) < 2
    spectrum = torch.linalg.eigvalsh(torch.cov(flat.T))
    effective_rank = torch.exp(torch.special.entr((spectrum / spectrum.sum()).clamp(min=0)).sum())
    assert effective_rank > 20, "the features have collapsed"


def test_the_weights_are_those_noted(tmp_path):
    content = WEIGHTS.read_bytes()
    assert len(content) < 1_000_000
    assert hashlib.sha256(content).hexdigest() == json.loads(FACTS.read_text())["sha256"]
    other = tmp_path / "teacher.safetensors"
    other.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(tokzoo.TokzooError, match=r"is not the file noted in teacher\.json; reinstall tokzoo"):
        load_network(other)


def test_the_script_gives_the_same_weights_each_time_and_needs_no_label(splits, tmp_path, monkeypatch):
    """From a dataset that has no labels, and again from one that has them."""
    images = ((splits["train"][0][:256] + 1) * 127.5).round().to(torch.uint8)
    made = []
    for labels in (None, torch.arange(256), torch.zeros(256, dtype=torch.int64)):
        dataset = SimpleNamespace(train=InMemorySplit(images, labels))
        monkeypatch.setattr(script, "load_target", lambda spec, dataset=dataset: lambda config: dataset)
        torch.manual_seed(len(made))
        script.write(script.train(script.load_images(), 1), tmp_path)
        made.append((tmp_path / "teacher.safetensors").read_bytes())
    assert made[0] == made[1] == made[2]
    monkeypatch.setattr(teacher_module, "FACTS", tmp_path / "teacher.json")
    fresh = load_network(tmp_path / "teacher.safetensors")
    assert len(fresh.state_dict()) > 20


@pytest.mark.slow
def test_the_script_makes_the_weights_that_come_along(teacher, splits, features, tmp_path):
    """On the torch and the kind of processor they were made with to the last bit; elsewhere as good a teacher."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network = script.train(script.load_images(), script.EPOCHS)
    finally:
        torch.set_num_threads(threads)
    labels = splits["train"][1], splits["val"][1]
    with torch.no_grad():
        pooled = [
            torch.cat([network(part).mean(dim=(2, 3)) for part in splits[name][0].split(500)])
            for name in ("train", "val")
        ]
    shipped = linear_accuracy(features["train"].mean(dim=1), labels[0], features["val"].mean(dim=1), labels[1])
    assert linear_accuracy(pooled[0], labels[0], pooled[1], labels[1]) == pytest.approx(shipped, abs=0.01)
    script.write(network, tmp_path)
    made, noted = json.loads((tmp_path / "teacher.json").read_text()), json.loads(FACTS.read_text())
    if made["made_with"] == noted["made_with"]:
        assert made["sha256"] == noted["sha256"], "same torch and processor, other weights"


def test_registration_is_sound():
    for spec in tokzoo_components():
        spec.check()
