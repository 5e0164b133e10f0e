"""Squares cut out of picture files as ADM cuts them, which most work on ImageNet follows. No torch here.

What a file becomes (arXiv 2105.05233, its ``image_datasets.py``; GigaTok, LlamaGen and DiT read ImageNet so):

1. its first frame, as it is stored: EXIF orientation and colour profiles do not count;
2. RGB for three channels, the luma of ITU-R BT.601 for one; transparency is dropped, and 16-bit grey, of which the
   original makes nothing sensible, is scaled to 8 bits;
3. halved by a box filter, sides rounded down, as long as the short side is twice what is wanted or more, then resized
   by Pillow's bicubic filter so that the short side is what is wanted, the long side rounded to the nearest;
4. a square at whole pixels.

The crops are ours to choose (:mod:`tokzoo.data.crops`). JPEGs are decoded in full, as :mod:`tokzoo.data.pictures` says.
"""

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tokzoo.data.opening import eight_bits, open_picture
from tokzoo.data.pictures import MODES, Pixels

CUTTING = 1
"""Raised when a file becomes other pixels than before."""


@dataclass(frozen=True, slots=True)
class Square:
    """One of :class:`~tokzoo.contracts.interfaces.Crops`: ``size`` pixels of a picture of short side ``short``."""

    size: int
    short: int
    down: float
    right: float


def cut_square(content: bytes, name: str, channels: int, square: Square) -> Pixels:
    """A square of an encoded picture, uint8 ``[C, size, size]``; ``name`` is what errors call it.

    Raises:
        BrokenPicture: the picture is damaged, too large, or none.
    """

    def resized_pixels(width: int, height: int) -> float:
        return width * height * (square.short / min(width, height)) ** 2

    with open_picture(io.BytesIO(content), name, channels, resized_pixels) as picture:
        plain = eight_bits(picture).convert(MODES[channels])
        resized = _resize(plain, square.short)
        left = _offset(square.right, resized.width - square.size)
        top = _offset(square.down, resized.height - square.size)
        cut = resized.crop((left, top, left + square.size, top + square.size))
    array = np.asarray(cut).reshape(square.size, square.size, channels)
    return array.transpose(2, 0, 1)


def _resize(picture: Image.Image, short: int) -> Image.Image:
    while min(picture.size) >= 2 * short:
        picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
    scale = short / min(picture.size)
    width, height = (round(side * scale) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _offset(at: float, room: int) -> int:
    """The first pixel: each of 0 … ``room`` for an equal part of [0, 1], the first of two middles for 1/2."""
    return max(math.ceil(at * (room + 1)) - 1, 0)
