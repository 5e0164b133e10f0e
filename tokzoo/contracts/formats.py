"""Checkpoints of other code bases: where each of our tensors is kept in them. No torch here."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tokzoo.contracts.specs import ImageSpec

Shape = tuple[int, ...]
WEIGHTS = "weights"
"""The section of the tokenizer's own weights, whatever a file calls it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a foreign checkpoint keeps a tensor: the same numbers in the same order, perhaps in another shape.

    Attributes:
        section: ``"weights"``, or the name of another part of the file, such as ``"discriminator"``.
    """

    section: str
    key: str
    shape: Shape


class CheckpointFormat(ABC):
    """How the checkpoints of one code base name and shape what a tokenizer and its regularizers hold.

    Attributes:
        image: the images of its released models.
        weights: the names its files use for the tokenizer's weights, the preferred one first.
        written: the one of them that exported files use.
    """

    image: ClassVar[ImageSpec]
    weights: ClassVar[tuple[str, ...]]
    written: ClassVar[str]

    @abstractmethod
    def accepts(self, recipe: Any) -> None:
        """Raise :class:`Refusal` unless checkpoints of this kind hold such a tokenizer."""

    @abstractmethod
    def kept(self, recipe: Any, shapes: Mapping[str, Shape]) -> dict[str, Kept]:
        """Where each of our tensors is kept, by our name; a tensor left out is kept nowhere.

        Args:
            recipe: what the tokenizer is made of (``tokzoo.recipes.models.Recipe``).
            shapes: the shapes of its tensors by our names: ``tokenizer.…``, and ``regularizers.ROLE.…``.
        """

    def unused(self, recipe: Any) -> tuple[Kept, ...]:
        """Tensors its files have that mean nothing here: not read, and written as zeros."""
        return ()
