"""What this package offers. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path

import tokzoo

PAPER = "arXiv 2504.08736"
SMALL = {
    "size": None,
    "width": 32,
    "layers": 2,
    "heads": 2,
    "channels": 32,
    "multipliers": (1, 1, 1, 1),
    "map_channels": 32,
}


@tokzoo.hookimpl
def tokzoo_components() -> Sequence[tokzoo.ComponentSpec]:
    """The encoders and decoders of the 2D and the 1D tokenizer."""
    return [
        tokzoo.ComponentSpec(
            kind="encoder",
            name="gigatok-vit",
            config="tokzoo_gigatok.configs:ViTEncoderConfig",
            target="tokzoo_gigatok.vit_encoder:ViTEncoder",
            summary="CNN, then a transformer over the grid: GigaTok's 2D encoder",
            paper=PAPER,
            example=SMALL,
        ),
        tokzoo.ComponentSpec(
            kind="encoder",
            name="gigatok-qformer",
            config="tokzoo_gigatok.configs:QFormerEncoderConfig",
            target="tokzoo_gigatok.qformer_encoder:QFormerEncoder",
            summary="CNN, then queries that gather the grid into a sequence: GigaTok's 1D encoder",
            paper=PAPER,
            example={**SMALL, "tokens": 16},
        ),
        tokzoo.ComponentSpec(
            kind="decoder",
            name="gigatok-vit",
            config="tokzoo_gigatok.configs:ViTDecoderConfig",
            target="tokzoo_gigatok.vit_decoder:ViTDecoder",
            summary="a transformer over the grid, then a CNN: GigaTok's 2D decoder",
            paper=PAPER,
            example=SMALL,
        ),
        tokzoo.ComponentSpec(
            kind="decoder",
            name="gigatok-qformer",
            config="tokzoo_gigatok.configs:QFormerDecoderConfig",
            target="tokzoo_gigatok.qformer_decoder:QFormerDecoder",
            summary="grid queries that read a sequence, then a CNN: GigaTok's 1D decoder",
            paper=PAPER,
            example=SMALL,
        ),
    ]


@tokzoo.hookimpl
def tokzoo_formats() -> Sequence[tokzoo.FormatSpec]:
    """The checkpoints its authors released."""
    return [
        tokzoo.FormatSpec(
            name="gigatok",
            target="tokzoo_gigatok.checkpoint:GigaTokCheckpoint",
            summary="GigaTok's released .pt files, 1D and 2D",
        )
    ]


@tokzoo.hookimpl
def tokzoo_suites() -> Path:
    """Comparisons of these recipes."""
    return Path(__file__).parent / "suites"


@tokzoo.hookimpl
def tokzoo_recipes() -> Path:
    """The recipes shipped with this package."""
    return Path(__file__).parent / "recipes"
