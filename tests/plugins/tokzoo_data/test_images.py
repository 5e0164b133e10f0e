import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

import tokzoo
from tokzoo.assembly.build import build_dataset
from tokzoo.bench.cell import make_cell
from tokzoo.data.feed import DeviceFeed
from tokzoo.data.pictures import read_picture
from tokzoo.recipes.load import Changes, load_recipe, load_track
from tokzoo.registry.plugins import load_registry
from tokzoo_data.configs import ImagesConfig
from tokzoo_data.fashion.arrays import read_embedded
from tokzoo_data.images import cache, pack
from tokzoo_data.images.dataset import Images

CLASSES = ("bag", "coat", "shoe")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKZOO_CACHE", str(tmp_path / "cache"))


def picture(number):
    """A real image, coloured and enlarged to a size and mode that its number decides."""
    grey = Image.fromarray(IMAGES[number])
    inks = np.random.default_rng(number).integers(0, 256, (2, 3))
    coloured = inks[0] + (inks[1] - inks[0]) * (np.asarray(grey)[..., None] / 255)
    size = (28 + 17 * number % 101, 28 + 31 * number % 67)
    made = Image.fromarray(coloured.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    if number % 7 == 1:
        made.putalpha(grey.resize(size))
    elif number % 7 == 2:
        made = made.quantize(32)
    elif number % 7 == 3:
        made = made.convert("L")
    elif number % 7 == 4:
        made = Image.fromarray(np.asarray(made.convert("L")).astype(np.uint16) * 257)
    elif number % 7 == 5:
        made = made.convert("CMYK")
    return made


def write(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(number).save(path)


def name_of(number):
    return f"{number:03}.{'jpg' if number % 7 in (0, 5) else 'png'}"


IMAGES = read_embedded("val")[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """300 JPEG and PNG files of mixed sizes and modes in three folders."""
    root = tmp_path_factory.mktemp("made")
    for number in range(300):
        write(root / CLASSES[number % 3] / name_of(number), number)
    return root


@pytest.fixture
def folder(made, tmp_path):
    """The first 60 of them, to be changed."""
    root = tmp_path / "folder"
    for path in sorted(made.glob("*/0[0-5]*")):
        (root / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, root / path.parent.name)
    return root


def as_bytes(split):
    """Each image with its label, in no order."""
    labels = [None] * len(split) if split.labels is None else split.labels.tolist()
    return sorted((image.numpy().tobytes(), label) for image, label in zip(split.images, labels, strict=True))


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (17, 1)])
def test_every_file_is_there_once_as_it_is_read(made, size, channels):
    config = ImagesConfig(root=made, size=size, channels=channels)
    dataset = Images(config)
    assert config.class_names() == CLASSES
    assert config.image_spec() == tokzoo.ImageSpec(channels, (size, size))
    assert 15 <= len(dataset.val) <= 45
    assert dataset.train.images.dtype == torch.uint8
    assert dataset.train.images.shape == (300 - len(dataset.val), channels, size, size)
    expected = []
    for label, name in enumerate(CLASSES):
        paths = (made / name).iterdir()
        expected += [(read_picture(path, config.image_spec()).tobytes(), label) for path in paths]
    assert sorted(as_bytes(dataset.train) + as_bytes(dataset.val)) == sorted(expected)


def test_classes_are_mixed_in_both_splits(made):
    dataset = Images(ImagesConfig(root=made))
    for split in (dataset.train, dataset.val):
        assert len(split.labels[:12].unique()) == 3
    images, labels = DeviceFeed(dataset.val, "cpu").batch(torch.tensor([3, 0]))
    assert images.shape == (2, 3, 32, 32)
    assert images.min() >= -1
    assert images.max() <= 1
    assert labels.tolist() == dataset.val.labels[[3, 0]].tolist()


def test_adding_files_moves_none_to_the_other_split(folder, made):
    before = Images(ImagesConfig(root=folder))
    for path in made.glob("*/[12]*"):
        shutil.copy(path, folder / path.parent.name)
    after = Images(ImagesConfig(root=folder))
    assert len(after.train) + len(after.val) == 260
    for split in ("train", "val"):
        old, new = as_bytes(getattr(before, split)), as_bytes(getattr(after, split))
        assert old
        assert set(old) <= set(new)


def test_a_larger_fraction_only_adds_to_validation(made):
    small, large = (Images(ImagesConfig(root=made, val_fraction=fraction)) for fraction in (0.1, 0.3))
    assert set(as_bytes(small.val)) <= set(as_bytes(large.val))
    assert 60 <= len(large.val) <= 120


def test_folders_train_and_val_are_the_splits(tmp_path):
    for number in range(12):
        split = "val" if number % 4 == 3 else "train"
        write(tmp_path / "root" / split / CLASSES[number % 3] / "deep" / name_of(number), number)
    write(tmp_path / "root" / "test" / name_of(20), 20)
    config = ImagesConfig(root=tmp_path / "root")
    dataset = Images(config)
    assert config.class_names() == CLASSES
    assert sorted(dataset.train.labels.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert sorted(dataset.val.labels.tolist()) == [0, 1, 2]
    other = Images(ImagesConfig(root=tmp_path / "root", labels=False, val_fraction=0.9))
    assert (len(other.train), len(other.val), other.val.labels) == (9, 3, None)


def test_without_folders_there_are_no_labels(folder, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in folder.glob("*/*"):
        shutil.copy(path, flat)
    (flat / "empty").mkdir()
    config = ImagesConfig(root=flat)
    assert config.class_names() is None
    dataset = Images(config)
    assert dataset.train.labels is None
    assert dataset.val.labels is None
    unlabelled = Images(ImagesConfig(root=folder, labels=False))
    assert unlabelled.config.class_names() is None
    assert len(unlabelled.train) + len(unlabelled.val) == len(dataset.train) + len(dataset.val) == 60


def test_a_folder_without_images_is_no_class(folder):
    (folder / "notes" / "deep").mkdir(parents=True)
    (folder / "notes" / "deep" / "a.txt").touch()
    assert ImagesConfig(root=folder).class_names() == CLASSES


def test_classes_in_doubt_are_refused_with_the_way_out(folder):
    shutil.copy(folder / "bag" / name_of(0), folder / "stray.png")
    for answer in (ImagesConfig(root=folder).class_names, ImagesConfig(root=folder).fingerprint):
        with pytest.raises(tokzoo.TokzooError, match=r"bag, coat, shoe and, beside them, the images stray\.png; move"):
            answer()
    assert ImagesConfig(root=folder, labels=False).class_names() is None
    (folder / "stray.png").unlink()
    for name in CLASSES[1:]:
        shutil.rmtree(folder / name)
    with pytest.raises(tokzoo.TokzooError, match=r"one folder, 'bag', and one class.*say track.dataset.labels=false"):
        ImagesConfig(root=folder).class_names()
    assert len(Images(ImagesConfig(root=folder, labels=False, val_fraction=0.5)).train)


def test_classes_of_both_splits_must_agree(tmp_path):
    for number in range(8):
        write(tmp_path / ("val" if number % 4 == 3 else "train") / CLASSES[number % 2] / name_of(number), number)
    config = ImagesConfig(root=tmp_path)
    assert config.class_names() == ("bag", "coat")
    (tmp_path / "val" / "coat").rename(tmp_path / "val" / "kite")
    with pytest.raises(tokzoo.TokzooError, match="classes that train has not: kite"):
        config.class_names()
    for path in (tmp_path / "val" / "kite").iterdir():
        path.rename(tmp_path / "val" / path.name)
    (tmp_path / "val" / "kite").rmdir()
    with pytest.raises(tokzoo.TokzooError, match=r"train has class folders and .*val has none"):
        config.class_names()


def test_wrong_roots_are_told(tmp_path):
    (tmp_path / "file.zip").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").touch()
    (tmp_path / "zipped").mkdir()
    (tmp_path / "zipped" / "photos.zip").touch()
    wrong = [
        ("gone", "gone: no such folder"),
        ("file.zip", "file.zip is a file; give the folder"),
        ("empty", r"empty holds no picture \(.*\.jpg.*\.png.*\)"),
        ("text", "text holds no picture"),
        ("zipped", r"zipped holds no picture .*; unpack photos\.zip first"),
    ]
    for name, message in wrong:
        config = ImagesConfig(root=tmp_path / name)
        for answer in (config.class_names, config.fingerprint, lambda config=config: Images(config)):
            with pytest.raises(tokzoo.TokzooError, match=f"dataset images: .*{message}"):
                answer()


def test_a_split_without_images_is_told(tmp_path):
    write(tmp_path / name_of(0), 0)
    with pytest.raises(tokzoo.TokzooError, match="no image for the split 'val'; give more images"):
        ImagesConfig(root=tmp_path, val_fraction=1e-9).fingerprint()
    (tmp_path / "train").mkdir()
    (tmp_path / "val").mkdir()
    write(tmp_path / "train" / name_of(0), 0)
    with pytest.raises(tokzoo.TokzooError, match="no image for the split 'val'; put images there"):
        ImagesConfig(root=tmp_path).fingerprint()


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_truncated_file_is_named_or_skipped_if_asked(folder, capsys, tmp_path):
    whole = Images(ImagesConfig(root=folder))
    broken = [folder / "bag" / name_of(0), folder / "coat" / name_of(7)]
    for path in broken:
        assert path.suffix == ".jpg"
        cut(path)
    with pytest.raises(tokzoo.TokzooError, match=r"2 of its files cannot be decoded") as error:
        Images(ImagesConfig(root=folder))
    for words in (*map(str, broken), "truncated", "track.dataset.skip_corrupt=true"):
        assert words in str(error.value)
    packs = tmp_path / "cache" / "images" / "packs"
    assert len([path for path in packs.iterdir() if path.is_dir()]) == 1  # nothing is left of the failed one

    for _ in range(2):  # once packed, and once from the pack
        rest = Images(ImagesConfig(root=folder, skip_corrupt=True))
        told = capsys.readouterr().err
        assert "skipped" in told
        assert all(path.name in told for path in broken)
        assert len(rest.train) + len(rest.val) == 58
        for split in ("train", "val"):
            assert set(as_bytes(getattr(rest, split))) <= set(as_bytes(getattr(whole, split)))


def test_reading_stops_once_much_is_broken(folder):
    for path in folder.glob("*/*"):
        path.write_bytes(b"no image")
    with pytest.raises(tokzoo.TokzooError, match="at least 10 files cannot be decoded") as error:
        Images(ImagesConfig(root=folder))
    assert str(error.value).count("not a picture") == 10
    with pytest.raises(tokzoo.TokzooError, match=r"no image of the split 'train' .* can be decoded"):
        Images(ImagesConfig(root=folder, skip_corrupt=True))


def test_fingerprint_is_that_of_the_content(folder, tmp_path):
    config = ImagesConfig(root=folder)
    fingerprint = config.fingerprint()
    shutil.copytree(folder, tmp_path / "copy")
    for path in (tmp_path / "copy").glob("*/*"):
        os.utime(path, (1, 1))
    assert ImagesConfig(root=tmp_path / "copy").fingerprint() == fingerprint

    path = folder / "bag" / name_of(0)
    content, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert config.fingerprint() != fingerprint
    path.write_bytes(content)
    os.utime(path, ns=times)
    assert config.fingerprint() == fingerprint
    path.rename(folder / "coat" / name_of(0))
    assert config.fingerprint() != fingerprint


def test_fingerprint_is_that_of_the_preparation(made):
    variants = [{}, {"size": 16}, {"channels": 1}, {"labels": False}, {"val_fraction": 0.3}, {"skip_corrupt": True}]
    assert len({ImagesConfig(root=made, **fields).fingerprint() for fields in variants}) == len(variants)


def test_files_are_hashed_once(folder, monkeypatch):
    for path in folder.glob("*/*"):
        os.utime(path, (1000, 1000))
    read = []
    monkeypatch.setattr(cache, "file_hash", lambda path: read.append(path) or hashlib.sha256(b"").hexdigest())
    config = ImagesConfig(root=folder)
    first = config.fingerprint()
    assert len(read) == 60
    assert config.fingerprint() == first
    assert len(read) == 60
    os.utime(folder / "bag" / name_of(0), (1001, 1001))
    (folder / "bag" / name_of(3)).unlink()
    config.fingerprint()
    assert read[60:] == [folder / "bag" / name_of(0)]


def test_what_was_just_written_is_hashed_again(folder, monkeypatch):
    # Within one tick of the file system's clock a file may change and keep its size and time.
    path = folder / "bag" / name_of(0)
    config = ImagesConfig(root=folder)
    now = path.stat().st_mtime_ns + 1_000_000
    os.utime(path, ns=(now, now))
    monkeypatch.setattr(cache.time, "time_ns", lambda: now)
    first = config.fingerprint()
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(now, now))
    assert config.fingerprint() != first


def test_the_pack_is_used_again_and_mended(folder, monkeypatch, tmp_path):
    config = ImagesConfig(root=folder)
    first = as_bytes(Images(config).train)
    read = []
    monkeypatch.setattr(pack, "read_picture", lambda *given: read.append(given) or read_picture(*given))
    dataset = Images(config)
    assert not read
    assert isinstance(np.load(pack_file(tmp_path, "train.npy"), mmap_mode="r"), np.memmap)
    dataset.train.images[0] = 0  # a private copy: the pack stays as it is
    assert as_bytes(Images(config).train) == first

    for damage in (lambda path: path.unlink(), cut, lambda path: path.write_bytes(b"")):
        damage(pack_file(tmp_path, "train.npy"))
        read.clear()
        assert as_bytes(Images(config).train) == first
        assert len(read) == 60
    flip_a_byte(pack_file(tmp_path, "val-labels.npy"))
    flip_a_byte(pack_file(tmp_path, "train.npy"))
    assert as_bytes(Images(config).train) == first
    pack_file(tmp_path, "index.json").write_text("[")
    assert as_bytes(Images(config).train) == first


def flip_a_byte(path):
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_a_picture_that_changed_unseen_is_not_packed_under_the_former_fingerprint(folder):
    for path in folder.glob("*/*"):
        os.utime(path, (1000, 1000))
    config, path = ImagesConfig(root=folder), folder / "bag" / name_of(0)
    before = config.fingerprint()
    flip_a_byte(path)
    os.utime(path, (1000, 1000))
    assert config.fingerprint() == before
    with pytest.raises(tokzoo.TokzooError, match=rf"bag/{name_of(0)}: has changed since it was listed; run it again"):
        Images(config)
    assert config.fingerprint() != before


def test_a_damaged_list_of_hashes_is_made_anew(folder, tmp_path):
    for path in folder.glob("*/*"):
        os.utime(path, (1000, 1000))
    before = ImagesConfig(root=folder).fingerprint()
    (path,) = (tmp_path / "cache").rglob("hashes/*.json")
    whole = json.loads(path.read_text())
    for wrong in ([1, 2], None, [1, 2, "x"], [1, "2", "0" * 64]):
        path.write_text(json.dumps(dict.fromkeys(whole, wrong)))
        assert ImagesConfig(root=folder).fingerprint() == before


def pack_file(tmp_path, name):
    (path,) = (tmp_path / "cache" / "images" / "packs").glob(f"*/{name}")
    return path


def test_two_processes_pack_once(made, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from tokzoo_data.configs import ImagesConfig; from tokzoo_data.images import pack\n"
        "read = pack.read_picture\n"
        "def noted(path, *others):\n"
        "    with open(sys.argv[2], 'a') as file: file.write(path.name + '\\n')\n"
        "    return read(path, *others)\n"
        "pack.read_picture = noted\n"
        "arrays = pack.packed(ImagesConfig(root=sys.argv[1]))\n"
        "print(len(arrays['train'].images), int(arrays['train'].images[0].sum()))\n"
    )
    command = [sys.executable, "-c", code, str(made), str(tmp_path / "read.txt")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert outputs[0] == outputs[1] != ""
    assert sorted((tmp_path / "read.txt").read_text().split()) == [name_of(number) for number in range(300)]


def test_a_cache_that_cannot_be_written(folder, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TOKZOO_CACHE", str(tmp_path / "file"))
    for path in folder.glob("*/*"):
        os.utime(path, (1000, 1000))
    with pytest.raises(tokzoo.TokzooError, match=r"cannot be written .*TOKZOO_CACHE"):
        ImagesConfig(root=folder).fingerprint()


def test_a_link_to_nowhere_is_named(folder):
    os.symlink(folder / "gone", folder / "bag" / "x.png")
    with pytest.raises(tokzoo.TokzooError, match=r"bag/x\.png: cannot be read \(No such file"):
        ImagesConfig(root=folder).fingerprint()


def test_names_that_are_not_unicode(folder, capsys):
    config = ImagesConfig(root=folder, skip_corrupt=True)
    odd = Path(os.fsdecode(os.fsencode(folder / "bag") + b"/\xff.jpg"))
    odd.write_bytes(b"no image")
    os.utime(odd, (1000, 1000))
    assert config.fingerprint() == config.fingerprint()
    assert len(Images(config).train) + len(Images(config).val) == 60
    assert "\\xff.jpg" in capsys.readouterr().err


@pytest.mark.parametrize(
    "fields", [{}, {"root": "x", "size": 0}, {"root": "x", "channels": 2}, {"root": "x", "val_fraction": 1}]
)
def test_config_bounds(fields):
    with pytest.raises(ValidationError):
        ImagesConfig(**fields)


def test_answers_need_no_torch_and_components_no_pillow(made):
    code = (
        "import sys, tokzoo_data.plugin as p\nfrom tokzoo.registry.component import load_config\n"
        "spec = p.tokzoo_components()[1]; spec.check(); c = load_config(spec)(root=sys.argv[1])\n"
        "assert 'PIL' not in sys.modules\n"
        "assert len(c.fingerprint()) == 64 and c.class_names() and c.image_spec()\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(made)], check=False).returncode == 0


def test_a_track_can_name_the_folder(folder):
    registry = load_registry()
    changes = Changes.parse([f"track.dataset={{use: images, root: {json.dumps(str(folder))}, channels: 1}}"])
    track = load_track("fashion-quick", registry, changes.track)
    cell = make_cell(load_recipe("gigatok-2d-nano", registry), track, 0, registry.components)
    assert (cell.chain.image, cell.chain.classes) == (tokzoo.ImageSpec(1, (32, 32)), 3)
    assert cell.data["fingerprint"] == ImagesConfig(root=folder, channels=1).fingerprint()
    assert len(build_dataset(track.dataset).val) > 0
