"""The codes of a split, as AR models learn from them."""

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from tokzoo.data.files import write_atomic


@dataclass(slots=True)
class CodeSet:
    """The codes of a split.

    Attributes:
        codes: integers ``[V, N, M]`` or ``[V, N, M, L]``, V augmented views of each of the N images.
        labels: int64 ``[N]``, or None.
    """

    codes: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        return self.codes.shape[1]

    def save(self, path: Path) -> None:
        """Write to a safetensors file."""
        tensors = {"codes": self.codes} if self.labels is None else {"codes": self.codes, "labels": self.labels}
        write_atomic(path, lambda temporary: save_file(tensors, temporary))

    @classmethod
    def load(cls, path: Path) -> "CodeSet":
        """Read what :meth:`save` wrote."""
        tensors = load_file(path)
        return cls(tensors["codes"], tensors.get("labels"))
