"""Teachers from timm: the patch tokens of a pretrained vision transformer.

GigaTok (arXiv 2504.08736) aligns with DINOv2 (arXiv 2304.07193), the default here; DINOv3 (2508.10104), SigLIP
(2303.15343), CLIP (2103.00020) and MAE (2111.06377) are had by their names in timm.
"""

import timm
import torch
from timm.models import PretrainedCfg
from torch import Tensor, nn

from tokzoo import ImageSpec
from tokzoo.contracts.errors import TokzooError
from tokzoo.nn.pretrained import timm_network
from tokzoo.nn.weight_caches import in_hugging_face_cache, torch_checkpoint
from tokzoo_teachers.pretrained import (
    PretrainedTeacher,
    check_grid,
    did_you_mean,
    from_file,
    from_hub,
    on_hub,
)
from tokzoo_teachers.timm_config import TimmConfig

WHO = "teacher 'timm':"


class TimmTeacher(PretrainedTeacher):
    """The patch tokens that the model's ``forward_features`` gives: without class and registers, after its last norm.

    Models that average their tokens before that norm (BEiT's, those named ``gap``) give them without it.

    Raises:
        TokzooError: timm does not know the model, or its features are not what the config promises.
    """

    def __init__(self, config: TimmConfig, image: ImageSpec) -> None:
        about = known(config.model)
        super().__init__(config, image, shape_of(config, image), about.mean, about.std)

    def pretrained(self) -> nn.Module:
        """The model with its weights; a classifier among those of a file is left out."""
        config, about = self.config, known(self.config.model)
        heads = (about.classifier,) if isinstance(about.classifier, str) else about.classifier or ()

        def make(stored: dict[str, Tensor]) -> nn.Module:
            kept = {name: tensor for name, tensor in stored.items() if name.rpartition(".")[0] not in heads}
            return timm_network(config.model, config.image_size, kept)

        if config.weights is None:
            return from_hub(WHO, config, source(about), lambda: timm_network(config.model, config.image_size))
        return from_file(WHO, config, source(about), make)

    def tokens(self, pixels: Tensor) -> Tensor:
        """The patch tokens."""
        return self.network.forward_features(pixels)[:, self.network.num_prefix_tokens :]


def known(model: str) -> PretrainedCfg:
    """What timm knows of a model's pretrained weights.

    Raises:
        TokzooError: it knows no such model, or no such weights of it.
    """
    name, _, tag = model.partition(".")
    if not timm.is_model(name):
        hint = did_you_mean(name, timm.list_models(), "timm.list_models() gives their names")
        raise TokzooError(f"{WHO} timm knows no model {name!r}; {hint}")
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]
    if tag and tag not in tags:
        raise TokzooError(f"{WHO} timm knows no weights {tag!r} of {name}; known: {', '.join(tags) or 'none'}")
    return timm.get_pretrained_cfg(model)


def shape_of(config: TimmConfig, image: ImageSpec) -> nn.Module:
    """The model on the meta device.

    Raises:
        TokzooError: it serves no patch tokens, or not as many and as wide as its config promises.
    """
    try:
        with torch.device("meta"):
            network = timm.create_model(config.model, num_classes=0, img_size=config.image_size)
        grid, patch, dim = network.patch_embed.grid_size, network.patch_embed.patch_size[0], network.num_features
        network.num_prefix_tokens  # noqa: B018 - what has none does not serve tokens in a row
    except (AttributeError, TypeError) as error:
        raise TokzooError(f"{WHO} {config.model} serves no patch tokens: choose a vision transformer") from error
    check_grid(WHO, config, image, grid, patch, dim)
    return network


def source(about: PretrainedCfg) -> str:
    """The file that holds the weights, in words."""
    if about.hf_hub_id:
        return on_hub("model.safetensors", about.hf_hub_id)
    return about.url or "a .safetensors or .pth file of its weights"


def was_fetched(about: PretrainedCfg) -> bool:
    """Whether the weights are in a cache."""
    if about.hf_hub_id:
        return in_hugging_face_cache(about.hf_hub_id, "model.safetensors", "pytorch_model.bin")
    return torch_checkpoint((about.url or "").rpartition("/")[2]).is_file()
