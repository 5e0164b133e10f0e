"""Picture files opened: of the formats that are named here and no others, and never more than fit. No torch here."""

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageMode, UnidentifiedImageError

from tokzoo.contracts.errors import TokzooError
from tokzoo.data.files import shown

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What a file may hold, whatever its name: others are not looked at, for some of Pillow's readers start programs."""
LARGEST_BYTES = 512 << 20
"""Of a picture, encoded or decoded (width × height × channels × bytes): as many as Pillow's limit of pixels in RGB."""
IN_FLIGHT_BYTES = 1 << 30
"""Of all pictures that this process decodes at a time; the others wait."""
HUGE_BYTES = 64 << 20
"""From so many on, memory that was freed is asked back before a picture is decoded."""
CHUNK = 1 << 20
"""Pixels whose depth is changed at a time."""


class BrokenPicture(TokzooError):
    """A file that cannot be decoded; ``reason`` says why, the message also which."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{shown(path)}: cannot be decoded ({reason})")
        self.reason = reason


@contextmanager
def open_picture(
    file: BinaryIO, name: Path | str, channels: int, resized: Callable[[int, int], float] | None = None
) -> Iterator[Image.Image]:
    """A picture of one of :data:`FORMATS`; waits until there is room for its pixels.

    Args:
        file: its encoded bytes.
        name: what errors call it.
        channels: that its pixels are turned into.
        resized: how many pixels it is turned into on the way, given its width and height.

    Raises:
        BrokenPicture: it is damaged, too large or of no such format; or anything goes wrong while it is open.
    """
    with decoding(name), Image.open(file, formats=FORMATS) as picture:
        needed = _decoded_bytes(picture, channels)
        if resized is not None:
            needed = max(needed, round(resized(*picture.size) * channels))
        if needed > LARGEST_BYTES:
            size = f"{picture.width}×{picture.height} pixels of {picture.mode}"
            raise ValueError(f"its {size} take {needed:,} bytes, and a picture may take {LARGEST_BYTES:,}")
        with _ROOM.taken(needed):
            if needed > HUGE_BYTES:
                _return_freed_memory()
            yield picture


def _decoded_bytes(picture: Image.Image, channels: int) -> int:
    width = np.dtype(ImageMode.getmode(picture.mode).typestr).itemsize
    return picture.width * picture.height * max(len(picture.getbands()) * width, channels)


def _return_freed_memory() -> None:
    """Have glibc give back what threads have freed: it would keep the room of a huge picture for each of them."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


class _Room:
    """Bytes that threads share."""

    def __init__(self, size: int) -> None:
        self.free = size
        self.changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Some of them, as soon as so many are free."""
        with self.changed:
            self.changed.wait_for(lambda: self.free >= size)
            self.free -= size
        try:
            yield
        finally:
            with self.changed:
                self.free += size
                self.changed.notify_all()


_ROOM = _Room(IN_FLIGHT_BYTES)


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
    values = np.asarray(picture)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("its pixels are outside of 16 bits; save it with 8 or 16 bits")
    deep, scaled = values.reshape(-1), np.empty(values.size, np.uint8)
    # Not at once: a wider copy of a large picture would take many times its room.
    for start in range(0, deep.size, CHUNK):
        part = slice(start, start + CHUNK)
        scaled[part] = (deep[part].astype(np.int64) * 255 + 32767) // 65535
    return Image.fromarray(scaled.reshape(values.shape))
