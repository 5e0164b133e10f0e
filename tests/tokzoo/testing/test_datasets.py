"""The checks of datasets beside the planted faults: what passes, what is tried with what, what is not tried."""

import importlib
import os
import re
import sys

import numpy as np
import pytest
from kit import Kit
from PIL import Image

from tokzoo.registry.catalogue import Catalogue, Entry
from tokzoo.registry.component import ComponentSpec
from tokzoo.testing import datasets
from tokzoo.testing.subject import CannotBuild, Subject

KIT = Kit("dataset")


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


@pytest.mark.parametrize("check", KIT.checks)
@pytest.mark.parametrize("name", ["images", "live-images"])
def test_pictures_without_labels_pass(name, check, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("TOKZOO_CACHE", str(tmp_path))
    KIT.run(check, KIT.subject(name, root=pictures, size=16, labels=False))


def test_missing_files_are_no_fault(tmp_path):
    for check in datasets.CHECKS:
        if check.__name__ != "crops_are_cut_as_asked":
            with pytest.raises(CannotBuild, match="no such folder"):
                KIT.run(check.__name__, KIT.subject("images", root=str(tmp_path / "none")))


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
        KIT.run("fingerprint_needs_no_torch", tested)
        return
    with pytest.raises(AssertionError, match=re.escape(words)):
        KIT.run("fingerprint_needs_no_torch", tested)
