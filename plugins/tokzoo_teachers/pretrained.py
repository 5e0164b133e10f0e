"""What teachers share that are pretrained networks of a library: preprocessing, precision, and where weights are from.

Images are resized without antialiasing, as GigaTok (arXiv 2504.08736) resizes them for its teachers.
"""

import difflib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from timm.models import load_state_dict
from torch import Tensor, nn

from tokzoo import ImageSpec, Teacher
from tokzoo.contracts.errors import TokzooError, describe
from tokzoo.nn.precision import at_least_float32, without_autocast
from tokzoo.nn.pretrained import check_started
from tokzoo_teachers.pretrained_config import PretrainedConfig


class PretrainedTeacher(Teacher):
    """A pretrained network behind the preprocessing it was trained with.

    It is built for its shapes alone; :meth:`start` reads the weights. On a GPU it runs under bfloat16 autocast,
    elsewhere in full precision, whatever is around. It is differentiable in the images.
    """

    def __init__(
        self,
        config: PretrainedConfig,
        image: ImageSpec,
        network: nn.Module | None,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__(config, image)
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    @abstractmethod
    def pretrained(self) -> nn.Module:
        """The network with its weights.

        Raises:
            TokzooError: they cannot be had, or are not exactly the model's.
        """

    def start(self) -> None:
        """Read the weights.

        Raises:
            TokzooError: they cannot be had, or are not exactly the model's.
        """
        self.network = self.pretrained().to(self.mean).eval().requires_grad_(False)

    @abstractmethod
    def tokens(self, pixels: Tensor) -> Tensor:
        """Features ``[B, T, D]``, row-major, of normalised images ``[B, 3, S, S]`` of the config's size."""

    def forward(self, images: Tensor) -> Tensor:
        """Features ``[B, T, D]`` of images ``[B, 1 or 3, H, W]`` in [-1, 1], row-major, in at least float32."""
        check_started(self, self.network, images)
        with _precision(images.device):
            pixels = (images.to(self.mean.dtype) + 1) / 2
            first, second = (
                (self._normalise, self._resize) if self.config.normalises_first else (self._resize, self._normalise)
            )
            tokens = self.tokens(second(first(pixels)))
        return at_least_float32(tokens)

    def _normalise(self, pixels: Tensor) -> Tensor:
        # One channel becomes three where it meets the three means.
        return (pixels - self.mean) / self.std

    def _resize(self, pixels: Tensor) -> Tensor:
        size = (self.config.image_size, self.config.image_size)
        return pixels if pixels.shape[-2:] == size else F.interpolate(pixels, size, mode=self.config.interpolation)


def _precision(device: torch.device) -> AbstractContextManager[Any]:
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else without_autocast(device)


def from_hub(who: str, config: PretrainedConfig, source: str, make: Callable[[], nn.Module]) -> nn.Module:
    """The network that ``make`` gives, with weights from the library's hub or its cache.

    Raises:
        TokzooError: they cannot be had; it names the file to provide.
    """
    try:
        return make()
    except Exception as error:  # anything that a hub's client, the connection or the model may raise
        raise TokzooError(
            f"{who} the weights of {config.model} are not at hand and cannot be fetched ({describe(error, 120)}); "
            f"download {source} and set the teacher's weights to its path"
        ) from error


def from_file(
    who: str, config: PretrainedConfig, source: str, make: Callable[[dict[str, Tensor]], nn.Module]
) -> nn.Module:
    """The network that ``make`` gives of the tensors in the config's file of weights.

    Raises:
        TokzooError: there is no such file, or its weights are not exactly the model's.
    """
    path = Path(config.weights or "").expanduser()
    if not path.is_file():
        raise TokzooError(f"{who} weights: there is no file {path}; it should be {source}")
    try:
        return make(load_state_dict(str(path)))
    except Exception as error:  # anything that a damaged file may raise
        raise TokzooError(
            f"{who} weights: {path} is not of {config.model} ({describe(error, 120)}); it should be {source}"
        ) from error


def check_grid(
    who: str, config: PretrainedConfig, image: ImageSpec, grid: Sequence[int], side: int, channels: int
) -> None:
    """Raise :class:`TokzooError` unless a network's tokens are as many and as wide as its config promises."""
    promised = config.hidden_spec(image)
    if (tuple(grid), channels) != (promised.shape, promised.dim):
        raise TokzooError(
            f"{who} {config.named} gives {channels} channels in a {grid[0]}×{grid[1]} grid, and its config promises "
            f"{promised.dim} in {promised.shape[0]}×{promised.shape[1]}: set {config.side_field}: {side} and "
            f"dim: {channels}"
        )


def did_you_mean(name: str, names: Iterable[str], otherwise: str) -> str:
    """The nearest of very many names as a question; ``otherwise`` where none is near."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise


def on_hub(file: str, repository: str) -> str:
    """A file of the Hugging Face hub, in words."""
    return f"{file} of https://huggingface.co/{repository}"
