import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from tokzoo.data.cutting import Square, cut_square
from tokzoo.data.opening import BrokenPicture

GOLDENS = load_file(Path(__file__).parents[2] / "data" / "adm_crops.safetensors")


def encoded(picture, form="PNG", **options):
    content = io.BytesIO()
    picture.save(content, form, **options)
    return content.getvalue()


def noise(height, width, channels=3):
    values = np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(values if channels > 1 else values[..., 0])


@pytest.mark.parametrize("name", [name.removeprefix("input.") for name in GOLDENS if name.startswith("input.")])
def test_central_squares_are_those_of_adm(name):
    size = int(name.rpartition("size")[2])
    found = cut_square(encoded(Image.fromarray(GOLDENS[f"input.{name}"])), name, 3, Square(size, size, 0.5, 0.5))
    assert found.dtype == np.uint8
    assert np.array_equal(found.transpose(1, 2, 0), GOLDENS[f"output.{name}"])


def naive(picture, size, short, first):
    """Written down step by step; ``first`` tells the first pixel from the room."""
    while min(picture.size) >= 2 * short:
        picture = picture.resize((picture.size[0] // 2, picture.size[1] // 2), Image.Resampling.BOX)
    scale = short / min(picture.size)
    wide, high = round(picture.size[0] * scale), round(picture.size[1] * scale)
    array = np.asarray(picture.resize((wide, high), Image.Resampling.BICUBIC))
    top, left = first(high - size), first(wide - size)
    return array[top : top + size, left : left + size].transpose(2, 0, 1)


@pytest.mark.parametrize(("height", "width"), [(40, 57), (91, 64), (33, 33), (150, 35), (20, 31)])
@pytest.mark.parametrize("short", [32, 35, 40])
@pytest.mark.parametrize(
    ("at", "first"), [(0.0, lambda room: 0), (0.5, lambda room: room // 2), (1.0, lambda room: room)]
)
def test_squares_are_cut_where_they_are_asked_for(height, width, short, at, first):
    picture = noise(height, width)
    found = cut_square(encoded(picture), "x", 3, Square(32, short, at, at))
    assert np.array_equal(found, naive(picture, 32, short, first))


def test_down_is_not_right():
    picture = noise(40, 60)
    array = np.asarray(picture).transpose(2, 0, 1)
    assert np.array_equal(cut_square(encoded(picture), "x", 3, Square(32, 40, 0.0, 1.0)), array[:, :32, -32:])


def test_every_place_is_as_likely():
    picture = noise(32, 36)
    array = np.asarray(picture).transpose(2, 0, 1)
    found = []
    for number in range(100):
        square = cut_square(encoded(picture), "x", 3, Square(32, 32, 0.5, (number + 0.5) / 100))
        found += [left for left in range(5) if np.array_equal(square, array[:, :, left : left + 32])]
    assert [found.count(left) for left in range(5)] == [20] * 5
    assert found == sorted(found)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "1", "LA"])
def test_modes_become_rgb_as_pillow_converts_them(mode):
    picture = noise(32, 32).convert(mode)
    form = "TIFF" if mode == "CMYK" else "PNG"
    found = cut_square(encoded(picture, form), "x", 3, Square(32, 32, 0.5, 0.5))
    assert np.array_equal(found, np.asarray(picture.convert("RGB")).transpose(2, 0, 1))


def test_grey():
    picture = noise(32, 32)
    found = cut_square(encoded(picture), "x", 1, Square(32, 32, 0.5, 0.5))
    assert np.array_equal(found, np.asarray(picture.convert("L"))[None])
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    assert np.array_equal(cut_square(encoded(deep), "x", 1, Square(32, 32, 0.5, 0.5)), found)


def test_orientation_does_not_count():
    picture = noise(32, 48)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = cut_square(encoded(picture, exif=exif), "x", 3, Square(32, 32, 0.5, 0.5))
    assert np.array_equal(turned, cut_square(encoded(picture), "x", 3, Square(32, 32, 0.5, 0.5)))


def test_broken_pictures_are_named():
    whole = encoded(noise(64, 64), "JPEG")
    for content in (whole[: len(whole) // 2], b"", b"no picture at all"):
        with pytest.raises(BrokenPicture, match=r"n01/x\.jpg: cannot be decoded"):
            cut_square(content, "n01/x.jpg", 3, Square(32, 32, 0.5, 0.5))


def test_a_long_picture_does_not_fail():
    found = cut_square(encoded(noise(3, 400)), "x", 3, Square(32, math.ceil(32 / 0.8), 1.0, 1.0))
    assert found.shape == (3, 32, 32)
