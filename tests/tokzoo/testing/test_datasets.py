"""The checks of datasets: each planted fault fails the one meant for it, and good datasets pass all."""

import importlib
import os
import re
import sys

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tokzoo.registry.catalogue import Catalogue, Entry
from tokzoo.registry.component import ComponentSpec
from tokzoo.registry.plugins import load_registry
from tokzoo.testing import datasets
from tokzoo.testing.conformance import checks_for, run_check
from tokzoo.testing.subject import CannotBuild, Subject

FILE = ROOT / "tests" / "data" / "plugins" / "faulty_judges.py"
REGISTRY = load_registry([FILE])
CHECKS = {check.__name__: check for check in checks_for("dataset")}

FAULTS = {
    "faulty/float-images": ("images_are_as_promised", "images of 'train' are torch.float32 (64, 1, 8, 8) on cpu"),
    "faulty/images-of-another-size": (
        "images_are_as_promised",
        "(64, 1, 8, 7) on cpu, promised torch.uint8 (64, 1, 8, 8)",
    ),
    "faulty/empty-split": ("images_are_as_promised", "the split 'val' is empty"),
    "faulty/one-class-too-many": ("labels_are_classes", "labels of 'train' from 1 to 3, of 3 classes"),
    "faulty/small-labels": ("labels_are_classes", "labels of 'train' are torch.int32 (64,), not torch.int64 (64,)"),
    "faulty/labels-without-names": ("labels_are_classes", "has labels, and class_names gives None"),
    "faulty/listed-names": ("labels_are_classes", "not a tuple of names"),
    "faulty/sorts-what-is-asked": ("any_order_gives_the_same_images", "images of 'train', asked backwards"),
    "faulty/augments-itself": ("any_order_gives_the_same_images", "reading images draws from torch's global generator"),
    "faulty/judged-by-what-is-learned": ("splits_differ", "every image of val is an image of train"),
    "faulty/restless-fingerprint": ("fingerprint_is_stable", "it must be a hash of the content alone"),
    "faulty/number-for-a-fingerprint": ("fingerprint_is_stable", "fingerprint gives 7, not text"),
    "faulty/crops-from-one-corner": ("crops_are_cut_as_asked", "from the first corner and the last are the same"),
    "faulty/crops-too-large": ("crops_are_cut_as_asked", "are torch.uint8 (8, 1, 5, 5), not torch.uint8 (8, 1, 4, 4)"),
}
"""The check meant for each planted fault, and words of what it says."""


def subject(name, **fields):
    entry = REGISTRY.components.get("dataset", name)
    return Subject.of(entry, REGISTRY.components, fields or None, files=(FILE,))


def test_every_planted_fault_is_listed():
    names = {entry.spec.name for entry in REGISTRY.components.of_kind("dataset")}
    planted = {name for name in names if name.startswith("faulty/") and not name.startswith("faulty/good-")}
    assert planted == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_the_check_meant_for_it(name):
    check, words = FAULTS[name]
    with pytest.raises(AssertionError, match=re.escape(words)):
        run_check(CHECKS[check], subject(name))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ["dataset"])
def test_good_ones_pass(name, check):
    run_check(CHECKS[check], subject(f"faulty/good-{name}"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Folders of small pictures, in two classes."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                picture = Image.fromarray(random.integers(0, 256, (20 + number, 24, 3), dtype=np.uint8))
                picture.save(root / split / name / f"{number}.png")
    return str(root)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ["images", "live-images"])
@pytest.mark.parametrize("labels", [True, False])
def test_pictures_in_folders_pass(name, labels, check, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("TOKZOO_CACHE", str(tmp_path))
    run_check(CHECKS[check], subject(name, root=pictures, size=16, labels=labels))


def test_missing_files_are_no_fault(tmp_path):
    for check in datasets.CHECKS:
        if check.__name__ != "crops_are_cut_as_asked":
            with pytest.raises(CannotBuild, match="no such folder"):
                run_check(check, subject("images", root=str(tmp_path / "none")))


HEAVY = """
import os
import tokzoo

class HeavyConfig(tokzoo.DatasetConfig):
    def image_spec(self):
        return tokzoo.ImageSpec(1, (8, 8))

    def class_names(self):
        return None

    def fingerprint(self):
        {body}
"""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return '7'", None),
        ("import torch; return '7'", "fingerprint imports ['torch']"),
        ("return str(os.getpid())", "in another process"),
        ("return '7' if 'torch' in __import__('sys').modules else 1 / 0", "raises in a fresh process"),
    ],
)
def test_a_fingerprint_is_asked_in_another_process(body, words, tmp_path, monkeypatch):
    (tmp_path / "heavy_dataset.py").write_text(HEAVY.format(body=body), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delitem(sys.modules, "heavy_dataset", raising=False)
    config = importlib.import_module("heavy_dataset").HeavyConfig
    entry = Entry(ComponentSpec("dataset", "heavy", config, "heavy_dataset:Heavy", "slow to identify"), "test")
    known = Catalogue()
    known.add(entry)
    tested = Subject.of(entry, known)
    if words is None:
        run_check(CHECKS["fingerprint_needs_no_torch"], tested)
        return
    with pytest.raises(AssertionError, match=re.escape(words)):
        run_check(CHECKS["fingerprint_needs_no_torch"], tested)
