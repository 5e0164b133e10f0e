"""Configs of the adversaries, without torch."""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from tokzoo import Chain, ImageTermConfig, Refusal
from tokzoo.contracts.specs import LAST_LAYER
from tokzoo.nn.configs import DiffAugmentConfig, GanLoss, LeCamConfig
from tokzoo.nn.weight_caches import in_hugging_face_cache, to_be_fetched


class DiscriminatorConfig(ImageTermConfig):
    """What the adversaries that tell reconstructions from images share, see ``tokzoo_losses.discriminator``."""

    weight: float = Field(0.5, description="factor of the losses of both players")
    loss: GanLoss = Field("hinge", description="what the discriminator minimises, and the tokenizer against it")
    adaptive: bool = Field(
        False, description="also weigh the tokenizer's term so that it pulls as hard as the others at the last layer"
    )
    lecam: LeCamConfig | None = Field(None, description="a penalty on logits far from the other kind's running mean")
    augment: DiffAugmentConfig | None = Field(None, description="random changes of all it sees; null: none")

    @property
    def requires(self) -> frozenset[str]:  # type: ignore[override]
        """The decoder's last layer, if gradients are compared there."""
        return frozenset({f"decoder.{LAST_LAYER}"} if self.adaptive else ())

    @model_validator(mode="after")
    def _learns_in_every_step(self) -> Self:
        if self.views is not None and "main" not in self.views:
            raise ValueError(f"views {list(self.views)}: other views may be gone in some steps: add 'main' to them")
        return self

    def weight_of(self, term: str) -> float:
        """``weight``, for the terms of both players; LeCam's penalty has its own weight besides."""
        return self.weight * (self.lecam.weight if term == "lecam" and self.lecam else 1.0)


class PatchGanConfig(DiscriminatorConfig):
    """A convolutional discriminator of patches, see ``tokzoo_losses.patchgan``."""

    channels: PositiveInt = Field(64, description="of the first convolution; doubled by each layer, up to eight times")
    layers: PositiveInt = Field(3, description="convolutions between the first and the last; each but one halves")

    def accepts(self, chain: Chain) -> None:
        """Refuse images of which no logit would be left."""
        height, width = chain.image.size
        needed, deepest = 3 * 2**self.layers, (min(height, width) // 3).bit_length() - 1
        if deepest >= self.layers:
            return
        mend = f"set layers: {deepest}" if deepest > 0 else "it sees no images below 6×6"
        raise Refusal(
            f"with layers: {self.layers} it sees images from {needed}×{needed} on, not a {chain.image}; {mend}"
        )


class DinoDiscConfig(DiscriminatorConfig):
    """A discriminator on the features of a frozen transformer, see ``tokzoo_losses.dinodisc``."""

    contents: ClassVar[frozenset[str]] = frozenset({"weights"})

    augment: DiffAugmentConfig | None = Field(
        DiffAugmentConfig(), description="random changes of all it sees; null: none"
    )
    model: str = Field(
        "vit_small_patch16_224.dino", description="timm's name of the transformer, with its weights' tag"
    )
    weights: Path | None = Field(
        None, description="path of its weights (.safetensors, .pth); null: from the Hugging Face hub or its cache"
    )
    image_size: PositiveInt = Field(224, description="side of the image or crop that the transformer sees")
    crop: float = Field(0.5, ge=0, le=1, description="how often larger images are cropped to it, rather than resized")
    readouts: tuple[NonNegativeInt, ...] = Field(
        (0, 3, 6, 9, 12), min_length=1, description="blocks after which a head reads; 0: before the first"
    )
    kernel: PositiveInt = Field(9, description="length of the convolution along the tokens in a head; odd")
    group: PositiveInt = Field(8, description="most images that a head normalises together")

    @model_validator(mode="after")
    def _heads_can_be_made(self) -> Self:
        if list(self.readouts) != sorted(set(self.readouts)):
            raise ValueError(f"readouts {list(self.readouts)}: give each block once, in rising order")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel: {self.kernel} is even, and has no middle: take {self.kernel + 1}")
        return self

    def missing(self) -> list[str]:
        """The transformer's weights, where they were not fetched before."""
        files = ("model.safetensors", "pytorch_model.bin")
        if self.weights is not None or in_hugging_face_cache(f"timm/{self.model}", *files):
            return []
        return [to_be_fetched(source(self.model))]

    def accepts(self, chain: Chain) -> None:
        """Refuse images that are neither grey nor coloured."""
        if chain.image.channels not in (1, 3):
            raise Refusal(f"sees images of 1 or 3 channels, not a {chain.image}; use patchgan, which takes any number")


def source(model: str) -> str:
    """The file that holds the weights of a transformer, in words."""
    return f"model.safetensors of https://huggingface.co/timm/{model}"
