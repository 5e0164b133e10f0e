"""Codes on disk: ``tokzoo.codes/1``, a file of tensors with ``codes``, ``labels`` if there are any, and a header."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from torch import Tensor

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.specs import CodeSpec
from tokzoo.data.files import reading, writing
from tokzoo.data.tensors import load_tensors, save_tensors

FORMAT = "tokzoo.codes/1"
TYPES = (torch.int16, torch.int32, torch.int64)


def storage_type(spec: CodeSpec) -> torch.dtype:
    """The smallest of int16, int32 and int64 that holds every code of the vocabulary."""
    return next(dtype for dtype in TYPES if max(spec.vocab) - 1 <= torch.iinfo(dtype).max)


def write_codes(
    path: Path, codes: Tensor, labels: Tensor | None = None, about: Mapping[str, Any] | None = None
) -> None:
    """Write codes of any shape, and ``about`` into the header, in one step.

    Raises:
        TokzooError: it cannot be written there.
    """
    tensors = {"codes": codes} if labels is None else {"codes": codes, "labels": labels}
    with writing(path, SafetensorError):
        save_tensors(tensors, path, {"format": FORMAT, **(about or {})})


def read_codes(path: Path) -> tuple[Tensor, Tensor | None, dict[str, Any]]:
    """Codes, labels and header of what :func:`write_codes` wrote.

    Raises:
        TokzooError: no such file, a damaged one, or another kind of file.
    """
    expected = "a whole file of codes"
    tensors, about = load_tensors(path, expected)
    if about.get("format") != FORMAT:
        raise TokzooError(f"{path}: not a file of codes (format {about.get('format')}, expected {FORMAT})")
    with reading(path, expected, KeyError):
        codes, labels = tensors["codes"], tensors.get("labels")
    if codes.dtype not in TYPES:
        raise TokzooError(f"{path}: not a whole file of codes (codes are {codes.dtype})")
    return codes, labels, about


@dataclass(slots=True)
class CodeSet:
    """The codes of a split, as AR models learn from them.

    Attributes:
        codes: integers ``[V, N, M]`` or ``[V, N, M, L]``, V augmented views of each of the N images.
        labels: int64 ``[N]``, or None.
    """

    codes: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        return self.codes.shape[1]

    def save(self, path: Path) -> None:
        """Write to a file of codes."""
        write_codes(path, self.codes, self.labels)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            TokzooError: no such file, or another kind of file.
        """
        codes, labels, _ = read_codes(path)
        if codes.ndim < 3 or (labels is not None and len(labels) != codes.shape[1]):
            raise TokzooError(f"{path}: not the codes of a split ({list(codes.shape)})")
        return cls(codes, labels)
