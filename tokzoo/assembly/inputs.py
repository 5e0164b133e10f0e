"""Images and codes as users have them, made into the tensors that a tokenizer works on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.specs import ImageSpec
from tokzoo.data.pictures import pixels_of
from tokzoo.data.pixels import to_unit

Images = Tensor | np.ndarray | Image.Image | Sequence[Image.Image]
"""Images ``[B, C, H, W]`` of floating point in [-1, 1] or of uint8; or one picture of Pillow's, or several."""
Codes = Tensor | np.ndarray
"""Codes ``[B, M]`` or ``[B, M, L]`` of any type of integers."""

SLACK = 1e-3
"""How far outside of [-1, 1] rounding may bring a value."""


def as_images(given: Images, image: ImageSpec, like: Tensor) -> Tensor:
    """Images ``[B, C, H, W]`` in [-1, 1], of the type and on the device of ``like``.

    Pictures are cut and resized as :mod:`tokzoo.data.pictures` describes.

    Raises:
        TokzooError: another shape, type or range; or a picture that cannot be decoded.
    """
    pictures = [given] if isinstance(given, Image.Image) else given
    if isinstance(pictures, list | tuple) and pictures and all(isinstance(each, Image.Image) for each in pictures):
        given = np.stack([pixels_of(picture, image) for picture in pictures])
    images = _tensor(given)
    expected = (image.channels, *image.size)
    if images is not None and images.shape[:1] == (0,):
        raise TokzooError("expected at least one image, found none")
    known = images is not None and (images.is_floating_point() or images.dtype == torch.uint8)
    if images is None or not known or images.ndim != 4 or images.shape[1:] != expected:
        shape = ", ".join(map(str, expected))
        last = getattr(given, "shape", ())[1:] == (*image.size, image.channels)
        raise TokzooError(
            f"expected images [B, {shape}] of floating point in [-1, 1] or of uint8, a tensor or an array; or PIL "
            f"images; found {found(given)}{' (channels must come first)' if last else ''}"
        )
    images = images.to(like.device)
    if images.dtype == torch.uint8:
        return to_unit(images).to(like.dtype)
    _check_range(images)
    return images.to(like.dtype)


def _check_range(images: Tensor) -> None:
    low, high = (float(each) for each in images.aminmax())
    # Not the other way round: no comparison with NaN holds.
    if not (low >= -1 - SLACK and high <= 1 + SLACK):
        raise TokzooError(
            f"images of floating point are in [-1, 1], and these reach from {low:g} to {high:g}; scale or clamp them, "
            "or give those of 0 to 255 as uint8"
        )


def as_codes(given: Codes, like: Tensor) -> Tensor | None:
    """Codes as int64, on the device of ``like``; None where they are not integers.

    Raises:
        TokzooError: there are none.
    """
    codes = _tensor(given)
    if codes is not None and codes.shape[:1] == (0,):
        raise TokzooError("expected the codes of at least one image, found none")
    if codes is None or codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        return None
    return codes.to(like.device, torch.int64)


def found(given: Any) -> str:
    """What was given, for a message: its type, and its shape where it has one."""
    if isinstance(given, Tensor):
        return f"{given.dtype} {list(given.shape)}"
    if isinstance(given, np.ndarray):
        return f"numpy {given.dtype} {list(given.shape)}"
    if isinstance(given, list | tuple):
        kinds = dict.fromkeys(type(each).__name__ for each in given)
        return f"a {type(given).__name__} of {' and '.join(kinds) or 'nothing'}"
    return type(given).__name__


def _tensor(given: Any) -> Tensor | None:
    """A tensor, or an array of numbers copied into one; None for anything else."""
    if isinstance(given, Tensor):
        return given
    if not isinstance(given, np.ndarray) or given.dtype.kind not in "iuf":
        return None
    # Copied, in the type that is wanted: torch reads no reversed or foreign-endian arrays, and warns of read-only ones.
    kind = np.uint8 if given.dtype == np.uint8 else {"f": np.float32}.get(given.dtype.kind, np.int64)
    return torch.from_numpy(np.array(given, kind, order="C"))
