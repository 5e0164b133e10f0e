"""What regularizers that ask a frozen teacher share."""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from tokzoo import Chain, Regularizer, Teacher
from tokzoo.assembly.build import build_teacher


class WithTeacher(Regularizer):
    """A regularizer that holds the teacher its config refers to.

    The teacher follows every move (``to``, ``cuda``, ``double``), and yet is no submodule: it is in neither
    ``parameters`` nor ``state_dict``, ``train()`` leaves it in eval mode, and wrappers for distributed training neither
    shard nor broadcast it.
    """

    def __init__(self, config: Any, chain: Chain) -> None:
        super().__init__(config, chain)
        # A teacher's start is overwritten by its weights: the draws for it must not change how others start.
        with torch.random.fork_rng(devices=()):
            teacher = build_teacher(config.teacher, chain.image)
        self._held = (teacher,)  # in a tuple, where torch does not register it

    @property
    def teacher(self) -> Teacher:
        """The frozen network."""
        return self._held[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        if recurse:
            self.teacher._apply(fn)
        return self
