"""Parameter counts, from modules built on the meta device: no memory, no time, any size."""

import torch

from tokzoo.assembly.build import build_ar, build_parts, build_regularizers
from tokzoo.contracts.specs import Chain
from tokzoo.recipes.models import Probe, Recipe


def count_parameters(recipe: Recipe, chain: Chain, probe: Probe | None = None) -> dict[str, int]:
    """Parameters by part, each counted once, by the first part that has it.

    ``regularizers`` (heads, discriminators, teachers) do not belong to the tokenizer.
    """
    seen: set[int] = set()

    def fresh(part: torch.nn.Module) -> int:
        new = [parameter for parameter in part.parameters() if id(parameter) not in seen]
        seen.update(map(id, new))
        return sum(parameter.numel() for parameter in new)

    with torch.device("meta"):
        encoder, quantizer, decoder = build_parts(recipe, chain)
        parts: dict[str, torch.nn.Module] = {"encoder": encoder, "quantizer": quantizer, "decoder": decoder}
        parts["regularizers"] = torch.nn.ModuleList(build_regularizers(recipe, chain).values())
        if probe is not None and chain.codes is not None:
            parts["ar"] = build_ar(probe.ar, chain.tokens, quantizer)
    counts = {name: fresh(part) for name, part in parts.items()}
    return {name: count for name, count in counts.items() if count}
