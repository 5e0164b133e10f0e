"""Config of the teachers from timm, and the shapes they promise. No torch and no timm here."""

import re
from typing import Literal

from pydantic import Field, PositiveInt

from tokzoo_teachers.pretrained_config import PretrainedConfig

PATCH = re.compile(r"_patch(\d+)")
SIZE = re.compile(r"(?:vit|deit3?|beit(?:v2)?|eva02)_([a-z0-9]+)_")
WIDTHS = {
    "tiny": 192,
    "small": 384,
    "medium": 512,
    "base": 768,
    "large": 1024,
    "so400m": 1152,
    "huge": 1280,
    "giant": 1536,
    "giantopt": 1536,
    "gigantic": 1664,
    "7b": 4096,
}
"""Channels by the size in a model's name."""
EXCEPTIONS = (
    (re.compile(r"vit_giant_patch14_(?:clip_)?\d"), 1408),
    (re.compile(r"vit_base_patch\d+_plus_"), 896),
)
"""Names whose size means other channels: ViT-g (arXiv 2106.04560) is narrower than DINOv2's giant."""


class TimmConfig(PretrainedConfig):
    """A vision transformer of timm, see ``tokzoo_teachers.timm_teacher``."""

    model: str = Field("vit_base_patch14_dinov2.lvd142m", description="timm's name of the model, with its weights' tag")
    patch: PositiveInt | None = Field(None, description="side of a patch in pixels; null: read off the name")
    order: Literal["normalise", "resize"] | None = Field(
        None, description="what is done first to an image; null: normalise for DINOv2, as GigaTok does, else resize"
    )

    @property
    def side(self) -> int | None:
        """The side of a patch in pixels, if it is known."""
        found = PATCH.search(self.model)
        return self.patch or (int(found[1]) if found else None)

    @property
    def channels(self) -> int | None:
        """The channels of the features, if they are known."""
        for pattern, width in EXCEPTIONS:
            if pattern.match(self.model):
                return self.dim or width
        found = SIZE.match(self.model)
        return self.dim or (WIDTHS.get(found[1]) if found else None)

    @property
    def normalises_first(self) -> bool:
        """Whether images are normalised before they are resized."""
        return "_dinov2" in self.model if self.order is None else self.order == "normalise"

    def stored(self) -> tuple[str, bool]:
        """The file of its weights, in words, and whether it was fetched before."""
        from tokzoo_teachers.timm_teacher import known, source, was_fetched  # they need timm

        about = known(self.model)
        return source(about), was_fetched(about)
