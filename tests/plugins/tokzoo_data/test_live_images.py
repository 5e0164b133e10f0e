import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

import tokzoo
from tests.conftest import RECIPES
from tokzoo.bench.cache import StageCache
from tokzoo.bench.cell import make_cell
from tokzoo.bench.stages import stages_of
from tokzoo.bench.workbench import Workbench, run_stage
from tokzoo.data.batches import Batches
from tokzoo.data.codes import CodeSet
from tokzoo.data.config import Augmentation, RandomCrop
from tokzoo.data.crops import random_crops
from tokzoo.data.cutting import Square, cut_square
from tokzoo.data.feed import DeviceFeed, training_batches
from tokzoo.data.run_folder import RunFolder
from tokzoo.recipes.load import Changes, load_recipe, load_track
from tokzoo.registry.plugins import load_registry
from tokzoo_data.configs import LiveImagesConfig
from tokzoo_data.fashion.arrays import read_embedded
from tokzoo_data.live import folders, shards
from tokzoo_data.live.dataset import LiveImages

CLASSES = ("bag", "coat", "shoe")
GREY = read_embedded("val")[0]
TRAIN, VAL = range(20), range(20, 26)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKZOO_CACHE", str(tmp_path / "cache"))


def picture(number):
    """A real image of a size and mode that its number decides, in the bytes of a file, with its extension."""
    size = (20 + 17 * number % 61, 20 + 31 * number % 47)
    made = Image.fromarray(GREY[number]).resize(size, Image.Resampling.BICUBIC)
    mode = ("L", "RGB", "RGBA", "P", "CMYK")[number % 5]
    made = made.convert("RGB").convert(mode)
    form = "PNG" if mode in ("RGBA", "P") else "JPEG"
    content = io.BytesIO()
    made.save(content, form)
    return content.getvalue(), "png" if form == "PNG" else "JPEG"


def write_folder(root, age=True):
    for split, numbers in (("train", TRAIN), ("val", VAL)):
        for number in numbers:
            content, extension = picture(number)
            path = root / split / CLASSES[number % 3] / f"{number}.{extension}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    if age:
        grow_old(root)
    return root


def grow_old(root):
    """What was changed just now could change again unseen, and is not remembered."""
    for path in (root, *root.rglob("*")):
        os.utime(path, (time.time() - 60,) * 2)


def add(file, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    file.addfile(member, io.BytesIO(content))


def write_shards(root, extra=(), skip=(), per_shard=7):
    root.mkdir(parents=True, exist_ok=True)
    for split, numbers in (("train", TRAIN), ("val", VAL)):
        for start in range(0, len(numbers), per_shard):
            with tarfile.open(root / f"{split}-{start // per_shard:06}.tar", "w") as file:
                for number in numbers[start : start + per_shard]:
                    content, extension = picture(number)
                    for name, part in (("cls", b"%d\n" % (number % 3)), ("json", b"{}"), (extension.lower(), content)):
                        if f"{number}.{name}" not in skip:
                            add(file, f"some/{number}.{name}", part)
                for name, content in extra:
                    add(file, name, content)
    return root


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "folder")


@pytest.fixture
def packed(tmp_path):
    return write_shards(tmp_path / "shards")


def config_of(root, **fields):
    return LiveImagesConfig(root=root, size=16, **fields)


def contents(split, labelled=True):
    images, labels = split.batch(torch.arange(len(split)))
    labels = labels.tolist() if labelled else [None] * len(images)
    return sorted((image.numpy().tobytes(), label) for image, label in zip(images, labels, strict=True))


