"""Config of the teachers from timm, and the shapes they promise. No torch and no timm here."""

import re
from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from tokzoo import HiddenSpec, ImageSpec, Refusal, TeacherConfig

PATCH = re.compile(r"_patch(\d+)")
SIZE = re.compile(r"(?:vit|deit3?|beit(?:v2)?|eva02)_([a-z0-9]+)_")
WIDTHS = {
    "tiny": 192,
    "small": 384,
    "medium": 512,
    "base": 768,
    "large": 1024,
    "huge": 1280,
    "so400m": 1152,
    "giant": 1536,
}
"""Channels by the size in a model's name. DINOv2's giant; that of other families has 1408, to be said by ``dim``."""


class TimmConfig(TeacherConfig):
    """A vision transformer of timm, see ``tokzoo_teachers.timm_teacher``."""

    contents: ClassVar[frozenset[str]] = frozenset({"weights"})

    model: str = Field("vit_base_patch14_dinov2.lvd142m", description="timm's name of the model, with its weights' tag")
    weights: str | None = Field(
        None, description="path of its weights (.safetensors, .pth); null: from the Hugging Face hub or its cache"
    )
    image_size: PositiveInt = Field(224, description="side that images are resized to")
    interpolation: Literal["bicubic", "bilinear"] = Field("bicubic", description="how they are resized")
    patch: PositiveInt | None = Field(None, description="side of a patch; null: read off the name")
    dim: PositiveInt | None = Field(None, description="channels of the features; null: known from the name")

    @model_validator(mode="after")
    def _shape_is_known(self) -> Self:
        for name, value in (("patch", self.patch_side), ("dim", self.channels)):
            if value is None:
                raise ValueError(f"the name of model {self.model!r} does not tell its {name}: give {name}")
        if self.image_size < (self.patch_side or 0):
            raise ValueError(f"image_size {self.image_size} is smaller than a patch of {self.patch_side}")
        return self

    @property
    def patch_side(self) -> int | None:
        """The side of a patch in pixels, if it is known."""
        found = PATCH.search(self.model)
        return self.patch or (int(found[1]) if found else None)

    @property
    def channels(self) -> int | None:
        """The channels of the features, if they are known."""
        found = SIZE.match(self.model)
        return self.dim or (WIDTHS.get(found[1]) if found else None)

    def hidden_spec(self, image: ImageSpec) -> HiddenSpec:
        """One token for each patch of the resized image."""
        if image.channels not in (1, 3):
            raise Refusal(f"sees images of 1 or 3 channels, not a {image}")
        side = self.image_size // (self.patch_side or 1)
        return HiddenSpec((side, side), self.channels or 0)
