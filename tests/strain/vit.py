"""An encoder that is a pretrained vision transformer of timm (ViT: arXiv 2010.11929), from a file of its weights.

The file is read where training begins, and nowhere else.
"""

from pathlib import Path
from typing import Any, ClassVar

import timm
from safetensors.torch import load_file
from torch import Tensor, nn

import tokzoo


class ViTConfig(tokzoo.EncoderConfig):
    layout: ClassVar[str] = "grid"
    contents: ClassVar[frozenset[str]] = frozenset({"weights"})

    weights: Path | None = None
    patch: int = 4
    width: int = 8
    depth: int = 1

    def latent_spec(self, image: tokzoo.ImageSpec, channels: int | None) -> tokzoo.LatentSpec:
        return tokzoo.LatentSpec("grid", (image.size[0] // self.patch, image.size[1] // self.patch), channels or 8)

    def network(self, image: tokzoo.ImageSpec) -> nn.Module:
        sizes = {"img_size": image.size, "patch_size": self.patch, "in_chans": image.channels, "num_heads": 2}
        sizes |= {"embed_dim": self.width, "depth": self.depth, "num_classes": 0, "class_token": False}
        return timm.create_model("vit_tiny_patch16_224", **sizes, global_pool="")


class ViT(tokzoo.Encoder):
    def __init__(self, config: Any, image: Any, latent: Any, taps: tuple[tokzoo.Tap, ...] = ()) -> None:
        super().__init__(config, image, latent, taps)
        self.network = config.network(image)
        self.project = nn.Linear(config.width, latent.channels)

    def start(self) -> None:
        path = self.config.weights
        if path is None:
            return
        if not path.is_file():
            raise tokzoo.TokzooError(f"encoder.weights: there is no file {path}")
        self.network.load_state_dict(load_file(path))

    def forward(self, images: Tensor) -> tokzoo.Encoded:
        return tokzoo.Encoded(self.project(self.network.forward_features(images)))


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    return [tokzoo.ComponentSpec("encoder", "strain/vit", ViTConfig, ViT, "timm's vision transformer")]
