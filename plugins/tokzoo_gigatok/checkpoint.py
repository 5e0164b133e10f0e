"""GigaTok's released checkpoints (arXiv 2504.08736): how their keys and shapes follow from ours. No torch here."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from tokzoo import CheckpointFormat, Ignored, ImageSpec, Kept, Refusal

ONE_D, TWO_D = "gigatok-qformer", "gigatok-vit"
WEIGHTS, DISCRIMINATOR = "weights", "discriminator"
USAGE_RING = 65536
"""The length of ``quantize.codebook_used``: recent codes, which training counted; no result depends on it."""

RENAMES = (
    (r"^layers\.", "transformer."),
    (r"\.cross_attn\.", ".multihead_attn."),
    (r"^token_position$", "latent_token_positional_embedding"),
    (r"^grid_position$", "positional_embedding"),
    (r"^query_projection\.", "global_proj."),
    (r"^queries$", "query_1d"),
    (r"^out\.", "conv_out."),
)


class GigaTokCheckpoint(CheckpointFormat):
    """The ``.pt`` files of the 1D and the 2D tokenizer.

    Positions are kept sequence first, ``[T, 1, width]``; linear maps that stand for 1×1 convolutions with both axes.
    The head of the semantic regularizer is part of their decoder, ``distill_mlp``. The discriminator has a section of
    its own; that of the DINO variant is not read, as its layout is not known here.
    """

    image: ClassVar[ImageSpec] = ImageSpec(3, (256, 256))
    weights: ClassVar[tuple[str, ...]] = ("ema", "model", "state_dict")
    written: ClassVar[tuple[str, ...]] = ("model",)

    def accepts(self, recipe: Any) -> None:
        """Refuse any tokenizer but GigaTok's own parts around a VQ codebook."""
        parts = (recipe.encoder.use, recipe.decoder.use)
        if parts not in ((ONE_D, ONE_D), (TWO_D, TWO_D)) or recipe.quantizer.use != "vq":
            raise Refusal(
                f"{recipe.name}: checkpoints of GigaTok hold {ONE_D} or {TWO_D} on both sides of vq, not "
                f"{recipe.encoder.use}, {recipe.quantizer.use} and {recipe.decoder.use}; name one of its recipes"
            )

    def kept(self, recipe: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Kept]:
        """Where each tensor is kept."""
        encoder, decoder = ("s2to1encoder", "s1to2decoder")
        if recipe.encoder.use == TWO_D:
            encoder, decoder = ("s2dencoder", "s2ddecoder")
        places: dict[str, Kept] = {}
        for name, shape in shapes.items():
            part, _, rest = name.removeprefix("tokenizer.").partition(".")
            if name.startswith("regularizers."):
                places.update(_of_regularizer(name, shape, recipe, decoder))
            elif part == "quantizer":
                places[name] = Kept(WEIGHTS, "quantize.embedding.weight", shape)
            else:
                transformer, projection = (encoder, "quant_conv") if part == "encoder" else (decoder, "post_quant_conv")
                places[name] = _of_side(part, rest, shape, transformer, projection)
        return places

    def ignored(self, recipe: Any) -> tuple[Ignored, ...]:
        """The ring of recent codes."""
        return (Ignored(WEIGHTS, "quantize.codebook_used", zeros=(USAGE_RING,)),)


def _of_side(part: str, rest: str, shape: tuple[int, ...], transformer: str, projection: str) -> Kept:
    """The place of a tensor of the encoder or the decoder (``part``), by its name there."""
    module, _, name = rest.partition(".")
    if module == "projection":
        return Kept(WEIGHTS, f"{projection}.{name}", (*shape, 1, 1) if name == "weight" else shape)
    if module == "cnn":
        return Kept(WEIGHTS, f"{part}.{name.replace('.upsample.conv.', '.upsample.conv1.')}", shape)
    if name.endswith("position") or name == "queries":
        shape = (shape[0], 1, shape[1])
    elif name == "out.weight":
        shape = (*shape, 1, 1)
    renamed = name.replace("embed.", f"{part}_embed.") if name.startswith("embed.") else name
    for pattern, replacement in RENAMES:
        renamed = re.sub(pattern, replacement, renamed)
    return Kept(WEIGHTS, f"{transformer}.{renamed}", shape)


def _of_regularizer(name: str, shape: tuple[int, ...], recipe: Any, decoder: str) -> Iterator[tuple[str, Kept]]:
    """The place of a tensor of a regularizer, if such checkpoints hold it."""
    _, role, rest = name.split(".", 2)
    use = recipe.regularizers[role].use
    if use == "semantic" and rest.startswith("projection."):
        yield name, Kept(WEIGHTS, f"{decoder}.distill_mlp.{rest.removeprefix('projection.')}", shape)
    elif use == "patchgan" and ".main." in f".{rest}":
        yield name, Kept(DISCRIMINATOR, rest[rest.index("main.") :], shape)
