"""Teachers from open_clip: the patch tokens of the visual transformer of CLIP, DFN, SigLIP and their kin.

CLIP (arXiv 2103.00020), data filtering networks (2309.17425), whose ViT-L/14 is the default as it is GigaTok's CLIP
teacher (2504.08736), and SigLIP (2303.15343). Images are resized, then normalised as the model was trained.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import resize_pos_embed
from open_clip.pretrained import download_pretrained_from_hf
from open_clip.transformer import VisionTransformer
from timm.models import load_state_dict
from torch import Tensor, nn

from tokzoo import ImageSpec
from tokzoo.contracts.errors import TokzooError, describe
from tokzoo.nn.weight_caches import in_hugging_face_cache
from tokzoo_teachers.open_clip_config import OpenClipConfig
from tokzoo_teachers.pretrained import (
    PretrainedTeacher,
    check_grid,
    did_you_mean,
    from_file,
    from_hub,
    on_hub,
)

WHO = "teacher 'open-clip':"
DESCRIPTION = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
HALF = (0.5, 0.5, 0.5)
NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}
"""open_clip builds no visual tower without one for text: the smallest."""


@dataclass(frozen=True)
class Known:
    """What is known of a model before it is built.

    Attributes:
        architecture: open_clip's description of both towers.
        trained: how the weights were trained: ``mean``, ``std``, ``quick_gelu``; ``hf_hub`` or ``url`` of a tag's.
        source: the file of the weights, in words.
    """

    architecture: Mapping[str, Any]
    trained: Mapping[str, Any]
    source: str


class OpenClipTeacher(PretrainedTeacher):
    """The patch tokens of the visual transformer: after its last norm, without class token, pooling or projection.

    A model that is described on the hub has no network before it is started: the description is a file.

    Raises:
        TokzooError: open_clip does not know the model, or its features are not what the config promises.
    """

    def __init__(self, config: OpenClipConfig, image: ImageSpec) -> None:
        about = None if config.repository is not None else built_in(config)
        network = None if about is None else shape_of(config, image, about)
        super().__init__(config, image, network, *normalisation(config, about))
        self.image = image

    def pretrained(self) -> nn.Module:
        """The visual transformer with its weights; those of the text are left out."""
        config = self.config
        about = built_in(config) if config.repository is None else self._described()

        def make(stored: dict[str, Tensor]) -> nn.Module:
            towers = _towers(config, about)
            # As they do in open_clip, positions learned at another size are resampled.
            resize_pos_embed(stored, towers)
            towers.visual.load_state_dict(
                {name.removeprefix("visual."): value for name, value in stored.items() if name.startswith("visual.")}
            )
            return _only_tokens(towers, config)

        if config.weights is None:
            return from_hub(WHO, config, about.source, lambda: make(load_state_dict(_download(config, about))))
        return from_file(WHO, config, about.source, make)

    def _described(self) -> Known:
        """What the hub says of the model, its normalisation taken over."""
        about = from_repository(self.config)
        shape_of(self.config, self.image, about)
        for buffer, values in zip((self.mean, self.std), normalisation(self.config, about), strict=True):
            buffer.copy_(torch.tensor(values).view(3, 1, 1))
        return about

    def tokens(self, pixels: Tensor) -> Tensor:
        """The patch tokens."""
        if isinstance(self.network, VisionTransformer):
            return self.network(pixels)[1]
        return self.network.forward_features(pixels)[:, self.network.num_prefix_tokens :]


def built_in(config: OpenClipConfig) -> Known:
    """A model that open_clip describes.

    Raises:
        TokzooError: it knows no such model, or no such weights of it.
    """
    architecture = open_clip.get_model_config(config.model)
    if architecture is None:
        hint = did_you_mean(config.model, open_clip.list_models(), "open_clip.list_models() gives their names")
        raise TokzooError(f"{WHO} open_clip knows no model {config.model!r}; {hint}")
    trained = open_clip.get_pretrained_cfg(config.model, config.pretrained) if config.pretrained else {}
    if config.pretrained and not trained:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(config.model)) or "none"
        raise TokzooError(f"{WHO} open_clip knows no weights {config.pretrained!r} of {config.model}; known: {tags}")
    repository, _, file = trained.get("hf_hub", "").rpartition("/")
    source = on_hub(file or WEIGHTS, repository) if repository else trained.get("url") or f"an {WEIGHTS} of this model"
    return Known(architecture, trained, source)


def stored(config: OpenClipConfig) -> tuple[str, bool]:
    """The file of the weights, in words, and whether it was fetched before."""
    if config.repository is not None:
        return on_hub(WEIGHTS, config.repository), in_hugging_face_cache(config.repository, WEIGHTS)
    about = built_in(config)
    repository, _, file = about.trained.get("hf_hub", "").rpartition("/")
    if repository:
        return about.source, in_hugging_face_cache(repository, file or WEIGHTS)
    name = about.trained.get("url", "").rpartition("/")[2]
    return about.source, bool(name) and (Path("~/.cache/clip").expanduser() / name).is_file()


def from_repository(config: OpenClipConfig) -> Known:
    """A model that is described on the hub.

    Raises:
        TokzooError: its description cannot be had.
    """
    repository = config.repository or ""
    try:
        path = download_pretrained_from_hf(repository, filename=DESCRIPTION)
        described = json.loads(Path(path).read_text(encoding="utf-8"))
        return Known(described["model_cfg"], described.get("preprocess_cfg", {}), on_hub(WEIGHTS, repository))
    except Exception as error:  # anything that the hub's client or a damaged file may raise
        raise TokzooError(
            f"{WHO} {on_hub(DESCRIPTION, repository)} is not at hand and cannot be fetched ({describe(error, 120)}); "
            "name the model as open_clip does (such as ViT-L-14 with pretrained: dfn2b), "
            f"download {on_hub(WEIGHTS, repository)} and set the teacher's weights to its path"
        ) from error


def normalisation(config: OpenClipConfig, about: Known | None) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and deviation of the images the model was trained on: as its weights say, else as its family does."""
    ours = (HALF, HALF) if "SigLIP" in config.model else (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    trained = {} if about is None else about.trained
    return trained.get("mean", ours[0]), trained.get("std", ours[1])


def shape_of(config: OpenClipConfig, image: ImageSpec, about: Known) -> nn.Module:
    """The visual transformer on the meta device.

    Raises:
        TokzooError: the model has none, or its tokens are not as many and as wide as its config promises.
    """
    try:
        with torch.device("meta"):
            network = _only_tokens(_towers(config, about), config)
        if isinstance(network, VisionTransformer):
            grid, patch, dim = network.grid_size, network.patch_size[0], network.conv1.out_channels
        else:
            grid, patch, dim = network.patch_embed.grid_size, network.patch_embed.patch_size[0], network.num_features
            network.num_prefix_tokens  # noqa: B018 - what has none does not serve tokens in a row
    except (AttributeError, TypeError, AssertionError) as error:
        raise TokzooError(
            f"{WHO} {config.model} serves no patch tokens: choose a vision transformer such as ViT-L-14"
        ) from error
    check_grid(WHO, config, image, grid, patch, dim)
    return network


def _download(config: OpenClipConfig, about: Known) -> str:
    if config.repository is not None:
        return download_pretrained_from_hf(config.repository)
    return open_clip.download_pretrained(about.trained)


def _towers(config: OpenClipConfig, about: Known) -> nn.Module:
    """The model as open_clip builds it, its text tower the smallest."""
    vision = dict(about.architecture["vision_cfg"])
    if "timm_model_name" not in vision:
        vision["image_size"] = config.image_size
    # A tag may be of weights that were trained with the other GELU than its model's name tells.
    quick = bool(about.architecture.get("quick_gelu") or about.trained.get("quick_gelu"))
    return open_clip.CustomTextCLIP(about.architecture["embed_dim"], vision, NO_TEXT, quick_gelu=quick)


def _only_tokens(towers: nn.Module, config: OpenClipConfig) -> nn.Module:
    """The visual transformer, told to hand on its normed patch tokens."""
    visual = towers.visual
    if isinstance(visual, VisionTransformer):
        if visual.attn_pool is not None:
            raise TypeError("its last norm comes after attention pooling")
        visual.proj, visual.pool_type, visual.final_ln_after_pool, visual.output_tokens = None, "tok", False, True
        return visual
    trunk = visual.trunk
    if tuple(trunk.patch_embed.img_size) != (config.image_size, config.image_size):
        trunk.set_input_size(img_size=config.image_size)
    return trunk
