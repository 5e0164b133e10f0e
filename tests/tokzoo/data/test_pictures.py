import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.specs import ImageSpec
from tokzoo.data import opening, pictures
from tokzoo.data.cutting import Square, cut_square
from tokzoo.data.files import file_hash
from tokzoo.data.opening import BrokenPicture
from tokzoo.data.pictures import (
    ChangedPicture,
    find_pictures,
    list_folder,
    name_pictures,
    read_picture,
    to_picture,
    write_png,
)

RGB = ImageSpec(3, (32, 32))
GREY = ImageSpec(1, (32, 32))
SQUARE = Square(32, 32, 0.5, 0.5)
FASHION = Path(__file__).parents[3] / "plugins" / "tokzoo_data" / "fashion" / "val.npz"


@pytest.fixture(scope="module")
def pixels():
    """A real image in colour, uint8 [32, 32, 3]."""
    with np.load(FASHION) as arrays:
        grey = np.pad(arrays["images"][0], 2)
    return np.stack([grey, grey[::-1], 255 - grey.T], axis=-1)


def rows(array):
    """[H, W, C] or [H, W] as [C, H, W]."""
    return array.reshape(*array.shape[:2], -1).transpose(2, 0, 1)


def save(tmp_path, picture, name="x.png", **options):
    path = tmp_path / name
    picture.save(path, **options)
    return path


def test_an_image_of_the_right_size_is_read_exactly(tmp_path, pixels):
    path = save(tmp_path, Image.fromarray(pixels))
    read = read_picture(path, RGB)
    assert read.dtype == np.uint8
    assert np.array_equal(read, rows(pixels))
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_picture(path, GREY)[0] - luma).max() <= 0.51
    grey = save(tmp_path, Image.fromarray(pixels[..., 0]))
    assert np.array_equal(read_picture(grey, GREY), rows(pixels[..., 0]))
    assert np.array_equal(read_picture(grey, RGB), rows(pixels[..., [0, 0, 0]]))


@pytest.mark.parametrize("size", [(96, 64), (64, 96)])
def test_the_centre_is_cut_out_and_the_short_side_fits(tmp_path, pixels, size):
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
    width, height = size[0] // 2, size[1] // 2
    left, top = (width - 32) // 2, (height - 32) // 2
    whole = picture.resize((width, height), Image.Resampling.BICUBIC)
    expected = np.asarray(whole.crop((left, top, left + 32, top + 32))).astype(int)
    assert np.abs(read_picture(save(tmp_path, picture), RGB) - rows(expected)).max() <= 1


def test_other_aspects(tmp_path):
    # Left, middle and right thirds; what is wanted is as tall as the image and a third as wide.
    stripes = np.repeat(np.array([10, 120, 230], np.uint8), 30)[None].repeat(60, axis=0)
    read = read_picture(save(tmp_path, Image.fromarray(stripes)), ImageSpec(1, (40, 20)))
    assert read.shape == (1, 40, 20)
    assert (read[..., 2:-2] == 120).all()


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 31), (1000, 3), (101, 200)])
def test_any_size_is_read(tmp_path, size):
    path = save(tmp_path, Image.new("RGB", size, (200, 100, 50)))
    assert (read_picture(path, RGB) == np.array([200, 100, 50])[:, None, None]).all()


def test_shrinking_is_antialiased(tmp_path):
    board = np.indices((256, 256)).sum(0) % 2 * 255
    read = read_picture(save(tmp_path, Image.fromarray(board.astype(np.uint8))), GREY).astype(int)
    assert np.abs(read - 127).max() <= 4


def test_transparency_is_laid_over_white(tmp_path, pixels):
    alpha = np.zeros((32, 32), np.uint8)
    alpha[:16], alpha[16:24] = 255, 128
    path = save(tmp_path, Image.fromarray(np.dstack([pixels, alpha])))
    share = alpha[..., None] / 255
    assert np.abs(read_picture(path, RGB) - rows(pixels * share + 255 * (1 - share))).max() <= 1
    grey = save(tmp_path, Image.merge("LA", (Image.fromarray(pixels[..., 0]), Image.fromarray(alpha))))
    expected = pixels[..., 0] * share[..., 0] + 255 * (1 - share[..., 0])
    assert np.abs(read_picture(grey, GREY)[0] - expected).max() <= 1