@pytest.mark.parametrize("channels", [1, 3])
def test_folders_and_shards_hold_the_same_images(folder, packed, channels):
    for split, numbers in (("train", TRAIN), ("val", VAL)):
        squares = [cut_square(picture(n)[0], "x", channels, Square(16, 16, 0.5, 0.5)) for n in numbers]
        expected = sorted((square.tobytes(), n % 3) for square, n in zip(squares, numbers, strict=True))
        for root in (folder, packed):
            config = config_of(root, channels=channels)
            made = getattr(LiveImages(config), split)
            assert contents(made) == expected
            images, labels = made.batch(torch.tensor([2, 0, 2]))
            assert images.dtype == torch.uint8
            assert images.shape == (3, channels, 16, 16)
            assert torch.equal(images[0], images[2])
            assert labels.dtype == torch.int64
            assert config.image_spec() == tokzoo.ImageSpec(channels, (16, 16))
    assert config_of(folder).class_names() == CLASSES
    assert config_of(packed).class_names() == ("0", "1", "2")


def test_a_folder_s_classes_are_mixed(folder):
    labels = LiveImages(config_of(folder)).train.labels
    assert len(labels[:8].unique()) == 3


def test_without_labels(folder, packed):
    for path in folder.glob("*/*/*"):
        path.rename(path.parent.parent / path.name)
    for root in (folder, packed):
        config = config_of(root, labels=False)
        dataset = LiveImages(config)
        assert config.class_names() is None
        assert dataset.train.batch(torch.tensor([0]))[1] is None
        assert (len(dataset.train), len(dataset.val)) == (20, 6)
    with pytest.raises(tokzoo.TokzooError, match=r"track.dataset.labels=false"):
        config_of(folder).class_names()
    write_shards(packed, skip=[f"{n}.cls" for n in range(30)])
    assert len(LiveImages(config_of(packed, labels=False)).train) == 20


@pytest.mark.parametrize("crop", [None, RandomCrop(smallest=0.7)])
def test_training_sees_the_same_crops_from_any_step(folder, crop):
    def walk(steps):
        feed = DeviceFeed(LiveImages(config_of(folder)).train, "cpu")
        ahead = training_batches(feed, Batches(20, 8, seed=1), Augmentation(crop=crop), 16, 6)
        return {step: ahead.batch(step) for step in steps}

    whole, resumed = walk(range(6)), walk(range(3, 6))
    for step in resumed:
        for one, other in zip(whole[step], resumed[step], strict=True):
            assert torch.equal(one, other)
    seen = torch.cat([images for images, _ in whole.values()])[:40]
    distinct = {image.numpy().tobytes() for image in seen}
    assert len(distinct) == 20 if crop is None else len(distinct) > 30


def test_crops_are_cut_from_their_own_picture(folder):
    split = LiveImages(config_of(folder)).train
    indices, crops = torch.tensor([5, 1, 5]), random_crops(RandomCrop(smallest=0.5), 3, 12, seed=0)
    images, labels = split.crop(indices, crops)
    for row, index in enumerate(indices.tolist()):
        square = Square(12, int(crops.short[row]), *crops.at[row].tolist())
        assert np.array_equal(images[row].numpy(), cut_square(split.files.read(index), "x", 3, square))
        assert labels[row] == split.labels[index]


def test_the_fingerprint_is_of_names_sizes_labels_and_pixels(folder, packed, tmp_path):
    for root, write in ((folder, write_folder), (packed, write_shards)):
        base = config_of(root).fingerprint()
        moved = tmp_path / f"moved-{root.name}"
        write(moved)
        assert config_of(moved).fingerprint() == base
        others = [
            config_of(root, channels=1),
            LiveImagesConfig(root=root, size=17),
            config_of(root, labels=False),
        ]
        assert len({base, *(other.fingerprint() for other in others)}) == 4
    base = config_of(folder).fingerprint()
    (folder / "val" / "bag" / "more.png").write_bytes(picture(2)[0])
    more = config_of(folder).fingerprint()
    (folder / "val" / "bag" / "more.png").rename(folder / "val" / "shoe" / "more.png")
    assert len({base, more, config_of(folder).fingerprint()}) == 3
    base = config_of(packed).fingerprint()
    write_shards(packed, per_shard=6)
    assert config_of(packed).fingerprint() != base


