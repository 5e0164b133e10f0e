"""An AR model that learns codes made in the step they are learned."""

import pytest
import torch

from tokzoo.data.augment import flip
from tokzoo.data.config import Augmentation
from tokzoo.data.pixels import to_unit
from tokzoo.data.split import InMemorySplit
from tokzoo.recipes.models import Probe
from tokzoo.recipes.optimization import Optimization
from tokzoo.recipes.resolve import resolve_recipe
from tokzoo.recipes.tree import Tree
from tokzoo.training.ar import LiveARTask
from tokzoo.training.loop import Interrupted, RunContext, Trainer

CPU = torch.device("cpu")
TRAIN = Optimization(lr=1e-2, precision="bf16")


@pytest.fixture(scope="module")
def probe(tokenizer, catalogue):
    shape = {"use": "gpt", "size": None, "layers": 1, "heads": 2, "width": 8, "ffn_multiple": 8}
    slot = resolve_recipe(Tree.from_data({**tokenizer.recipe.dump(), "ar": shape}, "test"), catalogue).ar
    return Probe(ar=slot, train=TRAIN, steps=20, batch=4)


@pytest.fixture(scope="module")
def numbered(split):
    """The images of the split, each of a class of its own."""
    return InMemorySplit(split.images, split.labels // 2)


def task_of(probe, tokenizer, split, flip=True, seed=0):
    return LiveARTask(probe, tokenizer, split, Augmentation(flip=flip), seed, CPU)


def test_codes_are_of_the_step_s_augmented_images(probe, tokenizer, numbered):
    task = task_of(probe, tokenizer, numbered)
    images = to_unit(numbered.images)
    plain, mirrored = tokenizer.encode(images), tokenizer.encode(flip(images))
    seen = []
    for step in range(14):  # eight epochs of seven images
        torch.manual_seed(step)
        codes, labels = task.codes_of(step)
        assert codes.dtype == torch.int64
        for row, label in zip(codes, labels, strict=True):
            image = int(label)
            assert row.equal(plain[image]) != row.equal(mirrored[image])
            seen.append((image, row.equal(mirrored[image])))
    assert sorted(image for image, _ in seen[:7]) == list(range(7))
    assert {seen.count((image, True)) for image in range(7)} - {0, 8}
    again, other = task_of(probe, tokenizer, numbered), task_of(probe, tokenizer, numbered, seed=1)
    torch.manual_seed(13)
    assert torch.equal(again.codes_of(13)[0], codes)
    assert not torch.equal(other.codes_of(13)[1], labels)


def test_codes_are_exact_whatever_the_training_s_precision(probe, tokenizer, numbered):
    task = task_of(probe, tokenizer, numbered, flip=False)
    with torch.autocast("cpu", torch.bfloat16):
        codes, labels = task.codes_of(0)
    assert torch.equal(codes, tokenizer.encode(to_unit(numbered.images))[labels])


def test_training_leaves_the_tokenizer_alone_and_resumes(probe, tokenizer, numbered, tmp_path):
    before = {name: tensor.clone() for name, tensor in tokenizer.state_dict().items()}

    def train(folder, stop=False):
        task = task_of(probe, tokenizer, numbered)
        context = RunContext(tmp_path / folder, CPU, stopping=lambda: stop)
        Trainer(task, TRAIN, probe, 0, context).run()
        return task.module.state_dict()

    whole = train("whole")
    with pytest.raises(Interrupted):
        train("parts", stop=True)
    resumed = train("parts")
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
    assert all(torch.equal(tensor, before[name]) for name, tensor in tokenizer.state_dict().items())
    assert not tokenizer.training
