"""What regularizers that ask a frozen teacher share: the teacher, and its features of the images of a pass.

Regularizers of one objective with equal teachers hold the same network. What it says of the images themselves several
of them want to know in each pass; it is asked once.
"""

from typing import Any

import torch
from torch import Tensor

from tokzoo import Chain, Pass, Regularizer, Teacher, build_teacher, start
from tokzoo.nn.frozen_network import WithFrozenNetwork


class WithTeacher(WithFrozenNetwork, Regularizer):
    """A regularizer that holds the teacher its config refers to, perhaps another regularizer's too."""

    def __init__(self, config: Any, chain: Chain) -> None:
        super().__init__(config, chain)
        self.hold(build_teacher(config.teacher, chain.image))

    def start(self) -> None:
        """Have the teacher's weights read, once for all who hold it."""
        start(self.teacher)

    @property
    def teacher(self) -> Teacher:
        """The frozen network. Called itself, gradients pass to the images."""
        return self.network

    @torch.no_grad()
    def features(self, state: Pass) -> Tensor:
        """The teacher's features ``[B, T, D]`` of the images of a pass, without a gradient; not to be changed."""
        if self.teacher not in state.memo:
            state.memo[self.teacher] = self.teacher(state.images)
        return state.memo[self.teacher]