def test_files_are_looked_at_once(folder, packed, monkeypatch):
    grow_old(packed)
    configs = [config_of(folder), config_of(packed)]
    found = [(config.fingerprint(), config.class_names()) for config in configs]
    images = [contents(LiveImages(config).train) for config in configs]
    monkeypatch.setattr(folders, "_find", None)
    monkeypatch.setattr(shards, "_find", None)
    assert [(config.fingerprint(), config.class_names()) for config in configs] == found
    assert [contents(LiveImages(config).train) for config in configs] == images


def test_added_and_removed_files_are_noticed(folder, packed):
    grow_old(packed)
    assert len(LiveImages(config_of(folder)).train) == len(LiveImages(config_of(packed)).train) == 20
    next((folder / "train" / "coat").iterdir()).unlink()
    assert len(LiveImages(config_of(folder)).train) == 19
    (folder / "train" / "zebra").mkdir()
    (folder / "train" / "zebra" / "a.png").write_bytes(picture(2)[0])
    assert len(LiveImages(config_of(folder)).train) == 20
    assert config_of(folder).class_names() == (*CLASSES, "zebra")
    (packed / "train-000002.tar").unlink()
    assert len(LiveImages(config_of(packed)).train) == 14


def test_a_damaged_listing_is_made_anew(folder, tmp_path):
    before = config_of(folder).fingerprint()
    kept = list((tmp_path / "cache").rglob("*.npz"))
    assert len(kept) == 2
    for path in kept:
        path.write_bytes(path.read_bytes()[:100])
    assert config_of(folder).fingerprint() == before


def test_val_may_have_fewer_classes(folder):
    shutil.rmtree(folder / "val" / "bag")
    dataset = LiveImages(config_of(folder))
    assert sorted(dataset.val.labels.unique().tolist()) == [1, 2]
    assert dataset.config.class_names() == CLASSES
    (folder / "val" / "coat").rename(folder / "val" / "boot")
    with pytest.raises(tokzoo.TokzooError, match="boot"):
        config_of(folder).class_names()


def test_ranges_of_shards(packed):
    base = config_of(packed)
    named = config_of(packed, train="train-{000000..000002}.tar", val="val-000000.tar")
    assert named.fingerprint() == base.fingerprint()
    assert len(LiveImages(config_of(packed, train="train-{000001..000002}.tar")).train) == 13
    for wrong in ("train-{2..1}.tar", "train-{000000-000002}.tar", f"train-{{0..{'9' * 5000}}}.tar", "x-{-3..1}.tar"):
        with pytest.raises(tokzoo.TokzooError, match="range of numbers"):
            config_of(packed, train=wrong).fingerprint()


def test_ranges_and_numbers_beyond_all_sense(packed):
    with pytest.raises(tokzoo.TokzooError, match="stands for 1,000,000,000 shards, and a split may have 100,000"):
        config_of(packed, train="train-{000000..999999999}.tar").fingerprint()
    (packed / f"train-{'9' * 200}.tar").touch()
    with pytest.raises(tokzoo.TokzooError, match=r"train-000003…, train-000004…, train-000005… and 9+3 more shards"):
        config_of(packed).fingerprint()


def test_missing_shards_are_named(packed):
    ask = config_of(packed, train="train-{000000..000009}.tar").fingerprint
    with pytest.raises(tokzoo.TokzooError, match=r"train-000003.tar, train-000004.tar, .* and 4 more shards missing"):
        ask()
    (packed / "train-000001.tar").unlink()
    with pytest.raises(tokzoo.TokzooError, match="train-000001"):
        config_of(packed).fingerprint()


