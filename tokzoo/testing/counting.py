"""Building for the shapes alone: parameters are counted before anything is trained, and without any weights."""

from collections.abc import Callable

import torch
from torch import nn

from tokzoo.contracts.errors import TokzooError


def assert_counted_without_memory(build: Callable[[], nn.Module]) -> None:
    """Fail unless what ``build`` makes can be built on the meta device, with the parameters it has on the CPU."""
    try:
        with torch.device("meta"):
            counted = parameters(build())
    except TokzooError as error:
        raise AssertionError(f"cannot be built on the meta device, where there is no number: {error}") from error
    real = parameters(build())
    assert counted == real, f"has {counted} parameters on the meta device and {real} on the CPU"


def parameters(module: nn.Module) -> int:
    """How many numbers its parameters have."""
    return sum(p.numel() for p in module.parameters())