def test_palettes(tmp_path, pixels):
    picture = Image.fromarray(pixels).quantize(16)
    path = save(tmp_path, picture)
    assert Image.open(path).mode == "P"
    assert np.array_equal(read_picture(path, RGB), rows(np.asarray(picture.convert("RGB"))))
    clear = int(np.asarray(picture)[0, 0])
    expected = np.asarray(picture.convert("RGB")).copy()
    expected[np.asarray(picture) == clear] = 255
    assert np.array_equal(read_picture(save(tmp_path, picture, transparency=clear), RGB), rows(expected))


def test_cmyk(tmp_path):
    # Cyan and half of black, as Pillow's naive conversion has it: no profile is applied.
    path = save(tmp_path, Image.new("CMYK", (40, 40), (255, 0, 0, 128)), "x.jpg", quality=100)
    assert np.abs(read_picture(path, RGB).astype(int) - np.array([0, 127, 127])[:, None, None]).max() <= 3


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.pgm"])
def test_sixteen_bits_are_scaled(tmp_path, pixels, name):
    deep = pixels[..., 0].astype(np.uint16) * 257
    path = tmp_path / name
    if name == "x.pgm":
        path.write_bytes(b"P5 32 32 65535\n" + deep.astype(">u2").tobytes())
    else:
        Image.fromarray(deep).save(path)
    assert np.array_equal(read_picture(path, GREY), rows(pixels[..., 0]))
    assert np.array_equal(read_picture(path, RGB), rows(pixels[..., [0, 0, 0]]))


def test_one_bit(tmp_path, pixels):
    bits = pixels[..., 0] > 100
    assert np.array_equal(read_picture(save(tmp_path, Image.fromarray(bits)), GREY)[0], bits * 255)


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, np.rot90),
        (7, lambda a: np.rot90(a, 2).swapaxes(0, 1)),
        (8, lambda a: np.rot90(a, -1)),
    ],
)
def test_pictures_are_turned_upright(tmp_path, pixels, orientation, stored):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path, Image.fromarray(np.ascontiguousarray(stored(pixels))), exif=exif)
    assert np.array_equal(read_picture(path, RGB), rows(pixels))


def test_broken_files_are_named(tmp_path, pixels):
    whole = save(tmp_path, Image.fromarray(pixels).resize((200, 200)), "whole.jpg").read_bytes()
    cut, text, empty, real = (tmp_path / name for name in ("cut.jpg", "text.png", "empty.png", "real.tif"))
    cut.write_bytes(whole[: len(whole) // 2])
    text.write_text("no picture")
    empty.touch()
    Image.fromarray(np.ones((8, 8), np.float32)).save(real)
    for path, reason in ((cut, "truncated"), (text, "not a picture"), (empty, "not a picture"), (real, "8 or 16 bits")):
        with pytest.raises(BrokenPicture, match=reason) as error:
            read_picture(path, RGB)
        assert str(path) in str(error.value)
        assert reason in error.value.reason


def test_missing_files_and_odd_channels(tmp_path, pixels):
    with pytest.raises(TokzooError, match=r"none.png: cannot be read \(No such file") as error:
        read_picture(tmp_path / "none.png", RGB)
    assert not isinstance(error.value, BrokenPicture)
    with pytest.raises(TokzooError, match="1 or 3 channels, not 4"):
        read_picture(save(tmp_path, Image.fromarray(pixels)), ImageSpec(4, (32, 32)))


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.tif"])
def test_only_the_formats_we_name_are_opened(tmp_path, name, monkeypatch):
    """PostScript is a program, and Pillow would have Ghostscript run it."""
    path = tmp_path / name
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with Image.open(path) as picture:
        assert picture.format == "EPS"
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given: pytest.fail("Ghostscript was asked"))
    for read in (lambda: read_picture(path, RGB), lambda: cut_square(path.read_bytes(), name, 3, SQUARE)):
        with pytest.raises(BrokenPicture, match=rf"{name}: cannot be decoded \(not a picture of a known format"):
            read()


def test_a_picture_takes_no_more_bytes_than_it_may(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "LARGEST_BYTES", 20_000)
    deep = save(tmp_path, Image.fromarray(np.zeros((101, 100), np.uint16)), "deep.png")
    thin = save(tmp_path, Image.new("L", (1000, 1)), "thin.png")
    fits = save(tmp_path, Image.fromarray(np.zeros((100, 100), np.uint16)), "fits.png")
    said = "deep.png: cannot be decoded (its 100×101 pixels of I;16 take 20,200 bytes, and a picture may take 20,000)"
    for read in (lambda: read_picture(deep, GREY), lambda: cut_square(deep.read_bytes(), deep, 1, SQUARE)):
        with pytest.raises(BrokenPicture, match=re.escape(said)):
            read()
    assert read_picture(thin, GREY).shape == read_picture(fits, GREY).shape == (1, 32, 32)
    # Its short side is to have 32 pixels: the long one would have 32,000.
    with pytest.raises(BrokenPicture, match="take 1,024,000 bytes"):
        cut_square(thin.read_bytes(), thin, 1, SQUARE)


def test_pictures_wait_until_there_is_room(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "_ROOM", opening._Room(4 * 3 * 64**2))
    paths = [save(tmp_path, Image.new("RGB", (64, 64), (n, n, n)), f"{n}.png") for n in range(16)]
    together = []

    def decode(picture, image):
        together.append(opening._ROOM.free)
        time.sleep(0.01)
        return picture.getpixel((0, 0))[0]

    monkeypatch.setattr(pictures, "_pixels", decode)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda path: read_picture(path, RGB), paths)) == list(range(16))
    assert min(together) >= 0
    assert opening._ROOM.free == 4 * 3 * 64**2


