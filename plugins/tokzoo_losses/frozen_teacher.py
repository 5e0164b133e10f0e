"""What regularizers that ask a frozen teacher share: the teacher, and its features of the images of a pass.

Regularizers of one objective with equal teachers hold the same network (see ``tokzoo.assembly.build``). What it says of
the images themselves several of them want to know in each pass; it is asked once.
"""

import weakref
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from tokzoo import Chain, Regularizer, Teacher, build_teacher
from tokzoo.nn.frozen_network import WithFrozenNetwork


class WithTeacher(WithFrozenNetwork, Regularizer):
    """A regularizer that holds the teacher its config refers to, perhaps another regularizer's too."""

    def __init__(self, config: Any, chain: Chain) -> None:
        super().__init__(config, chain)
        self.hold(build_teacher(config.teacher, chain.image))

    @property
    def teacher(self) -> Teacher:
        """The frozen network. Called itself, gradients pass to the images."""
        return self.network

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """The teacher's features ``[B, T, D]`` of images, without a gradient; not to be changed in place.

        As long as the very same unchanged tensor is asked about, by whichever regularizer, the teacher runs once.
        """
        # A compiler sees common work by itself; inference tensors do not tell whether they were changed.
        if torch.compiler.is_compiling() or images.is_inference():
            return self.teacher(images)
        last = _LAST.get(self.teacher)
        if last is None or not last.is_of(images):
            _forget(last)  # freed before the next are made
            last = _LAST[self.teacher] = _Features(images, self.teacher(images))
        return last.tensor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Where two regularizers share a teacher it is moved twice: the second time it is there already.
        super()._apply(fn, recurse)
        if recurse:
            _LAST.pop(self.teacher, None)
        return self


class _Features:
    """The features of one tensor of images; they keep it not alive, and go when it goes."""

    def __init__(self, images: Tensor, tensor: Tensor) -> None:
        self.tensor: Tensor | None = tensor
        mine = weakref.ref(self)  # or this would live in a cycle, and the memory until it is collected
        self._images = weakref.ref(images, lambda _: _forget(mine()))
        self._circumstances = _circumstances(images)

    def is_of(self, images: Tensor) -> bool:
        """Whether the teacher would say the same again."""
        return self._images() is images and self._circumstances == _circumstances(images)


def _forget(features: _Features | None) -> None:
    if features is not None:
        features.tensor = None


def _circumstances(images: Tensor) -> tuple[Any, ...]:
    """What else a teacher's answer depends on: changes of the images in place, and autocast."""
    kind = images.device.type
    autocast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return images._version, autocast, torch.get_autocast_dtype(kind) if autocast else None


_LAST: weakref.WeakKeyDictionary[Teacher, _Features] = weakref.WeakKeyDictionary()
"""The last features each teacher was asked for: of one batch, until that goes or another is asked about."""
