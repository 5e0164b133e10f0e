"""The frozen transformer that the DINO discriminator reads: timm's, with the weights of DINO (arXiv 2104.14294)."""

from pathlib import Path

import timm
import torch
from timm.models import VisionTransformer, load_state_dict
from torch import Tensor, nn

from tokzoo.contracts.errors import TokzooError, describe
from tokzoo.nn.pretrained import timm_network
from tokzoo_losses.adversary_configs import DinoDiscConfig, source

WHO = "regularizer 'dinodisc':"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class DinoBackbone(nn.Module):
    """Hidden states of a vision transformer after some of its blocks.

    As StyleGAN-T (arXiv 2301.09515), VAR and GigaTok use it: GELU in its tanh form, and keys without bias, which moves
    all of a query's logits alike and so changes nothing but rounding.

    Raises:
        TokzooError: its weights cannot be had.
    """

    def __init__(self, config: DinoDiscConfig) -> None:
        super().__init__()
        self.readouts = config.readouts
        self.vit = with_habits(load_transformer(config))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """``[B, width, T]`` for each readout: the patch tokens, row-major, with the class token added to each.

        Args:
            images: ``[B, 1 or 3, side, side]`` in [-1, 1], of the side the transformer was made for.
        """
        # One channel becomes three where it meets the three means.
        pixels = ((images + 1) / 2 - self.mean) / self.std
        tokens = self.vit.norm_pre(self.vit._pos_embed(self.vit.patch_embed(pixels)))
        read = {0: tokens}
        for number, block in enumerate(self.vit.blocks[: self.readouts[-1]], start=1):
            tokens = block(tokens)
            if number in self.readouts:
                read[number] = tokens
        return [self._spread(read[number]) for number in self.readouts]

    def _spread(self, tokens: Tensor) -> Tensor:
        return (tokens[:, self.vit.num_prefix_tokens :] + tokens[:, :1]).transpose(1, 2)


def with_habits(vit: nn.Module) -> nn.Module:
    """The transformer with the tanh form of GELU, and keys without bias."""
    for block in vit.blocks:
        block.mlp.act = nn.GELU(approximate="tanh")
        if block.attn.qkv.bias is not None:
            block.attn.qkv.bias.detach().view(3, -1)[1].zero_()
    return vit


def load_transformer(config: DinoDiscConfig) -> nn.Module:
    """The transformer with its weights, its positions resampled to the config's image size.

    Raises:
        TokzooError: they cannot be had.
    """
    tensors = None if config.weights is None else stored(config.weights, config.model)
    try:
        return timm_network(config.model, config.image_size, tensors)
    except Exception as error:  # anything that the hub's client, the connection or the model may raise
        raise TokzooError(f"{WHO} {_cannot(config)} ({describe(error, 120)})") from error


def outlined(config: DinoDiscConfig) -> nn.Module:
    """The transformer without memory for weights.

    Raises:
        TokzooError: timm has no such model, it is no vision transformer, or it is too shallow for the readouts.
    """
    if not timm.is_model(config.model.partition(".")[0]):
        raise TokzooError(f"{WHO} timm knows no model {config.model!r}; set model to one of timm.list_models('vit_*')")
    try:
        with torch.device("meta"):
            vit = timm.create_model(config.model, num_classes=0, img_size=config.image_size)
    except (TypeError, RuntimeError) as error:
        raise TokzooError(
            f"{WHO} {config.model} cannot be made ({describe(error, 120)}); choose another model"
        ) from error
    if not isinstance(vit, VisionTransformer) or vit.cls_token is None:
        raise TokzooError(f"{WHO} {config.model} is no vision transformer with a class token: choose another model")
    if config.readouts[-1] > len(vit.blocks):
        raise TokzooError(
            f"{WHO} readouts: {config.model} has {len(vit.blocks)} blocks, and none is number {config.readouts[-1]}"
        )
    return vit


def stored(path: Path, model: str) -> dict[str, Tensor]:
    """The tensors of a file, but for those of a classifier.

    Raises:
        TokzooError: there is no such file, or it cannot be read.
    """
    path = path.expanduser()
    if not path.is_file():
        raise TokzooError(f"{WHO} weights: there is no file {path}; it should be {source(model)}")
    try:
        tensors = load_state_dict(str(path))
    except Exception as error:  # anything that a damaged file may raise
        raise TokzooError(
            f"{WHO} weights: {path} cannot be read ({describe(error, 120)}); it should be {source(model)}"
        ) from error
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}


def _cannot(config: DinoDiscConfig) -> str:
    if config.weights is not None:
        return f"weights: {config.weights} is not of {config.model}; it should be {source(config.model)}"
    return (
        f"the weights of {config.model} are not at hand and cannot be fetched; "
        f"download {source(config.model)} and set weights to its path"
    )
