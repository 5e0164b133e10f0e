"""Picture files to pixels and back, the same wherever pictures are read: datasets and the command line. No torch here.

What a file becomes, in this order:

1. its first frame or page, turned upright as its EXIF orientation says;
2. 16-bit grey is scaled to 8 bits, palettes and CMYK become RGB, transparency is laid over white. Colour profiles are
   not applied;
3. RGB for three channels; for one the luma of ITU-R BT.601;
4. the largest central part of the wanted aspect, resized by Pillow's bicubic filter, which is antialiased. So the short
   side of a picture always fits exactly. JPEGs are decoded in full: decoding them at a fraction of their size is up to
   twice as fast for photographs, but moves pixels by up to 8 levels.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.specs import ImageSpec
from tokzoo.data.files import write_atomic

EXTENSIONS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
READING = 1
"""Raised when a file becomes other pixels than before."""
MODES = {1: "L", 3: "RGB"}
"""Pillow's modes of the channel counts a picture can be read with."""

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


class BrokenPicture(TokzooError):
    """A file that cannot be decoded; ``reason`` says why, the message also which."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{shown(path)}: cannot be decoded ({reason})")
        self.reason = reason


def shown(path: Path | str) -> str:
    """A path for a message: a name need not be valid Unicode, and what is not cannot be printed."""
    return os.fsencode(path).decode(errors="backslashreplace")


def find_pictures(folder: Path) -> Iterator[str]:
    """The pictures under ``folder``: their paths from there, joined by ``/``, in a fixed order.

    A picture is told by its extension. Links are followed; files and folders whose names begin with a dot are left out.

    Raises:
        TokzooError: a folder cannot be listed.
    """
    yield from _walk(folder, "", ())


def list_folder(folder: Path) -> tuple[list[str], list[str]]:
    """The names of the folders and of the pictures in ``folder``, each in order.

    Raises:
        TokzooError: the folder cannot be listed.
    """
    folders, pictures = [], []
    try:
        for entry in os.scandir(folder):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
                pictures.append(entry.name)
    except OSError as error:
        raise TokzooError(f"{shown(folder)}: cannot be listed ({error.strerror})") from error
    return sorted(folders), sorted(pictures)


def _walk(folder: Path, prefix: str, above: tuple[str, ...]) -> Iterator[str]:
    here = os.path.realpath(folder)
    # A link to a folder above it would be followed for ever.
    if here in above:
        return
    folders, pictures = list_folder(folder)
    yield from (prefix + name for name in pictures)
    for name in folders:
        yield from _walk(folder / name, f"{prefix}{name}/", (*above, here))


def name_pictures(given: Sequence[Path]) -> dict[str, Path]:
    """The pictures among files and folders, by their paths from the folder all of them are in, joined by ``/``.

    A file is taken as it is given, a folder with every picture below; one given twice counts once.

    Raises:
        TokzooError: nothing given, no such file, or a folder without pictures.
    """
    if not given:
        raise TokzooError("no pictures given; name files or folders")
    # Not resolved: a link keeps its own name.
    paths = [Path(os.path.abspath(path)) for path in given]
    found: dict[Path, None] = {}
    for path, said in zip(paths, given, strict=True):
        if not path.exists():
            raise TokzooError(f"{shown(said)}: no such file or folder")
        inside = [path / name for name in find_pictures(path)] if path.is_dir() else [path]
        if not inside:
            raise TokzooError(f"{shown(said)} holds no picture ({', '.join(sorted(EXTENSIONS))}), nor a folder in it")
        found.update(dict.fromkeys(inside))
    base = os.path.commonpath([path if path.is_dir() else path.parent for path in paths])
    return {path.relative_to(base).as_posix(): path for path in found}


def read_picture(path: Path, image: ImageSpec) -> Pixels:
    """A picture file as uint8 ``[C, H, W]`` of the wanted channels and size, as the module describes.

    Raises:
        BrokenPicture: the file is damaged, or not a picture.
        TokzooError: it is not there or may not be read, or pictures cannot have so many channels.
    """
    if image.channels not in MODES:
        raise TokzooError(f"pictures are read with {' or '.join(map(str, MODES))} channels, not {image.channels}")
    try:
        file = path.open("rb")
    except OSError as error:
        raise TokzooError(f"{shown(path)}: cannot be read ({error.strerror})") from error
    with file, decoding(path), Image.open(file) as picture:
        return _pixels(picture, image)


@contextmanager
def decoding(path: Path | str) -> Iterator[None]:
    """Whatever goes wrong inside is said to be the fault of the picture called ``path``.

    Raises:
        BrokenPicture: something went wrong.
    """
    try:
        yield
    except UnidentifiedImageError as error:
        raise BrokenPicture(path, "not a picture of a known format") from error
    except MemoryError:
        raise
    # Given damaged files, decoders raise almost anything.
    except Exception as error:
        raise BrokenPicture(path, str(error) or type(error).__name__) from error


def _pixels(picture: Image.Image, image: ImageSpec) -> Pixels:
    ImageOps.exif_transpose(picture, in_place=True)
    mode = MODES[image.channels]
    plain = _opaque(eight_bits(picture))
    if plain.mode != mode:
        plain = plain.convert(mode)
    height, width = image.size
    box = _central_box(plain.size, (width, height))
    array = np.asarray(plain.resize((width, height), Image.Resampling.BICUBIC, box=box))
    return np.ascontiguousarray(array.reshape(height, width, image.channels).transpose(2, 0, 1))


def eight_bits(picture: Image.Image) -> Image.Image:
    """The picture, scaled to 8 bits a channel if it is grey of 16.

    Raises:
        ValueError: its pixels have no range that is known.
    """
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no defined range; save it with 8 or 16 bits")
    if picture.mode != "I" and not picture.mode.startswith("I;16"):
        return picture
    # Pillow reads some 16-bit formats into 32 bits.
    values = np.asarray(picture).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("its pixels are outside of 16 bits; save it with 8 or 16 bits")
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _opaque(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture
    over = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")


def _central_box(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest centred box of the aspect of ``wanted`` inside ``size``; both are (width, height)."""
    scale = min(size[0] / wanted[0], size[1] / wanted[1])
    width, height = min(wanted[0] * scale, size[0]), min(wanted[1] * scale, size[1])
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return left, top, min(left + width, size[0]), min(top + height, size[1])


def to_picture(pixels: Pixels) -> Image.Image:
    """Pixels uint8 ``[C, H, W]`` of one or three channels as a picture."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def write_png(picture: Image.Image, path: Path) -> None:
    """Write a PNG file in one step."""
    write_atomic(path, lambda temporary: picture.save(temporary, format="PNG"))
