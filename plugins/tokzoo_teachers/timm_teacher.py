"""Teachers from timm: the patch tokens of a pretrained vision transformer.

GigaTok (arXiv 2504.08736) aligns with DINOv2 (arXiv 2304.07193), the default here. Images are normalised as the model
was trained, then resized without antialiasing, as GigaTok does; the order of the two matters to rounding only.
"""

import difflib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.models import PretrainedCfg, load_state_dict
from torch import Tensor, nn

from tokzoo import ImageSpec, Teacher
from tokzoo.contracts.errors import TokzooError
from tokzoo.nn.nearest import at_least_float32, without_autocast
from tokzoo_teachers.timm_config import TimmConfig

WHO = "teacher 'timm':"


class TimmTeacher(Teacher):
    """The patch tokens that the model's ``forward_features`` gives: after its last norm, without class and registers.

    On a GPU the transformer runs under bfloat16 autocast, elsewhere in full precision, whatever is around. It is
    differentiable in the images.

    Raises:
        TokzooError: timm does not know the model, its weights cannot be had, or its features are not what the config
            promises.
    """

    def __init__(self, config: TimmConfig, image: ImageSpec) -> None:
        super().__init__(config, image)
        about = known(config.model)
        check_shape(config, image)
        self.network = from_hub(config, about) if config.weights is None else from_file(config, about)
        self.register_buffer("mean", torch.tensor(about.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(about.std).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Features ``[B, T, D]`` of images ``[B, 1 or 3, H, W]`` in [-1, 1], row-major, in at least float32."""
        with _precision(images.device):
            # One channel becomes three where it meets the three means.
            pixels = ((images.to(self.mean.dtype) + 1) / 2 - self.mean) / self.std
            size = (self.config.image_size, self.config.image_size)
            if pixels.shape[-2:] != size:
                pixels = F.interpolate(pixels, size, mode=self.config.interpolation)
            tokens = self.network.forward_features(pixels)
        return at_least_float32(tokens[:, self.network.num_prefix_tokens :])


def _precision(device: torch.device) -> AbstractContextManager[Any]:
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else without_autocast(device)


def known(model: str) -> PretrainedCfg:
    """What timm knows of a model's pretrained weights.

    Raises:
        TokzooError: it knows no such model, or no such weights of it.
    """
    name, _, tag = model.partition(".")
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "timm.list_models() gives their names"
        raise TokzooError(f"{WHO} timm knows no model {name!r}; {hint}")
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]
    if tag and tag not in tags:
        raise TokzooError(f"{WHO} timm knows no weights {tag!r} of {name}; known: {', '.join(tags) or 'none'}")
    return timm.get_pretrained_cfg(model)


def check_shape(config: TimmConfig, image: ImageSpec) -> None:
    """Raise :class:`TokzooError` unless the model serves patch tokens, as many and as wide as its config promises."""
    promised = config.hidden_spec(image)
    try:
        with torch.device("meta"):
            network = timm.create_model(config.model, num_classes=0, img_size=config.image_size)
        grid, patch, dim = network.patch_embed.grid_size, network.patch_embed.patch_size[0], network.num_features
        network.num_prefix_tokens  # noqa: B018 - what has none does not serve tokens in a row
    except (AttributeError, TypeError) as error:
        raise TokzooError(f"{WHO} {config.model} serves no patch tokens: choose a vision transformer") from error
    if (tuple(grid), dim) != (promised.shape, promised.dim):
        raise TokzooError(
            f"{WHO} {config.model} gives {dim} channels in a {grid[0]}×{grid[1]} grid, and its config promises "
            f"{promised.dim} in {promised.shape[0]}×{promised.shape[1]}: set patch: {patch} and dim: {dim}"
        )


def from_hub(config: TimmConfig, about: PretrainedCfg) -> nn.Module:
    """The model with weights from the hub's cache, or downloaded to it.

    Raises:
        TokzooError: they cannot be had.
    """
    try:
        return _create(config, {})
    except Exception as error:  # anything that the hub's client, the connection or the model may raise
        raise TokzooError(
            f"{WHO} the weights of {config.model} are not at hand and cannot be fetched ({_reason(error)}); "
            f"download {_source(about)} and set the teacher's weights to its path"
        ) from error


def from_file(config: TimmConfig, about: PretrainedCfg) -> nn.Module:
    """The model with the weights of a file; a classifier among them is left out.

    Raises:
        TokzooError: there is no such file, or its weights are not exactly the model's.
    """
    path = Path(config.weights or "").expanduser()
    if not path.is_file():
        raise TokzooError(f"{WHO} weights: there is no file {path}; it should be {_source(about)}")
    heads = (about.classifier,) if isinstance(about.classifier, str) else about.classifier or ()
    try:
        stored = {
            name: tensor for name, tensor in load_state_dict(str(path)).items() if name.rpartition(".")[0] not in heads
        }
        # As weights of no classes they go through the model's own renaming and resampling, and must fit exactly.
        network = _create(config, {"state_dict": stored, "num_classes": 0})
    except Exception as error:  # anything that a damaged file may raise
        raise TokzooError(
            f"{WHO} weights: {path} is not of {config.model} ({_reason(error)}); it should be {_source(about)}"
        ) from error
    del network.pretrained_cfg["state_dict"]  # or they would stay in memory twice
    return network


def _create(config: TimmConfig, overlay: dict[str, Any]) -> nn.Module:
    return timm.create_model(
        config.model, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, img_size=config.image_size
    )


def _source(about: PretrainedCfg) -> str:
    """The file that holds the weights, in words."""
    if about.hf_hub_id:
        return f"model.safetensors of https://huggingface.co/{about.hf_hub_id}"
    return about.url or "a .safetensors or .pth file of its weights"


def _reason(error: BaseException) -> str:
    """An error in one line that is not long."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 120 else text[:120] + '…'}"
