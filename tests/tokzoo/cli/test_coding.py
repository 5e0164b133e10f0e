"""``tokzoo encode`` and ``decode``: the same as the library, whole or not at all, and a clear word for each mistake."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner

from tokzoo.assembly.codes_file import CodesFile
from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.cli.coding import decode, encode
from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.specs import ImageSpec
from tokzoo.data.config import Augmentation
from tokzoo.data.pictures import find_pictures, read_picture, write_png
from tokzoo.data.pixels import to_uint8, to_unit
from tokzoo.data.split import InMemorySplit
from tokzoo.recipes.hashing import content_hash
from tokzoo.recipes.load import load_recipe
from tokzoo.recipes.optimization import Budget
from tokzoo.recipes.solver import solve
from tokzoo.registry.plugins import load_registry
from tokzoo.training.loop import RunContext, Trainer
from tokzoo.training.tokenizer import TokenizerTask

HERE = Path(__file__).parents[2]
RECIPE = str(HERE / "data" / "recipes" / "tiny.yaml")
FASHION = HERE.parent / "plugins" / "tokzoo_data" / "fashion" / "val.npz"

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(encode)
app.command()(decode)


def call(*arguments, code=0):
    done = CliRunner().invoke(app, [arguments[0], "--device", "cpu", *map(str, arguments[1:])])
    if isinstance(done.exception, TokzooError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


def fails(*arguments):
    with pytest.raises(TokzooError) as error:
        call(*arguments)
    return str(error.value)


def make_tokenizer(folder, channels=3, seed=0):
    """A tokenizer trained for a few steps, so that its codes differ from image to image."""
    registry = load_registry()
    recipe = load_recipe(RECIPE, registry)
    chain = solve(recipe, ImageSpec(channels, (32, 32)), None, registry.components)
    with np.load(FASHION) as arrays:
        grey = np.pad(arrays["images"][:64], ((0, 0), (2, 2), (2, 2)))
    split = InMemorySplit(torch.from_numpy(np.stack([grey, 255 - grey, grey.swapaxes(1, 2)][:channels], axis=1)))
    budget, device = Budget(steps=15, batch=16), torch.device("cpu")
    task = TokenizerTask(recipe, chain, split, Augmentation(), budget, seed, device)
    Trainer(task, recipe.train.tokenizer, budget, seed, RunContext(folder, device)).run()
    task.tokenizer.save(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Eleven real images of several sizes and formats, in two folders."""
    root = tmp_path_factory.mktemp("photos")
    (root / "more").mkdir()
    with np.load(FASHION) as arrays:
        for number, grey in enumerate(arrays["images"][:11]):
            coloured = np.stack([grey, 255 - grey, grey.T], axis=-1) ^ (255 * (number % 2))
            picture = Image.fromarray(coloured).resize((40 + 9 * number, 90), Image.Resampling.BICUBIC)
            name = f"{number}.{('png', 'jpg', 'webp')[number % 3]}"
            picture.save(root / "more" / name if number > 6 else root / name)
    return root


@pytest.mark.parametrize("channels", [1, 3])
def test_encode_then_decode_gives_the_same_images_as_the_library(tmp_path, photos, folder, channels):
    where = folder if channels == 3 else make_tokenizer(tmp_path / "grey", channels=1)
    assert "11 images" in call("encode", photos, "-o", tmp_path / "codes.safetensors", "--tokenizer", where)
    call("decode", tmp_path / "codes.safetensors", "-o", tmp_path / "new" / "out", "--tokenizer", where)

    tokenizer = Tokenizer.load(where)
    names = list(find_pictures(photos))
    pixels = [read_picture(photos / name, ImageSpec(channels, (32, 32))) for name in names]
    codes = tokenizer.encode(to_unit(torch.from_numpy(np.stack(pixels))))
    images = to_uint8(tokenizer.decode(codes))
    assert len(images.flatten(1).unique(dim=0)) >= 5

    saved = CodesFile.load(tmp_path / "codes.safetensors")
    assert saved.codes.dtype == torch.int16
    assert torch.equal(saved.codes.long(), codes)
    assert saved.names == tuple(names)
    written = sorted(find_pictures(tmp_path / "new" / "out"))
    assert written == sorted(str(Path(name).with_suffix(".png")) for name in names)
    for name, image in zip(names, images, strict=True):
        with Image.open(tmp_path / "new" / "out" / Path(name).with_suffix(".png")) as picture:
            assert picture.mode == ("RGB" if channels == 3 else "L")
            array = np.asarray(picture).reshape(32, 32, channels)
        assert np.array_equal(array.transpose(2, 0, 1), image.numpy())


