import gzip
import json
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import tokzoo
from tokzoo_data.configs import FashionConfig
from tokzoo_data.fashion import arrays, make
from tokzoo_data.fashion.dataset import Fashion
from tokzoo_data.idx import read_idx


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_originals(folder, compress=False, per_class=(7, 4)):
    """Four tiny files in the original format; returns what they hold."""
    rng = np.random.default_rng(0)
    splits = {}
    for split, count in zip(arrays.SPLITS, per_class, strict=True):
        labels = rng.permutation(np.repeat(np.arange(10, dtype=np.uint8), count))
        images = rng.integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
        splits[split] = (images, labels)
        for name, array in zip(arrays.ORIGINALS[split], splits[split], strict=True):
            if compress:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                (folder / name).write_bytes(idx(array))
    return splits


def test_embedded_subset():
    start = time.perf_counter()
    dataset = Fashion(FashionConfig())
    assert time.perf_counter() - start < 3  # 0.3 s when nothing else runs
    spec = dataset.config.image_spec()
    for split, count in ((dataset.train, 12000), (dataset.val, 2000)):
        assert split.images.shape == (count, spec.channels, *spec.size) == (count, 1, 32, 32)
        assert split.images.dtype == torch.uint8
        assert split.labels.view(-1, 10).eq(torch.arange(10)).all()  # classes take turns
        assert split.images[..., 2:-2, 2:-2].float().mean() > 60
        frame = torch.ones(32, 32, dtype=torch.bool)
        frame[2:-2, 2:-2] = False
        assert split.images[..., frame].eq(0).all()
    assert len(dataset.config.class_names()) == 10
    images, labels = dataset.val.batch(torch.tensor([3, 11]))
    assert images.shape == (2, 1, 32, 32)
    assert labels.tolist() == [3, 1]


def test_labels_mean_what_their_names_say():
    # Mean ink tells trousers (narrow) from pullovers and coats, and shoes stay in the lower half.
    dataset = Fashion(FashionConfig())
    names = FashionConfig().class_names()
    mean = {name: dataset.val.images[dataset.val.labels == i, 0].float().mean(0) for i, name in enumerate(names)}
    assert mean["Trouser"][24:, 15:17].mean() < 0.5 * mean["Trouser"][24:, 12:14].mean()  # the gap between the legs
    assert mean["Pullover"].mean() > 1.5 * mean["Trouser"].mean()
    for shoe in ("Sandal", "Sneaker"):
        assert mean[shoe][:10].mean() < 0.2 * mean[shoe][12:26].mean()
    assert mean["Ankle boot"][2:8].mean() > 10 * mean["Sneaker"][2:8].mean()


def test_noted_fingerprint_is_that_of_the_content():
    splits = {split: arrays.read_embedded(split) for split in arrays.SPLITS}
    assert FashionConfig().fingerprint() == arrays.content_hash(splits)
    images, labels = splits["val"]
    changed = images.copy()
    changed[-1, -1, -1] ^= 1
    assert arrays.content_hash(splits | {"val": (changed, labels)}) != FashionConfig().fingerprint()
    assert arrays.content_hash(splits | {"val": (images, labels[::-1])}) != FashionConfig().fingerprint()


def test_no_image_is_in_both_splits():
    train, val = ({image.tobytes() for image in arrays.read_embedded(split)[0]} for split in arrays.SPLITS)
    assert len(val) == 2000
    assert not train & val


@pytest.mark.parametrize("compress", [False, True])
def test_originals(tmp_path, compress):
    splits = write_originals(tmp_path, compress)
    dataset = Fashion(FashionConfig(root=tmp_path))
    for name, split in (("train", dataset.train), ("val", dataset.val)):
        images, labels = splits[name]
        assert np.array_equal(split.images[:, 0, 2:-2, 2:-2].numpy(), images)
        assert split.images.shape[1:] == (1, 32, 32)
        assert split.labels.tolist() == labels.tolist()


def test_fingerprint_of_originals_is_that_of_their_content(tmp_path):
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    for folder in (plain, packed):
        folder.mkdir()
        splits = write_originals(folder, compress=folder is packed)
    fingerprint = FashionConfig(root=plain).fingerprint()
    assert fingerprint == FashionConfig(root=packed).fingerprint() == arrays.content_hash(splits)
    images = splits["train"][0].copy()
    images[0, 0, 0] ^= 1
    (plain / "train-images-idx3-ubyte").write_bytes(idx(images))
    assert FashionConfig(root=plain).fingerprint() != fingerprint


