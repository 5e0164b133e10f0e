"""Pictures to a file of codes and back.

Such a file (``tokzoo.codes/1``) holds ``codes`` ``[N, M]`` or ``[N, M, L]``, and in its header the pictures' names (a
JSON list) and what made them: the recipe's name, the hash of its tokenizer and the SHA-256 of its weights. Codes mean
nothing to other weights, so only the same ones decode them.
"""

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Self

import numpy as np
import torch
from torch import Tensor

from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.contracts.errors import TokzooError
from tokzoo.data.codes import read_codes, storage_type, write_codes
from tokzoo.data.files import file_hash, new_folder, reading
from tokzoo.data.pictures import read_picture, to_picture
from tokzoo.data.pixels import to_uint8
from tokzoo.recipes.hashing import content_hash
from tokzoo.recipes.saved import WEIGHTS


@dataclass(frozen=True, slots=True)
class Maker:
    """The tokenizer that made codes: its recipe's name, the hash of what it was made from, and of its weights."""

    recipe: str
    recipe_hash: str
    weights: str

    @classmethod
    def of(cls, tokenizer: Tokenizer, folder: Path) -> Self:
        """The tokenizer loaded from ``folder``."""
        recipe = tokenizer.recipe
        return cls(recipe.name, content_hash(recipe.tokenizer_identity()), file_hash(folder / WEIGHTS))

    def __str__(self) -> str:
        return f"{self.recipe}, weights {self.weights[:12]}"


@dataclass(frozen=True, slots=True)
class CodesFile:
    """Codes of pictures.

    Attributes:
        codes: integers ``[N, M]`` or ``[N, M, L]``, on the CPU.
        names: of the N pictures, each a relative path joined by ``/``.
    """

    codes: Tensor
    names: tuple[str, ...]
    maker: Maker

    def save(self, path: Path) -> None:
        """Write to a file, in one step.

        Raises:
            TokzooError: it cannot be written there.
        """
        write_codes(path, self.codes, about={"files": self.names, **asdict(self.maker)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            TokzooError: no such file, or another kind of file.
        """
        codes, _, about = read_codes(path)
        with reading(path, "a whole file of codes", KeyError, ValueError, TypeError):
            names = tuple(about["files"])
            maker = Maker(about["recipe"], about["recipe_hash"], about["weights"])
            _check_names(names, codes)
        return cls(codes, names, maker)


def _check_names(names: tuple[str, ...], codes: Tensor) -> None:
    if len(names) != len(codes) or len(set(names)) != len(names):
        raise ValueError(f"{len(set(names))} names of {len(codes)} pictures")
    for name in names:
        path = PurePosixPath(name)
        # Files named by a stranger are written only below the folder they are meant for.
        if path.is_absolute() or ".." in path.parts or not path.name or "\\" in name or "\0" in name:
            raise ValueError(f"{name!r} is no name of a picture")


def encode_pictures(tokenizer: Tokenizer, paths: Sequence[Path], batch: int) -> Tensor:
    """The codes, on the CPU, of picture files read as :mod:`tokzoo.data.pictures` describes.

    Raises:
        TokzooError: a file that cannot be read or decoded, or a tokenizer without codes.
    """
    spec = tokenizer.chain.codes
    if spec is None:
        raise TokzooError(f"there are no codes: quantizer '{tokenizer.recipe.quantizer.use}' is continuous")
    codes = [torch.empty(spec.batch_shape(0), dtype=storage_type(spec))]
    with ThreadPoolExecutor() as pool:
        for some in _batches(paths, batch):
            read = pool.map(lambda path: read_picture(path, tokenizer.chain.image), some)
            codes.append(tokenizer.encode(np.stack(list(read))).to(storage_type(spec)).cpu())
    return torch.cat(codes)


def decode_to_folder(tokenizer: Tokenizer, codes: CodesFile, folder: Path, batch: int) -> None:
    """Write each picture as a PNG file named after the original: all of them or, if anything fails, none.

    Where two originals differ in their extension alone, all keep theirs before the ``.png``.

    Raises:
        TokzooError: codes that are not such a tokenizer's, or a folder that holds something or cannot be written.
    """
    with new_folder(folder) as unfinished:
        pictures = _decoded(tokenizer, codes.codes, batch)
        for name, pixels in zip(_png_names(codes.names), pictures, strict=True):
            path = unfinished / name
            path.parent.mkdir(parents=True, exist_ok=True)
            to_picture(pixels).save(path, format="PNG")


def _decoded(tokenizer: Tokenizer, codes: Tensor, batch: int) -> Iterator[np.ndarray]:
    """Pixels uint8 ``[C, H, W]`` of each picture: the same whenever they are made again."""
    for some in codes.split(batch):
        yield from to_uint8(tokenizer.decode(some)).cpu().numpy()


def _png_names(names: Sequence[str]) -> list[str]:
    short = [str(PurePosixPath(name).with_suffix(".png")) for name in names]
    return short if len(set(short)) == len(short) else [f"{name}.png" for name in names]


def _batches(paths: Sequence[Path], size: int) -> Iterator[list[Path]]:
    left = iter(paths)
    while some := list(itertools.islice(left, size)):
        yield some