def test_the_file_says_what_made_it(tmp_path, photos, folder):
    path = tmp_path / "codes.safetensors"
    call("encode", photos / "0.png", photos / "more" / "7.jpg", photos / "0.png", "-o", path, "--tokenizer", folder)
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["tokzoo"])
        assert file.get_tensor("codes").shape == (2, 16)
    assert about["format"] == "tokzoo.codes/1"
    assert about["files"] == ["0.png", "more/7.jpg"]
    assert about["recipe"] == "tiny"
    assert about["recipe_hash"] == content_hash(Tokenizer.load(folder).recipe.tokenizer_identity())
    assert len(about["weights"]) == 64


def test_batches_do_not_matter(tmp_path, photos, folder):
    files = []
    for batch in (4, 64):
        call("encode", photos, "-o", tmp_path / str(batch), "--tokenizer", folder, "--batch", batch)
        call("decode", tmp_path / str(batch), "-o", tmp_path / f"{batch}.out", "--tokenizer", folder, "--batch", batch)
        files.append(CodesFile.load(tmp_path / str(batch)).codes)
    assert torch.equal(*files)
    assert len(list(find_pictures(tmp_path / "4.out"))) == 11


def test_names_that_differ_in_their_extension_alone(tmp_path, photos, folder):
    (tmp_path / "in").mkdir()
    shutil.copy(photos / "0.png", tmp_path / "in" / "a.png")
    shutil.copy(photos / "1.jpg", tmp_path / "in" / "a.jpg")
    call("encode", tmp_path / "in", "-o", tmp_path / "codes", "--tokenizer", folder)
    call("decode", tmp_path / "codes", "-o", tmp_path / "out", "--tokenizer", folder)
    assert list(find_pictures(tmp_path / "out")) == ["a.jpg.png", "a.png.png"]


def test_wrong_images_are_told(tmp_path, photos, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.jpg").write_bytes((photos / "1.jpg").read_bytes()[:500])
    (tmp_path / "note.txt").write_text("no picture")
    arguments = ["-o", tmp_path / "codes", "--tokenizer", folder]
    assert "gone.png: no such file or folder" in fails("encode", tmp_path / "gone.png", *arguments)
    assert "empty holds no picture (.bmp" in fails("encode", tmp_path / "empty", *arguments)
    assert "cut.jpg: cannot be decoded" in fails("encode", photos, tmp_path / "cut.jpg", *arguments)
    assert "note.txt: cannot be decoded (not a picture" in fails("encode", tmp_path / "note.txt", *arguments)
    assert "Missing argument" in call("encode", *arguments, code=2)
    assert not (tmp_path / "codes").exists()


def test_wrong_outputs_are_told_and_kept(tmp_path, photos, folder):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.png").write_text("mine")
    call("encode", photos, "-o", tmp_path / "codes", "--tokenizer", folder)
    encoding = ["encode", photos, "--tokenizer", folder, "-o"]
    decoding = ["decode", tmp_path / "codes", "--tokenizer", folder, "-o"]
    assert "this is a folder; name a file" in fails(*encoding, tmp_path / "full")
    for arguments in (encoding, decoding):
        assert f"cannot write in {tmp_path / 'file'}" in fails(*arguments, tmp_path / "file" / "x")
    assert "name it" in (told := fails(*encoding, tmp_path / "codes.npz"))
    assert (
        told == f"-o {tmp_path}/codes.npz: what is written is a .safetensors file; name it {tmp_path}/codes.safetensors"
    )
    assert "-o /dev/full: this is a device; name a file" in fails(*encoding, "/dev/full")
    assert "-o /: this is a folder; name a file, such as /codes.safetensors" in fails(*encoding, "/")
    assert "-o /: there is something there already" in fails(*decoding, "/")
    for arguments in (encoding, decoding):
        assert "cannot be written (File name too long)" in fails(*arguments, tmp_path / ("x" * 300))
    for taken in ("full", "file"):
        assert "something there already" in fails(*decoding, tmp_path / taken)
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "a.png").read_text() == "mine"
    (tmp_path / "free").mkdir()
    call(*decoding, tmp_path / "free")
    assert len(list(find_pictures(tmp_path / "free"))) == 11
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codes", "file", "free", "full"]


def test_a_disk_that_is_full_is_told(tmp_path, photos, folder, monkeypatch):
    call("encode", photos, "-o", tmp_path / "codes", "--tokenizer", folder)

    def full(*given, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "anything")

    monkeypatch.setattr(Image.Image, "save", full)
    monkeypatch.setattr("tokzoo.data.tensors.save_file", full)
    said = "cannot be written (No space left on device)"
    arguments = ["--tokenizer", folder, "-o", tmp_path / "new"]
    assert fails("encode", photos, *arguments) == f"{tmp_path / 'new'}: {said}"
    assert fails("decode", tmp_path / "codes", *arguments) == f"{tmp_path / 'new'}: {said}"
    assert [path.name for path in tmp_path.iterdir()] == ["codes"]


