"""Config of the teachers from open_clip, and the shapes they promise. No torch and no open_clip here."""

import re
from typing import Self

from pydantic import Field, PositiveInt, model_validator

from tokzoo_teachers.pretrained_config import PretrainedConfig

HUB = "hf-hub:"
"""What the name of a model begins with that is described on the Hugging Face hub."""
NAME = re.compile(r"(?:^|[/-])ViT-([A-Za-z0-9]+)-(\d+)(-plus)?(?![A-Za-z0-9])")
WIDTHS = {
    "S": 384,
    "M": 512,
    "B": 768,
    "L": 1024,
    "SO400M": 1152,
    "H": 1280,
    "g": 1408,
    "gopt": 1536,
    "bigG": 1664,
    "e": 1792,
}
"""Channels by the size in a model's name."""
PLUS = {"B": 896}
"""The same of the sizes that have a ``-plus``."""


class OpenClipConfig(PretrainedConfig):
    """The visual transformer of a model of open_clip, see ``tokzoo_teachers.open_clip_teacher``."""

    model: str = Field(
        f"{HUB}apple/DFN2B-CLIP-ViT-L-14",
        min_length=1,
        description=f"open_clip's name of the model, such as ViT-L-14, or {HUB}ORGANISATION/NAME",
    )
    pretrained: str | None = Field(
        None, description="tag of the weights, such as openai; tells normalisation and activation; null: the hub's"
    )
    patch: PositiveInt | None = Field(None, description="side of a patch in pixels; null: read off the name")

    @model_validator(mode="after")
    def _weights_are_told(self) -> Self:
        if self.model.startswith("local-dir:"):
            raise ValueError("local-dir: is not for recipes: name the model, and give the file's path as weights")
        if self.repository is not None and self.pretrained is not None:
            raise ValueError(f"{self.model} brings weights of its own: leave pretrained out, or name another model")
        if self.repository is None and self.pretrained is None and self.weights is None:
            raise ValueError(f"{self.model} has many weights: give pretrained, a tag such as openai, or a file's path")
        return self

    @property
    def repository(self) -> str | None:
        """The hub's repository that describes the model; None for a model that open_clip knows by itself."""
        return self.model.removeprefix(HUB) if self.model.startswith(HUB) else None

    @property
    def side(self) -> int | None:
        """The side of a patch in pixels, if it is known."""
        found = NAME.search(self.model)
        return self.patch or (int(found[2]) if found else None)

    @property
    def channels(self) -> int | None:
        """The channels of the features, if they are known."""
        found = NAME.search(self.model)
        return self.dim or ((PLUS if found[3] else WIDTHS).get(found[1]) if found else None)

    def stored(self) -> tuple[str, bool]:
        """The file of its weights, in words, and whether it was fetched before."""
        from tokzoo_teachers.open_clip_teacher import stored  # it needs open_clip

        return stored(self)