def test_shards_numbered_of_how_many(packed):
    for number in range(3):
        (packed / f"train-00000{number}.tar").rename(packed / f"train-0{number}-of-03.tar")
    assert len(LiveImages(config_of(packed)).train) == 20
    (packed / "train-01-of-03.tar").unlink()
    with pytest.raises(tokzoo.TokzooError, match="train-01"):
        config_of(packed).fingerprint()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"skip": ["3.cls", "4.cls"]}, r"train-000000\.tar: 2 of 7 pictures have no \.cls, such as some/3"),
        ({"extra": [("some/x.cls", b"bag"), ("some/x.jpg", b"")]}, r"some/x\.cls holds b'bag'"),
        ({"extra": [("y.cls", b"1"), ("y.jpg", b""), ("y.png", b"")]}, "y has two pictures"),
        ({"extra": [("y.cls", b"-1"), ("y.jpg", b"")]}, r"y\.cls holds b'-1', not the number"),
        ({"extra": [("y.cls", b"1" + b"0" * 18)]}, r"y\.cls holds 10{18}; labels go up to 1,000,000"),
        ({"extra": [("y.cls", b"9" * 5000)]}, r"y\.cls holds 9{20}; labels go up to"),
        ({"skip": [f"{n}.{e}" for n in range(20) for e in ("png", "jpeg")]}, "holds no picture"),
    ],
)
def test_shards_that_are_wrong(tmp_path, options, said):
    root = write_shards(tmp_path / "wrong", **options)
    with pytest.raises(tokzoo.TokzooError, match=said):
        config_of(root).fingerprint()


def test_shards_that_are_cut_off_or_compressed(packed):
    path = packed / "train-000001.tar"
    content = path.read_bytes()
    path.write_bytes(content[:3000])
    with pytest.raises(tokzoo.TokzooError, match=r"train-000001\.tar: not a whole tar file"):
        config_of(packed).fingerprint()
    with tarfile.open(path, "w:gz") as file:
        add(file, "0.png", picture(2)[0])
    with pytest.raises(tokzoo.TokzooError, match="compressed"):
        config_of(packed).fingerprint()


@pytest.mark.parametrize("at", ["between members", "in a header", "in the data", "damaged"])
def test_a_shard_that_just_ends(packed, at):
    path = packed / "train-000001.tar"
    with tarfile.open(path) as file:
        member = file.getmembers()[3]
    content = bytearray(path.read_bytes())
    if at == "damaged":
        content[member.offset] ^= 1
    else:
        del content[{"between members": member.offset, "in a header": member.offset + 99}.get(at, member.offset_data) :]
    path.write_bytes(content)
    with pytest.raises(tokzoo.TokzooError, match=r"train-000001\.tar: not a whole tar file.*; fetch it again"):
        config_of(packed).fingerprint()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.FIFOTYPE, "pipe"),
    ],
)
def test_members_that_are_no_files_are_refused(packed, kind, said):
    path = packed / "train-000001.tar"
    with tarfile.open(path, "a") as file:
        member = tarfile.TarInfo("some/other.png")
        member.type, member.linkname = kind, "/etc/passwd"
        file.addfile(member)
    with pytest.raises(
        tokzoo.TokzooError, match=rf"train-000001\.tar: some/other\.png is .*{said}; pack the shard anew"
    ):
        config_of(packed).fingerprint()


def test_pipes_are_not_waited_for(folder, packed):
    os.mkfifo(packed / "train-000003.tar")
    with pytest.raises(tokzoo.TokzooError, match=r"train-000003\.tar: .*it is a named pipe, not a file"):
        config_of(packed).fingerprint()
    os.mkfifo(folder / "train" / "bag" / "x.png")
    with pytest.raises(tokzoo.TokzooError, match=r"bag/x\.png: is a named pipe"):
        config_of(folder).fingerprint()