def test_a_file_that_is_not_what_was_listed(tmp_path, pixels):
    path = save(tmp_path, Image.fromarray(pixels))
    assert np.array_equal(read_picture(path, RGB, file_hash(path)), rows(pixels))
    with pytest.raises(ChangedPicture, match=r"x\.png: has changed since it was listed"):
        read_picture(path, RGB, "0" * 64)


def test_what_is_named_like_a_picture_and_is_no_file_is_told(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(TokzooError, match=r"pipe\.png: is a named pipe, not a picture; remove it"):
        list(find_pictures(tmp_path))
    with pytest.raises(TokzooError, match=r"pipe\.png: cannot be read \(it is a named pipe"):
        read_picture(tmp_path / "pipe.png", RGB)
    (tmp_path / "pipe.png").unlink()
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "notes").symlink_to("notes")
    assert list(find_pictures(tmp_path)) == ["loop.png"]
    with pytest.raises(TokzooError, match=r"loop\.png: cannot be read \(Too many levels of symbolic links"):
        read_picture(tmp_path / "loop.png", RGB)


def test_folders_without_end_are_told(tmp_path, monkeypatch):
    for one in "abcd":
        (tmp_path / one).mkdir()
        for other in "abcd":
            (tmp_path / one / other).symlink_to(tmp_path / other)
    assert list(find_pictures(tmp_path)) == []
    monkeypatch.setattr(pictures, "MOST_FOLDERS", 20)
    with pytest.raises(TokzooError, match="more than 20 folders; do links in it lead to each other"):
        list(find_pictures(tmp_path))
    monkeypatch.setattr(pictures, "DEEPEST_FOLDER", 3)
    with pytest.raises(TokzooError, match="a/b/c: lies more than 3 folders deep"):
        list(find_pictures(tmp_path))


def test_a_folder_with_only_an_archive(tmp_path):
    (tmp_path / "photos.ZIP").touch()
    with pytest.raises(
        TokzooError, match=r"holds no picture \(.*\), nor does a folder in it; unpack photos\.ZIP first"
    ):
        name_pictures([tmp_path])


def test_pictures_are_found_by_extension_in_a_fixed_order(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "z/y/c.webp", "z/d.tiff", ".git/e.png", "empty/f.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list(find_pictures(tmp_path)) == ["a.png", "b.JPG", "z/d.tiff", "z/y/c.webp"]
    assert list_folder(tmp_path) == (["empty", "z"], ["a.png", "b.JPG"])


def test_links_are_followed_but_not_in_circles(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").touch()
    (tmp_path / "tree").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "tree" / "one")
    os.symlink(tmp_path / "real", tmp_path / "tree" / "two")
    os.symlink(tmp_path / "tree", tmp_path / "real" / "up")
    assert sorted(find_pictures(tmp_path / "tree")) == ["one/a.png", "two/a.png"]


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(TokzooError, match=r"gone: cannot be listed \(No such file"):
        list(find_pictures(tmp_path / "gone"))


@pytest.mark.parametrize("channels", [1, 3])
def test_writing_gives_back_what_was_read(tmp_path, pixels, channels):
    given = np.ascontiguousarray(rows(pixels)[:channels])
    write_png(to_picture(given), tmp_path / "new" / "x.png")
    assert np.array_equal(read_picture(tmp_path / "new" / "x.png", ImageSpec(channels, (32, 32))), given)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.png"]


def test_no_torch():
    code = "import sys, tokzoo.data.pictures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
