"""Checkpoints of other code bases: where each of our tensors is kept in them. No torch here."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod
from typing import Any, ClassVar, Literal

from tokzoo.contracts.specs import ImageSpec

Shape = tuple[int, ...]
WEIGHTS = "weights"
"""The section of the model's own weights, wherever a file keeps them."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A foreign tensor, or a part of one, that holds the numbers of one of ours.

    On import the tensor is viewed as ``view``, of its axis ``axis`` the ``rows`` are taken in their order, the axes are
    put into the order ``axes``, and the result is read row by row as our tensor. Export does the inverse, so the parts
    that a format takes of one foreign tensor must together be the whole of it, and no number may be taken twice.

    ======================================  =================================================
    packed q, k and v to one of ours        ``rows=range(width)``
    rotary halves to adjacent pairs         ``view=(heads, 2, pairs, width), axes=(0, 2, 1, 3)``
    a transposed linear map                 ``axes=(1, 0)``
    bits in the opposite order              ``rows=range(bits - 1, -1, -1)``
    ======================================  =================================================

    Attributes:
        section: ``"weights"``, or the path of another part of the file, such as ``"discriminator"``.
        shape: of the whole foreign tensor.
        view: another shape of as many numbers; None: ``shape``.
        rows: indices along ``axis``, none twice; None: all.
        axes: a permutation of the axes of ``view``; None: as they are.
    """

    section: str
    key: str
    shape: Shape
    view: Shape | None = None
    rows: range | tuple[int, ...] | None = None
    axis: int = 0
    axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        view = self.viewed
        if prod(view) != prod(self.shape):
            raise ValueError(f"{self.key}: {self.shape} cannot be viewed as {view}")
        if self.axes is not None and sorted(self.axes) != list(range(len(view))):
            raise ValueError(f"{self.key}: axes {self.axes} are no permutation of the {len(view)} axes of {view}")
        if self.rows is None:
            return
        if not 0 <= self.axis < len(view):
            raise ValueError(f"{self.key}: {view} has no axis {self.axis}")
        if len(set(self.rows)) != len(self.rows) or not set(self.rows) <= set(range(view[self.axis])):
            raise ValueError(f"{self.key}: rows {self.rows} are not among the {view[self.axis]}, each once")

    @property
    def viewed(self) -> Shape:
        """The shape the foreign tensor is viewed as."""
        return self.shape if self.view is None else self.view

    @property
    def numbers(self) -> int:
        """How many numbers are taken."""
        view = self.viewed
        return prod(view) if self.rows is None else prod(view) // view[self.axis] * len(self.rows)


Places = Kept | tuple[Kept, ...]
"""Where one of our tensors is kept; several parts are its rows one after the other, so that split ones are packed."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """Keys that mean nothing here, such as ``loss.*`` or ``*.num_batches_tracked``: not read, missing or not.

    Attributes:
        section: as of :class:`Kept`.
        pattern: a key, or a pattern in which ``*`` stands for any text, dots included. A key that is kept is no match.
        zeros: on export, zeros of this shape are written under the key; None: nothing is.
        dtype: of those zeros, by its name in torch.
    """

    section: str
    pattern: str
    zeros: Shape | None = None
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.zeros is not None and "*" in self.pattern:
            raise ValueError(f"{self.pattern}: zeros are written under a key, and this is a pattern")

    def matches(self, section: str, key: str) -> bool:
        """Whether the key of a section is meant."""
        return section == self.section and fnmatchcase(key, self.pattern)


class CheckpointFormat(ABC):
    """How the checkpoints of one code base name and shape what a tokenizer and its regularizers hold, or an AR model.

    Attributes:
        holds: which of the two.
        image: the images of its released models.
        classes: the number of their classes; None: a tokenizer needs none, or they have none.
        weights: where its files may keep the weights, the preferred place first. A place is a dotted path: the names of
            nested parts, or the beginning of the keys (``"state_dict.model"``). A file of nothing but tensors is always
            taken for the weights themselves, unless one of the places is in it.
        written: where exported files keep them: places, or ``""`` for a file of nothing but the weights. Of a dotted
            path the first name is a part of the file, and the rest the beginning of its keys.
    """

    holds: ClassVar[Literal["tokenizer", "ar"]] = "tokenizer"
    image: ClassVar[ImageSpec]
    classes: ClassVar[int | None] = None
    weights: ClassVar[tuple[str, ...]]
    written: ClassVar[tuple[str, ...]]

    @abstractmethod
    def accepts(self, recipe: Any) -> None:
        """Raise :class:`Refusal` unless checkpoints of this kind hold such a model."""

    @abstractmethod
    def kept(self, recipe: Any, shapes: Mapping[str, Shape]) -> Mapping[str, Places]:
        """Where each of our tensors is kept, by our name; a tensor left out is kept nowhere.

        Args:
            recipe: what the model is made of (``tokzoo.recipes.models.Recipe``); ``recipe.ar`` if it is an AR model.
            shapes: the shapes of its tensors by our names: ``tokenizer.…`` and ``regularizers.ROLE.…``, or ``ar.…``.
        """

    def ignored(self, recipe: Any) -> tuple[Ignored, ...]:
        """What its files have that means nothing here."""
        return ()

    def spelling(self, place: str, key: str) -> str:
        """How the weights at ``place`` spell a key, where weight averages spell keys in another way."""
        return key