@pytest.mark.parametrize("sharded", [False, True])
def test_what_changed_after_it_was_listed_is_told_and_listed_anew(folder, packed, sharded):
    root = packed if sharded else folder
    grow_old(root)
    before = config_of(root).fingerprint()
    split = LiveImages(config_of(root)).train
    path = root / "train-000000.tar" if sharded else split.files.folder / split.files.path(0)
    times = path.parent.stat()
    # In a folder only another size shows; of a shard its time is known, too.
    path.write_bytes(path.read_bytes() if sharded else picture(1)[0] + b"more")
    os.utime(path.parent, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert sharded or config_of(root).fingerprint() == before
    with pytest.raises(tokzoo.TokzooError, match="has changed since it was listed; run it again"):
        split.batch(torch.arange(len(split)))
    assert (config_of(root).fingerprint() == before) is sharded
    split = LiveImages(config_of(root)).train
    split.batch(torch.arange(len(split)))


def test_a_shard_that_shrinks_later(packed):
    split = LiveImages(config_of(packed)).val
    (packed / "val-000000.tar").write_bytes(b"")
    with pytest.raises(tokzoo.TokzooError, match=r"val-000000\.tar: some/20.* has changed since it was listed"):
        split.batch(torch.tensor([0]))


@pytest.mark.parametrize("sharded", [False, True])
def test_a_corrupt_picture_is_named_when_it_is_read(tmp_path, folder, sharded):
    content = picture(0)[0][:200]
    if sharded:
        root = write_shards(tmp_path / "corrupt", extra=[("bad.jpg", content), ("bad.cls", b"0")])
        name = r"train-00000\d\.tar: bad\.jpg: cannot be decoded"
    else:
        root, name = folder, r"train/bag/bad\.jpg: cannot be decoded"
        (root / "train" / "bag" / "bad.jpg").write_bytes(content)
    split = LiveImages(config_of(root)).train
    with pytest.raises(tokzoo.TokzooError, match=name):
        split.batch(torch.arange(len(split)))
    if not sharded:
        (root / "train" / "bag" / "bad.jpg").unlink()
        with pytest.raises(tokzoo.TokzooError, match=r"bad\.jpg: cannot be read"):
            split.batch(torch.arange(len(split)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda root: None, "root is not given"),
        (shutil.rmtree, "no such folder"),
        (lambda root: shutil.rmtree(root / "val"), "neither a folder val nor shards val-"),
        (lambda root: [path.unlink() for path in (root / "val").glob("*/*")], "holds no picture"),
        (lambda root: (root / "train" / "bag" / "deep").mkdir(), "such as deep"),
        (
            lambda root: [shutil.rmtree(root / split / name) for split in ("train", "val") for name in CLASSES[1:]],
            "one",
        ),
    ],
)
def test_folders_that_are_wrong(folder, change, said):
    change(folder)
    with pytest.raises(tokzoo.TokzooError, match=said):
        config_of(None if said.startswith("root is") else folder).fingerprint()


def test_a_folder_and_shards(folder, packed):
    shutil.copy(packed / "val-000000.tar", folder)
    with pytest.raises(tokzoo.TokzooError, match="one split is a folder"):
        config_of(folder, val="val-000000.tar").fingerprint()


@pytest.mark.parametrize("name", ["train", "val", "classes"])
def test_what_is_expected(folder, name):
    right = {"train": 20, "val": 6, "classes": 3}
    assert config_of(folder, expect=right).class_names() == CLASSES
    with pytest.raises(tokzoo.TokzooError, match=f"{right[name]} in place of {right[name] + 1} \\({name}\\)"):
        config_of(folder, expect={name: right[name] + 1}).class_names()


def test_labels_out_of_what_is_known(tmp_path):
    with pytest.raises(ValidationError):
        LiveImagesConfig(root=tmp_path, expect={"clases": 3})


def test_listing_needs_no_torch(folder):
    script = "import sys; from tokzoo_data.configs import LiveImagesConfig as C; c = C(root=sys.argv[1]); "
    script += "c.fingerprint(); c.class_names(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script, str(folder)], check=True)