def test_missing_file_is_named(tmp_path):
    write_originals(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    config = FashionConfig(root=tmp_path)
    for action in (config.fingerprint, lambda: Fashion(config)):
        with pytest.raises(tokzoo.TokzooError, match=r"neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte\.gz"):
            action()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-labels-idx1-ubyte", idx(np.zeros(3, np.uint8)), "not Fashion-MNIST's"),
        ("train-labels-idx1-ubyte", idx(np.full(70, 10, np.uint8)), "not Fashion-MNIST's"),
        ("train-images-idx3-ubyte", idx(np.zeros((70, 32, 32), np.uint8)), "not Fashion-MNIST's"),
        ("train-images-idx3-ubyte", idx(np.zeros((70, 28, 28), np.uint8))[:-5], "should hold 54880 bytes"),
        ("train-images-idx3-ubyte", b"\0\0", "not a whole idx file"),
        ("train-images-idx3-ubyte", b"PK\3\4" + bytes(100), "no idx file"),
    ],
)
def test_wrong_files_are_refused(tmp_path, name, content, message):
    write_originals(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(tokzoo.TokzooError, match=message):
        FashionConfig(root=tmp_path).fingerprint()


def test_files_that_changed_after_their_fingerprint_was_taken_are_refused(tmp_path, monkeypatch):
    write_originals(tmp_path)
    config = FashionConfig(root=tmp_path)
    before = config.fingerprint()
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    monkeypatch.setattr(FashionConfig, "fingerprint", lambda config: before)
    with pytest.raises(tokzoo.TokzooError, match=rf"files in {tmp_path} are not what their fingerprint says"):
        Fashion(config)


def test_a_small_archive_that_stands_for_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tokzoo_data.idx.LARGEST_BYTES", 500)
    (tmp_path / "x.gz").write_bytes(gzip.compress(idx(np.zeros(1000, np.uint8))))
    with pytest.raises(tokzoo.TokzooError, match=r"x\.gz holds more than 500 bytes"):
        read_idx(tmp_path / "x.gz")


def test_damaged_gzip(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(idx(np.zeros(1000, np.uint8)))[:-9])
    with pytest.raises(tokzoo.TokzooError, match=r"not a whole idx file .*; fetch it again"):
        read_idx(path)


def test_choice_is_balanced_in_turns_and_in_order():
    labels = np.random.default_rng(1).integers(0, 10, 500).astype(np.uint8)
    chosen = make.choose(labels, 20, "salt")
    assert labels[chosen].tolist() == list(range(10)) * 20
    assert len(set(chosen.tolist())) == 200
    assert (np.diff(chosen.reshape(20, 10), axis=0) > 0).all()
    assert not np.array_equal(chosen, make.choose(labels, 20, "other salt"))
    with pytest.raises(ValueError, match="fewer than"):
        make.choose(labels, 100, "salt")


def test_making_the_subset_again_gives_the_same_bytes(tmp_path):
    folders = [tmp_path / name for name in ("originals", "one", "two")]
    for folder in folders:
        folder.mkdir()
    originals = write_originals(folders[0], compress=True)
    for folder in folders[1:]:
        make.make(folders[0], folder, {"train": 5, "val": 2})
    for name in ("train.npz", "val.npz", "content.json"):
        assert (folders[1] / name).read_bytes() == (folders[2] / name).read_bytes()
    with np.load(folders[1] / "train.npz") as file:
        images, labels = file["images"], file["labels"]
    assert labels.tolist() == list(range(10)) * 5
    known = {image.tobytes(): label for image, label in zip(*originals["train"], strict=True)}
    assert [known[image.tobytes()] for image in images] == labels.tolist()
    noted = json.loads((folders[1] / "content.json").read_text())["fingerprint"]
    splits = {split: make.subset(originals[split], split, count) for split, count in (("train", 5), ("val", 2))}
    assert noted == arrays.content_hash(splits)


def test_answers_need_no_torch():
    code = (
        "import sys, tokzoo_data.plugin as p\nfrom tokzoo.registry.component import load_config\n"
        "spec = p.tokzoo_components()[0]; spec.check(); c = load_config(spec)()\n"
        "assert p.tokzoo_tracks().name == 'tracks'\n"
        "assert len(c.fingerprint()) == 64 and c.class_names() and c.image_spec()\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
