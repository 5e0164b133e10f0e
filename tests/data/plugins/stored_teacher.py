"""A teacher that says what it is told to: for tests that have its features in a file."""

import torch
from torch import Tensor

import tokzoo


class StoredConfig(tokzoo.TeacherConfig):
    """The shape of the features to come."""

    grid: tuple[int, int]
    dim: int

    def hidden_spec(self, image):
        return tokzoo.HiddenSpec(self.grid, self.dim)


class StoredTeacher(tokzoo.Teacher):
    """Set ``stored`` before it is asked."""

    def __init__(self, config, image):
        super().__init__(config, image)
        self.stored = torch.zeros(1, config.grid[0] * config.grid[1], config.dim)

    def forward(self, images) -> Tensor:
        return self.stored


@tokzoo.hookimpl
def tokzoo_components():
    return [
        tokzoo.ComponentSpec(
            kind="teacher", name="stored", config=StoredConfig, target=StoredTeacher, summary="features given by a test"
        )
    ]
