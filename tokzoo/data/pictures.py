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

import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.specs import ImageSpec
from tokzoo.data.files import kind_of, open_file, reading, shown, write_atomic
from tokzoo.data.opening import LARGEST_BYTES, BrokenPicture, decoding, eight_bits, open_picture

EXTENSIONS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
ARCHIVES = (".7z", ".rar", ".tar", ".tar.gz", ".tgz", ".zip")
MOST_FOLDERS, DEEPEST_FOLDER = 1_000_000, 100
"""Links can make a tree of a few folders endless."""
READING = 1
"""Raised when a file becomes other pixels than before."""
MODES = {1: "L", 3: "RGB"}
"""Pillow's modes of the channel counts a picture can be read with."""

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


class ChangedPicture(TokzooError):
    """A file that is not what it was when it was listed."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(f"{shown(path)}: has changed since it was listed; run it again")


def find_pictures(folder: Path) -> Iterator[str]:
    """The pictures under ``folder``: their paths from there, joined by ``/``, in a fixed order.

    A picture is told by its extension. Links are followed, but not back to a folder above them; files and folders whose
    names begin with a dot are left out.

    Raises:
        TokzooError: a folder cannot be listed, holds what is named like a picture and no file, or has no end.
    """
    # From the last to the first: what comes next is at the end.
    waiting: list[tuple[str, tuple[str, ...]]] = [("", ())]
    for _ in range(MOST_FOLDERS):
        if not waiting:
            return
        prefix, above = waiting.pop()
        here = os.path.realpath(folder / prefix)
        if here in above:
            continue
        if len(above) == DEEPEST_FOLDER:
            raise TokzooError(f"{shown(folder / prefix)}: lies more than {DEEPEST_FOLDER} folders deep")
        folders, pictures = list_folder(folder / prefix)
        yield from (prefix + name for name in pictures)
        waiting += [(f"{prefix}{name}/", (*above, here)) for name in reversed(folders)]
    raise TokzooError(f"{shown(folder)}: more than {MOST_FOLDERS:,} folders; do links in it lead to each other?")


def list_folder(folder: Path) -> tuple[list[str], list[str]]:
    """The names of the folders and of the pictures in ``folder``, each in order.

    Raises:
        TokzooError: the folder cannot be listed, or holds what is named like a picture and no file.
    """
    folders, pictures = [], []
    try:
        for entry in os.scandir(folder):
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                folders.append(entry.name)
            elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
                _refuse_pipe(entry)
                pictures.append(entry.name)
    except OSError as error:
        raise TokzooError(f"{shown(folder)}: cannot be listed ({error.strerror})") from error
    return sorted(folders), sorted(pictures)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        # A link to itself is no folder, whatever it is: as a picture, it is named when it is read.
        if error.errno == errno.ELOOP:
            return False
        raise


def _refuse_pipe(entry: os.DirEntry[str]) -> None:
    try:
        if entry.is_file():
            return
        mode = entry.stat().st_mode
    except OSError:
        return  # a link to nowhere: it is named when it is read
    if not stat.S_ISREG(mode):
        raise TokzooError(f"{shown(entry.path)}: is {kind_of(mode)}, not a picture; remove it, or rename it")


def no_picture_in(folder: Path) -> str:
    """That there is none, for a message; with what to do where there is an archive."""
    text = f"{shown(folder)} holds no picture ({', '.join(sorted(EXTENSIONS))}), nor does a folder in it"
    archives = sorted(entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(ARCHIVES))
    return f"{text}; unpack {shown(archives[0])} first" if archives else text


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
            raise TokzooError(no_picture_in(path))
        found.update(dict.fromkeys(inside))
    base = os.path.commonpath([path if path.is_dir() else path.parent for path in paths])
    return {path.relative_to(base).as_posix(): path for path in found}


def read_picture(path: Path, image: ImageSpec, sha256: str | None = None) -> Pixels:
    """A picture file as uint8 ``[C, H, W]`` of the wanted channels and size, as the module describes.

    Args:
        path: the file.
        image: what is wanted.
        sha256: the hash that its content must have; None: any.

    Raises:
        BrokenPicture: the file is damaged, too large, or not a picture.
        ChangedPicture: its content has another hash.
        TokzooError: it is not there or may not be read, or pictures cannot have so many channels.
    """
    _check_channels(image)
    with reading(path):
        file = open_file(path)
    with file:
        source = file if sha256 is None else io.BytesIO(_read_known(file, path, sha256))
        with open_picture(source, path, image.channels) as picture:
            return _pixels(picture, image)


def pixels_of(picture: Image.Image, image: ImageSpec) -> Pixels:
    """A picture that is open, as :func:`read_picture` makes it of a file; the picture itself stays as it is.

    Raises:
        BrokenPicture: it cannot be decoded, or its pixels have no range that is known.
        TokzooError: pictures cannot have so many channels.
    """
    _check_channels(image)
    with decoding(getattr(picture, "filename", "") or f"a picture of mode {picture.mode}"):
        return _pixels(ImageOps.exif_transpose(picture), image)


def _check_channels(image: ImageSpec) -> None:
    if image.channels not in MODES:
        raise TokzooError(f"pictures are read with {' or '.join(map(str, MODES))} channels, not {image.channels}")


def _read_known(file: BinaryIO, path: Path, sha256: str) -> bytes:
    with reading(path):
        content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise BrokenPicture(path, f"larger than {LARGEST_BYTES:,} bytes")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ChangedPicture(path)
    return content


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
