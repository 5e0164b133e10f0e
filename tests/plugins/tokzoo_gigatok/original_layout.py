"""How the published checkpoints of GigaTok name and shape what our encoders and decoders hold."""

import json
import math
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from tokzoo import ImageSpec
from tokzoo_gigatok.configs import (
    QFormerDecoderConfig,
    QFormerEncoderConfig,
    ViTDecoderConfig,
    ViTEncoderConfig,
)
from tokzoo_gigatok.qformer_decoder import QFormerDecoder
from tokzoo_gigatok.qformer_encoder import QFormerEncoder
from tokzoo_gigatok.vit_decoder import ViTDecoder
from tokzoo_gigatok.vit_encoder import ViTEncoder

DATA = Path(__file__).parents[2] / "data" / "gigatok"
ENCODER = {"encoder": "cnn", "s2to1encoder": "transformer", "s2dencoder": "transformer", "quant_conv": "projection"}
DECODER = {
    "decoder": "cnn",
    "s1to2decoder": "transformer",
    "s2ddecoder": "transformer",
    "post_quant_conv": "projection",
}
RENAMES = [
    (r"\.upsample\.conv1\.", ".upsample.conv."),
    (r"\.transformer\.(\d)", r".layers.\1"),
    (r"\.multihead_attn\.", ".cross_attn."),
    (r"\.(encoder|decoder)_embed\.", ".embed."),
    (r"\.latent_token_positional_embedding$", ".token_position"),
    (r"\.positional_embedding$", ".grid_position"),
    (r"\.global_proj\.", ".query_projection."),
    (r"\.query_1d$", ".queries"),
    (r"^(s2to1encoder|s2dencoder)\.conv_out\.", r"\1.out."),
]


def our_key(key):
    """``("encoder" | "decoder", key in its state)``; None for the codebook and the distillation head."""
    if key.startswith("quantize.") or ".distill_mlp." in key:
        return None
    for pattern, replacement in RENAMES:
        key = re.sub(pattern, replacement, key)
    prefix, _, rest = key.partition(".")
    side, names = ("encoder", ENCODER) if prefix in ENCODER else ("decoder", DECODER)
    return side, f"{names[prefix]}.{rest}"


def same_shape(shape, ours):
    """Whether a stored shape is ours, apart from axes of length 1 (1×1 convolutions, sequence-first positions)."""
    return [n for n in shape if n != 1] == [n for n in ours if n != 1]


def make(header, device="cpu"):
    """Encoder and decoder as a golden file's header describes them, untrained, in eval mode."""
    common = {
        "size": None,
        "width": header["width"],
        "layers": header["layers"],
        "heads": header["heads"],
        "channels": header["ch"],
        "multipliers": header["ch_mult"],
        "map_channels": header["z_channels"],
    }
    image = ImageSpec(3, (header["image"], header["image"]))
    if header["two_d"]:
        layer = {"TransformerLayer": "plain"}.get(header["layer_type"], "detr")
        configs = ViTEncoderConfig(**common, layer=layer), ViTDecoderConfig(**common, layer=layer)
        classes = ViTEncoder, ViTDecoder
    else:
        configs = QFormerEncoderConfig(**common, tokens=header["num_latent_tokens"]), QFormerDecoderConfig(**common)
        classes = QFormerEncoder, QFormerDecoder
    latent = configs[0].latent_spec(image, 8)
    configs[1].accepts(latent, image)
    with torch.device(device):
        encoder = classes[0](configs[0], image, latent).eval()
        decoder = classes[1](configs[1], latent, image, taps=(header["distill_depth"], "map")).eval()
    return encoder, decoder


def regenerate(key, shape, seed):
    """The seeded value of a tensor that a golden file leaves out (the rule the files were made by)."""
    scale, loc = _scale(key, shape)
    state = np.random.RandomState((zlib.crc32(key.encode()) + seed * 1000003) % 2**32)
    values = state.standard_normal(shape) * scale + loc
    return torch.from_numpy(values.astype(np.float16).astype(np.float32))


def _scale(key, shape):
    if key.startswith("input:"):
        return 1.0, 0.0
    if key.endswith(".weight") and len(shape) == 1:
        return 0.1, 1.0
    if key.endswith(("bias", "in_proj_bias")):
        return 0.05, 0.0
    if "quantize.embedding" in key or "positional_embedding" in key:
        return 1.0, 0.0
    return (math.prod(shape[1:]) if len(shape) > 1 else shape[0]) ** -0.5, 0.0


def _original_shape(key, ours):
    """The published shape of a parameter, from ours."""
    if key.endswith("positional_embedding"):
        return (ours[0], 1, ours[1])
    if re.search(r"(^|\.)(quant_conv|post_quant_conv|s2to1encoder\.conv_out|s2dencoder\.conv_out)\.weight$", key):
        return (*ours, 1, 1)
    return tuple(ours)


@dataclass
class Golden:
    """A golden file: its header, its tensors, and the model that its weights make."""

    header: dict
    tensors: dict
    encoder: torch.nn.Module
    decoder: torch.nn.Module

    @property
    def images(self):
        """The input images."""
        if "in.x" in self.tensors:
            return self.tensors["in.x"]
        size = self.header["image"]
        return torch.tanh(regenerate("input:x", (self.header["bs"], 3, size, size), self.header["seed"]))

    def weight(self, key, shape):
        """A weight in its published shape, stored or regenerated."""
        stored = self.tensors.get(f"w.{key}")
        return regenerate(key, shape, self.header["seed"]) if stored is None else stored


def load(path):
    """Read a golden file and load its weights into our encoder and decoder."""
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["meta"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    tensors = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    golden = Golden(header, tensors, *make(header))
    sides = {"encoder": golden.encoder, "decoder": golden.decoder}
    ours = {side: module.state_dict() for side, module in sides.items()}
    loaded = {side: {} for side in sides}
    for key in header["param_order"]:
        place = our_key(key)
        if place is not None:
            side, name = place
            shape = ours[side][name].shape
            value = golden.weight(key, _original_shape(key, shape))
            assert same_shape(value.shape, shape), key
            loaded[side][name] = value.reshape(shape)
    for side, module in sides.items():
        module.load_state_dict(loaded[side])
    return golden


def golden_files():
    """The golden files of this repository, and those in the folder that ``TOKZOO_GOLDENS`` names."""
    extra = os.environ.get("TOKZOO_GOLDENS")
    folders = [DATA, *([Path(extra)] if extra else [])]
    found = {path.name: path for folder in folders for path in folder.glob("golden_tok*.safetensors")}
    return [found[name] for name in sorted(found)]
