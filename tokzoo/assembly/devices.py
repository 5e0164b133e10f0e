"""Which device to use."""

import torch

from tokzoo.contracts.errors import TokzooError


def choose_device(wanted: str) -> str:
    """The device ``auto`` means here (the GPU if there is one), or the one asked for.

    Raises:
        TokzooError: cuda was asked for and there is none.
    """
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise TokzooError("device cuda: torch sees no CUDA device; use cpu")
    return wanted if wanted != "auto" else "cuda" if there else "cpu"
