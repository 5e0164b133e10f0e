"""Config of the teachers from torchvision, and the shapes they promise. No torch here."""

import re
from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from tokzoo.nn.weight_caches import torch_checkpoint
from tokzoo_teachers.pretrained_config import PretrainedConfig

RESNET = re.compile(r"(?:wide_)?res(?:net|next)(\d+)(?:_\w+)?")
LAYER = re.compile(r"layer([1-4])")
CONVNEXT = re.compile(r"convnext_(\w+)")
CONVNEXT_WIDTHS = {"tiny": 96, "small": 96, "base": 128, "large": 192}
STAGE = re.compile(r"features\.([1357])")
VIT = re.compile(r"vit_([blh])_(\d+)")
VIT_WIDTHS = {"b": 768, "l": 1024, "h": 1280}
VGG16 = {3: (1, 64), 8: (2, 128), 15: (4, 256), 22: (8, 512), 29: (16, 512)}
"""Stride and channels of the activations LPIPS (arXiv 1801.03924) reads: relu1_2, 2_2, 3_3, 4_3 and 5_3."""


def known_shape(model: str, node: str) -> tuple[int, int] | None:
    """Stride and channels at the nodes that are commonly read."""
    if (found := RESNET.fullmatch(model)) and (layer := LAYER.fullmatch(node)):
        doublings = int(layer[1]) - 1
        return 4 << doublings, (64 if int(found[1]) < 50 else 256) << doublings
    if (found := CONVNEXT.fullmatch(model)) and found[1] in CONVNEXT_WIDTHS and (stage := STAGE.fullmatch(node)):
        doublings = int(stage[1]) // 2
        return 4 << doublings, CONVNEXT_WIDTHS[found[1]] << doublings
    if (found := VIT.fullmatch(model)) and node == "encoder.ln":
        return int(found[2]), VIT_WIDTHS[found[1]]
    layer_number = node.removeprefix("features.")
    return VGG16.get(int(layer_number)) if model == "vgg16" and layer_number.isdecimal() else None


class TorchvisionConfig(PretrainedConfig):
    """A network of torchvision, read at a node, see ``tokzoo_teachers.torchvision_teacher``."""

    side_field: ClassVar[str] = "stride"

    model: str = Field("resnet50", min_length=1, description="torchvision's name of the model")
    node: str = Field("layer4", min_length=1, description="where it is read, as torchvision names the nodes of a graph")
    pretrained: str = Field(
        "IMAGENET1K_V1", min_length=1, description="tag of the weights; tells the normalisation of images"
    )
    interpolation: Literal["bicubic", "bilinear"] = Field("bilinear", description="how images are resized")
    stride: PositiveInt | None = Field(
        None, description="side of a feature's cell in pixels; null: known from model and node"
    )

    @model_validator(mode="after")
    def _cells_fill_the_image(self) -> Self:
        if self.image_size % (self.side or 1):
            raise ValueError(f"image_size {self.image_size} is not a multiple of the stride {self.side}")
        return self

    @property
    def named(self) -> str:
        """Model and node."""
        return f"{self.model} at {self.node}"

    @property
    def side(self) -> int | None:
        """The side of a feature's cell in pixels, if it is known."""
        shape = known_shape(self.model, self.node)
        return self.stride or (shape[0] if shape else None)

    @property
    def channels(self) -> int | None:
        """The channels of the features, if they are known."""
        shape = known_shape(self.model, self.node)
        return self.dim or (shape[1] if shape else None)

    def stored(self) -> tuple[str, bool]:
        """The file of its weights, in words, and whether it was fetched before."""
        from tokzoo_teachers.torchvision_teacher import known  # it needs torchvision

        url = known(self).url
        return url, torch_checkpoint(url.rpartition("/")[2]).is_file()
