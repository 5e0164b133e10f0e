"""LPIPS: a distance between images in the features of VGG, weighted to agree with people (arXiv 1801.03924).

The weights are those of the authors' version 0.1 ("lin" on VGG). They are published without VGG, whose weights are
torchvision's. Taming-transformers and GigaTok (arXiv 2504.08736) use the same file. Here nothing is dropped out:
theirs drops half of the channels while training, for no better reason than that the layer is there.
"""

import re
from pathlib import Path

import torch
from torch import Tensor

from tokzoo import ImageTerm, TokzooError
from tokzoo.nn.frozen_network import WithFrozenNetwork
from tokzoo_losses.lpips_config import SOURCES, LpipsConfig
from tokzoo_losses.lpips_network import CHANNELS, LpipsNetwork, vgg_features

WHO = "regularizer 'lpips':"
LIN = re.compile(r"lin(?:s\.)?(\d)\.model\.1\.weight")


class Lpips(WithFrozenNetwork, ImageTerm):
    """The distance, averaged over images; >= 0 with the published weights."""

    def start(self) -> None:
        """Read the weights.

        Raises:
            TokzooError: a file of weights is missing, or holds something else.
        """
        paths = find_files(self.config)
        self.hold(LpipsNetwork(read_vgg(paths["vgg"]), read_lin(paths["lin"])))

    def distance(self, images: Tensor, target: Tensor) -> Tensor:
        """A scalar for reconstructions and targets ``[B, 1 or 3, H, W]``."""
        return self.network(images, target)


def find_files(config: LpipsConfig) -> dict[str, Path]:
    """Where the two files of weights are, by the config's field.

    Raises:
        TokzooError: at least one is missing; it names what is, where it comes from, and the fields to set.
    """
    missing = config.missing()
    if missing:
        raise TokzooError(f"{WHO} {missing[0]}")
    return {field: path for field, path in config.files().items() if path is not None}


def read_vgg(path: Path) -> dict[str, Tensor]:
    """The weights of VGG's convolutions, in float32, by their names in torchvision's ``features``.

    Raises:
        TokzooError: the file holds something else.
    """
    held = _tensors(path, "vgg")
    wanted = {name: tensor.shape for name, tensor in vgg_features().state_dict().items()}
    found = {name: held[f"features.{name}"].float() for name in wanted if f"features.{name}" in held}
    if {name: tensor.shape for name, tensor in found.items()} != wanted:
        raise TokzooError(f"{WHO} vgg: {path} is not torchvision's VGG-16; it should be {SOURCES['vgg']}")
    return found


def read_lin(path: Path) -> list[Tensor]:
    """The weight of each channel at VGG's five taps, in float32.

    Raises:
        TokzooError: the file holds something else.
    """
    names = ((LIN.fullmatch(name), tensor) for name, tensor in _tensors(path, "lin").items())
    held = {int(name[1]): tensor.float().flatten() for name, tensor in names if name}
    if {number: len(tensor) for number, tensor in held.items()} != dict(enumerate(CHANNELS)):
        raise TokzooError(f"{WHO} lin: {path} has not the weights of VGG's channels; it should be {SOURCES['lin']}")
    return [held[number] for number in range(len(CHANNELS))]


def _tensors(path: Path, field: str) -> dict[str, Tensor]:
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor for name, tensor in held.items() if isinstance(tensor, Tensor)}
    except Exception as error:  # anything that a damaged file may raise
        raise TokzooError(f"{WHO} {field}: {path} cannot be read; it should be {SOURCES[field]}") from error
