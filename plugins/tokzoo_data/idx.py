"""The idx format of MNIST: two zero bytes, a type code, the number of axes, their lengths (big-endian); data."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

import tokzoo
from tokzoo.data.files import open_file, reading

UNSIGNED_BYTE = 0x08
LARGEST_BYTES = 1 << 30


def find_idx(folder: Path, name: str) -> Path:
    """The file ``name`` or ``name.gz`` in ``folder``.

    Raises:
        tokzoo.TokzooError: there is neither.
    """
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise tokzoo.TokzooError(f"{folder} holds neither {name} nor {name}.gz")


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in an idx file, which may be compressed with gzip.

    Raises:
        tokzoo.TokzooError: the file is damaged, or is no idx file of unsigned bytes.
    """
    with reading(path, "a whole idx file", EOFError, zlib.error, struct.error, gzip.BadGzipFile, mend="fetch it again"):
        with open_file(path) as file, gzip.GzipFile(fileobj=file) as unpacked:
            # No more than a file of MNIST's kind could hold: a small archive can stand for terabytes.
            content = (unpacked if path.suffix == ".gz" else file).read(LARGEST_BYTES + 1)
        zeros, kind, axes = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{axes}I", content, 4)
    if len(content) > LARGEST_BYTES:
        raise tokzoo.TokzooError(f"{path} holds more than {LARGEST_BYTES:,} bytes")
    if (zeros, kind) != (0, UNSIGNED_BYTE):
        raise tokzoo.TokzooError(f"{path} is no idx file of unsigned bytes")
    data = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
    if data.size != math.prod(shape):
        raise tokzoo.TokzooError(f"{path} should hold {math.prod(shape)} bytes of data and holds {data.size}")
    return data.reshape(shape)
