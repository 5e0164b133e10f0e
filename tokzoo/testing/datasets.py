"""What a dataset keeps to: its images and labels are as its config says, in whatever order they are asked for."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import torch
from torch import Tensor

from tokzoo.contracts.configs import DatasetConfig
from tokzoo.contracts.errors import Broken, TokzooError
from tokzoo.contracts.interfaces import Crops, Dataset, Split
from tokzoo.contracts.specs import CROPS, ImageSpec
from tokzoo.testing.asserting import assert_same
from tokzoo.testing.subject import CannotBuild, Subject

LOOKED_AT = 64
"""Images of a split that are looked at."""

SECONDS = 300
"""How long a fingerprint may take in a process of its own before it counts as stuck."""

FINGERPRINT = """
import importlib, sys
module, name, fields = sys.argv[1:]
config = importlib.import_module(module)
for part in name.split("."):
    config = getattr(config, part)
print(config.model_validate_json(fields).fingerprint())
print([name for name in ("torch", "tensorflow", "jax") if name in sys.modules])
"""


def _config(subject: Subject) -> DatasetConfig:
    return cast(DatasetConfig, subject.config)


def _answer(question: Callable[[], Any]) -> Any:
    """What the config answers.

    Raises:
        CannotBuild: its files are not here.
    """
    try:
        return question()
    except Broken:
        raise
    except TokzooError as error:
        raise CannotBuild(str(error)) from error


def _splits(subject: Subject) -> Iterator[tuple[str, Split]]:
    dataset: Dataset = subject.build()
    for name in ("train", "val"):
        assert hasattr(dataset, name), f"has no split {name!r}"
        split: Split = getattr(dataset, name)
        assert len(split) > 0, f"the split {name!r} is empty"
        yield name, split


def _some(split: Split) -> Tensor:
    """Indices spread over a split, in order."""
    length = len(split)
    count = min(length, LOOKED_AT)
    return torch.arange(count) * length // count


def images_are_as_promised(subject: Subject) -> None:
    """Both splits hold images uint8 ``[B, C, H, W]`` on the CPU, of the shape ``image_spec`` gives."""
    image = _answer(_config(subject).image_spec)
    assert isinstance(image, ImageSpec), f"image_spec gives {image!r}, not an ImageSpec"
    for name, split in _splits(subject):
        indices = _some(split)
        images, _ = split.batch(indices)
        wanted = f"torch.uint8 {(len(indices), image.channels, *image.size)} on cpu"
        found = f"{images.dtype} {tuple(images.shape)} on {images.device}"
        assert found == wanted, f"images of {name!r} are {found}, promised {wanted}"


def labels_are_classes(subject: Subject) -> None:
    """Labels are int64 ``[B]``, each the place of a name in ``class_names``; None where there are no classes."""
    names = _answer(_config(subject).class_names)
    if names is not None:
        right = isinstance(names, tuple) and all(isinstance(name, str) for name in names)
        assert right, f"class_names gives {names!r:.80}, not a tuple of names"
        assert len(names) == len(set(names)), "two classes have the same name"
    for name, split in _splits(subject):
        indices = _some(split)
        _, labels = split.batch(indices)
        if names is None:
            assert labels is None, f"the split {name!r} has labels, and class_names gives None"
            continue
        assert labels is not None, f"the split {name!r} has no labels, and there are {len(names)} classes"
        found, wanted = f"{labels.dtype} {tuple(labels.shape)}", f"torch.int64 ({len(indices)},)"
        assert found == wanted, f"labels of {name!r} are {found}, not {wanted}"
        low, high = int(labels.min()), int(labels.max())
        assert 0 <= low <= high < len(names), f"labels of {name!r} from {low} to {high}, of {len(names)} classes"


def any_order_gives_the_same_images(subject: Subject) -> None:
    """An index stands for one image and its label, in whatever batch and order, and however often it is asked for."""
    for name, split in _splits(subject):
        indices = _some(split)
        asked = indices.clone()
        state = torch.get_rng_state()
        images, labels = split.batch(asked)
        assert torch.equal(asked, indices), "batch writes into the indices it is given"
        order = torch.arange(len(indices)).flip(0)
        for what, rows in (("backwards", order), ("one alone", order[:1]), ("one twice", order[:1].repeat(2))):
            again, their_labels = split.batch(indices[rows])
            assert_same(again, images[rows], f"images of {name!r}, asked {what}")
            if labels is not None and their_labels is not None:
                assert_same(their_labels, labels[rows], f"labels of {name!r}, asked {what}")
        assert torch.equal(torch.get_rng_state(), state), "reading images draws from torch's global generator"


def splits_differ(subject: Subject) -> None:
    """What is judged by is not what is learned from: not all images looked at of ``val`` are in ``train``."""
    splits = dict(_splits(subject))
    train, val = splits["train"], splits["val"]
    # The whole of train, where it is small; else the places where a copy of val would have them.
    indices = torch.arange(len(train)) if len(train) <= 4 * LOOKED_AT else _some(train)
    known = _hashes(train, indices)
    same = len(train) == len(val) or len(train) <= 4 * LOOKED_AT
    judged = _hashes(val, _some(val))
    assert not (same and judged <= known), "every image of val is an image of train: nothing is held out"


def _hashes(split: Split, indices: Tensor) -> set[str]:
    images, _ = split.batch(indices)
    return {hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest() for image in images}


def fingerprint_is_stable(subject: Subject) -> None:
    """``fingerprint`` is text, and the same again, of an equal config, and after the dataset was read."""
    config = _config(subject)
    found = _answer(config.fingerprint)
    assert isinstance(found, str), f"fingerprint gives {found!r}, not text"
    assert found, "fingerprint is empty"
    fields = {name: getattr(config, name) for name in type(config).model_fields}
    equal = type(config).model_validate(fields)
    for _, split in _splits(subject):
        split.batch(_some(split)[:1])
    for again in (config.fingerprint(), equal.fingerprint()):
        assert again == found, f"fingerprint gives {again} after {found}: it must be a hash of the content alone"


def fingerprint_needs_no_torch(subject: Subject) -> None:
    """In a process of its own the fingerprint is the same, and imports no torch: a finished run is found at once."""
    config = _config(subject)
    if not subject.slot.entry.source.distribution or subject.slot.parts():
        return  # a file plugin may import torch; a component within is found by the catalogue alone
    found = _answer(config.fingerprint)
    command = [sys.executable, "-c", FINGERPRINT, type(config).__module__, type(config).__qualname__]
    command.append(config.model_dump_json())
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, f"fingerprint raises in a fresh process: {done.stderr.strip().splitlines()[-1:]}"
    again, heavy = done.stdout.strip().splitlines()[-2:]
    assert again == found, f"fingerprint gives {again} in another process and {found} in this one"
    assert heavy == "[]", f"fingerprint imports {heavy}"


def crops_are_cut_as_asked(subject: Subject) -> None:
    """Where ``"crops"`` is provided: uint8 squares of the size asked for, from where they are asked for."""
    config = _config(subject)
    if CROPS not in config.provides:
        return
    image = _answer(config.image_spec)
    size = max(min(image.size) // 2, 1)
    for name, split in _splits(subject):
        indices = _some(split)[:8]
        count = len(indices)
        _, wanted = split.batch(indices)

        def cut(at: float, rows: Tensor, split: Split = split) -> tuple[Tensor, Tensor | None]:
            places = torch.full((len(rows), 2), at, dtype=torch.float64)
            return split.crop(rows, Crops(size, torch.full((len(rows),), 2 * size), places))

        first, labels = cut(0.0, indices)
        found, shape = f"{first.dtype} {tuple(first.shape)}", f"torch.uint8 {(count, image.channels, size, size)}"
        assert found == shape, f"crops of {name!r} are {found}, not {shape}"
        if wanted is not None:
            assert labels is not None, f"crops of {name!r} have no labels, and images have"
            assert_same(labels, wanted, f"labels of crops of {name!r}")
        alone, _ = cut(0.0, indices[-1:])
        assert_same(alone, first[-1:], f"a crop of {name!r} asked alone")
        with ThreadPoolExecutor(1) as pool:
            elsewhere, _ = pool.submit(cut, 0.0, indices).result()
        assert_same(elsewhere, first, f"crops of {name!r} asked from another thread")
        last, _ = cut(1.0, indices)
        assert not torch.equal(last, first), f"crops of {name!r} from the first corner and the last are the same"


CHECKS = (
    images_are_as_promised,
    labels_are_classes,
    any_order_gives_the_same_images,
    splits_differ,
    fingerprint_is_stable,
    fingerprint_needs_no_torch,
    crops_are_cut_as_asked,
)