@pytest.fixture(scope="module")
def registry():
    return load_registry()


def cell_of(registry, *changes):
    changes = Changes.parse(changes)
    recipe = load_recipe(str(RECIPES / "tiny.yaml"), registry, changes.recipe)
    track = load_track(str(RECIPES / "tiny@1.yaml"), registry, changes.track)
    return make_cell(recipe, track, 0, registry.components)


def test_crops_of_images_of_one_size_are_refused_before_training(registry):
    for wanted in (["track.augment.crop={}"], ["track.probe.codes=ten-crop"]):
        with pytest.raises(tokzoo.Refusal, match="'fashion' holds images of one size"):
            cell_of(registry, *wanted)
    cell_of(registry, "track.probe.codes=live")
    with pytest.raises(tokzoo.TokzooError, match="ten-crop holds mirror images"):
        cell_of(registry, "track.probe.codes=ten-crop", "track.augment.flip=false")


FEW = ["track.tokenizer.steps=8", "track.probe.steps=8", "track.evaluation_batch=10"]
FEW += ["track.metrics=[psnr, ar-loss, ar-probe]", "track.augment.crop={}"]


def dataset_of(root):
    return f"track.dataset={{use: live-images, root: {root}, size: 32, channels: 1}}"


def bench_of(cell, registry, folder):
    """Where the stages of a cell are run, quietly."""
    stages = {stage.name: stage for stage in stages_of(cell)}
    quiet = {"tell": lambda stage, line: None, "report": lambda stage, event: None, "stopping": lambda: False}
    cache = StageCache(RunFolder(folder))
    return Workbench(cell, stages, cache, registry, torch.device("cpu"), 1, 60.0, 1, **quiet)


def test_an_ar_model_learns_ten_crops(registry, packed, tmp_path):
    cell = cell_of(registry, dataset_of(packed), *FEW, "track.probe.codes=ten-crop")
    bench = bench_of(cell, registry, tmp_path)
    stages, cache, done = bench.stages, bench.cache, {}
    for stage in stages.values():
        done[stage.name] = run_stage(bench, stage, {name: done[name].identity for name in stage.upstream})
        assert cache.result(stage) == done[stage.name]
    found = {path.stem: CodeSet.load(path) for path in cache.path(stages["codes"]).glob("*.safetensors")}
    shapes = {name: tuple(codes.codes.shape[:2]) for name, codes in found.items()}
    assert shapes == {"train": (1, 20), "val": (1, 6), "train-ten-crop": (10, 20)}
    assert all(torch.equal(found[name].labels, bench.dataset.train.labels) for name in ("train", "train-ten-crop"))


def test_a_cell_s_data_changes_before_it_is_read(registry, folder, tmp_path):
    bench = bench_of(cell_of(registry, dataset_of(folder), *FEW), registry, tmp_path)
    (folder / "train" / "bag" / "more.png").write_bytes(picture(2)[0])
    with pytest.raises(tokzoo.TokzooError, match="dataset 'live-images' has changed since this began; run it again"):
        bench.dataset  # noqa: B018 - it is made when it is asked for


def test_a_run_from_pictures_to_record(request, folder):
    line = request.getfixturevalue("tokzoo")
    arguments = [text for text in line.tiny if not text.startswith("track.dataset")]
    kept = {"TOKZOO_CACHE": str(line.folder / "kept")}
    line(*arguments, dataset_of(folder), *FEW, "track.probe.codes=live", env=kept)
    (record,) = line.records()
    assert record["status"] == "ok"
    assert {"reconstruction.psnr", "ar.bits_per_image", "probe.ar_linear"} <= record["metrics"].keys()
    assert record["track"]["content"]["augment"] == {"flip": True, "crop": {"smallest": 0.8}}
    assert record["track"]["content"]["probe"]["codes"] == "live"
    assert str(folder) not in json.dumps(record)