def test_nothing_half_written_when_decoding_fails(tmp_path, photos, folder):
    call("encode", photos, "-o", tmp_path / "codes", "--tokenizer", folder)
    whole = CodesFile.load(tmp_path / "codes")
    codes = whole.codes.clone()
    codes[-1, -1] = 10**4
    CodesFile(codes, whole.names, whole.maker).save(tmp_path / "codes")
    arguments = ["decode", tmp_path / "codes", "-o", tmp_path / "out", "--tokenizer", folder, "--batch", 2]
    assert "outside the vocabulary" in fails(*arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["codes"]


def test_codes_of_another_tokenizer_are_refused(tmp_path, photos, folder):
    other = make_tokenizer(tmp_path / "other", seed=1)
    call("encode", photos, "-o", tmp_path / "codes", "--tokenizer", folder)
    message = fails("decode", tmp_path / "codes", "-o", tmp_path / "out", "--tokenizer", other)
    assert "made by another tokenizer (tiny, weights" in message
    assert not (tmp_path / "out").exists()


def test_files_that_hold_no_codes_are_told(tmp_path, photos, folder):
    call("encode", photos, "-o", tmp_path / "codes", "--tokenizer", folder)
    whole = CodesFile.load(tmp_path / "codes")
    (tmp_path / "text").write_text("no codes")
    (tmp_path / "cut").write_bytes((tmp_path / "codes").read_bytes()[:-10])
    save_file({"codes": whole.codes}, tmp_path / "bare")
    shutil.copy(folder / "tokenizer.safetensors", tmp_path / "weights")
    content = (tmp_path / "codes").read_bytes()
    (tmp_path / "flipped").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    CodesFile(whole.codes, whole.names[1:], whole.maker).save(tmp_path / "short")
    for name, words in (
        ("gone", "No such file"),
        ("text", "not a whole file of codes"),
        ("cut", "not a whole file of codes"),
        ("bare", "not a whole file of codes (it was not written by tokzoo)"),
        ("weights", "not a file of codes (format None, expected tokzoo.codes/1)"),
        ("flipped", "not a whole file of codes (it is not what was written)"),
        ("short", "10 names of 11 pictures"),
    ):
        message = fails("decode", tmp_path / name, "-o", tmp_path / "out", "--tokenizer", folder)
        assert str(tmp_path / name) in message
        assert words in message


@pytest.mark.parametrize("name", ["../a.png", "/tmp/a.png", "x/../../a.png", "", ".", "a\0.png", "..\\a.png"])
def test_names_that_lead_elsewhere_are_refused(tmp_path, photos, folder, name):
    call("encode", photos, "-o", tmp_path / "codes", "--tokenizer", folder)
    whole = CodesFile.load(tmp_path / "codes")
    CodesFile(whole.codes, (*whole.names[1:], name), whole.maker).save(tmp_path / "codes")
    arguments = ["decode", tmp_path / "codes", "-o", tmp_path / "deep" / "out", "--tokenizer", folder]
    assert "is no name of a picture" in fails(*arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["codes"]


def test_wrong_tokenizers_are_told(tmp_path, photos, folder):
    arguments = ["encode", photos, "-o", tmp_path / "codes", "--out", tmp_path / "runs", "--tokenizer"]
    assert "not a saved tokenizer" in fails(*arguments, photos)
    assert f"no cell, recipe or record under {tmp_path / 'runs'}; none is known" in fails(*arguments, "gone")
    assert "device 'gpu': unknown" in fails(*arguments, folder, "--device", "gpu")
    assert "Missing option '--tokenizer'" in call(*arguments[:-1], code=2)


def test_pictures_by_relative_paths_and_links(tmp_path, photos, folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    os.symlink(photos / "0.png", "in/link.png")
    shutil.copy(photos / "1.jpg", "one.jpg")
    call("encode", "in", "one.jpg", "./in/../one.jpg", "-o", "codes", "--tokenizer", folder)
    assert CodesFile.load(Path("codes")).names == ("in/link.png", "one.jpg")
    call("decode", "codes", "-o", "out", "--tokenizer", folder)
    assert list(find_pictures(Path("out"))) == ["one.png", "in/link.png"]
    write_png(Image.new("L", (9, 9)), Path("out/one.png"))  # the files are the user's to change


def test_pictures_into_the_folder_one_is_in(tmp_path, photos, folder, monkeypatch):
    call("encode", photos / "0.png", "-o", tmp_path / "codes", "--tokenizer", folder)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    call("decode", tmp_path / "codes", "-o", ".", "--tokenizer", folder)
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["0.png"]
