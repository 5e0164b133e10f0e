"""Parameter counts, from modules built on the meta device: no memory, no time, any size."""

import torch

from tokzoo.assembly.build import build_ar, build_parts, build_regularizers
from tokzoo.contracts.specs import Chain
from tokzoo.recipes.models import Probe, Recipe


def count_parameters(recipe: Recipe, chain: Chain, probe: Probe | None = None) -> dict[str, int]:
    """Parameters by part; ``regularizers`` (heads, discriminators, teachers) do not belong to the tokenizer."""
    with torch.device("meta"):
        encoder, quantizer, decoder = build_parts(recipe, chain)
        parts: dict[str, torch.nn.Module] = {"encoder": encoder, "quantizer": quantizer, "decoder": decoder}
        parts["regularizers"] = torch.nn.ModuleDict(build_regularizers(recipe, chain))
        if probe is not None and chain.codes is not None:
            parts["ar"] = build_ar(probe.ar, chain.codes, chain.classes, quantizer)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    return {name: count for name, count in counts.items() if count}
