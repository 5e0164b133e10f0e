"""GigaTok's released GPTs (arXiv 2504.08736, section 3.1): how their keys follow from ours. No torch here."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from tokzoo import CheckpointFormat, ImageSpec, Kept, Refusal

WEIGHTS = "weights"
RENAMES = (
    (r"^positions$", "positional_embedding"),
    (r"^starts\.", "cls_embedding.embedding_table."),
    (r"^tokens\.", "tok_embeddings."),
    (r"^head\.", "output."),
    (r"^final_modulation\.", "final_adaLN.1."),
    (r"^modulation\.", "adaLN.1."),
    (r"^blocks\.", "layers."),
    (r"\.attention\.qkv\.", ".attention.wqkv."),
    (r"\.attention\.out\.", ".attention.wo."),
    (r"\.ffn\.gate\.", ".feed_forward.w1."),
    (r"\.ffn\.down\.", ".feed_forward.w2."),
    (r"\.ffn\.up\.", ".feed_forward.w3."),
    (r"\.modulation\.", ".adaLN_modulation.1."),
    (r"\.modulation_offset$", ".ada_gss"),
)


class GPTCheckpoint(CheckpointFormat):
    """The ``.pt`` files of its class-conditional GPT, with or without normalised queries and keys or adaLN.

    Those of LlamaGen, whose code it continues, are not read: their start's queries and keys are multiplied by 0, and no
    positions of ``gpt`` do that.
    """

    holds: ClassVar[Literal["tokenizer", "ar"]] = "ar"
    image: ClassVar[ImageSpec] = ImageSpec(3, (256, 256))
    classes: ClassVar[int | None] = 1000
    # Its own scripts sample from the last weights, not from their average.
    weights: ClassVar[tuple[str, ...]] = ("model", "ema", "module", "state_dict")
    written: ClassVar[tuple[str, ...]] = ("model",)

    def accepts(self, recipe: Any) -> None:
        """Refuse any AR model but ``gpt`` with learned positions."""
        if recipe.ar.use != "gpt":
            raise Refusal(f"{recipe.name}: such checkpoints hold a 'gpt', not a '{recipe.ar.use}'; set ar.use=gpt")
        if recipe.ar.config.positions != "learned":
            raise Refusal(
                f"{recipe.name}: such checkpoints have learned positions, not '{recipe.ar.config.positions}' ones; "
                "set ar.positions=learned"
            )

    def kept(self, recipe: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Kept]:
        """Where each tensor is kept: packed q, k and v as ours are, offsets with axes for batch and position."""
        return {
            name: Kept(WEIGHTS, key_of(name), (1, 1, *shape) if name.endswith("modulation_offset") else shape)
            for name, shape in shapes.items()
        }


def key_of(name: str) -> str:
    """Their key of our ``ar.NAME``."""
    key = name.removeprefix("ar.")
    for pattern, replacement in RENAMES:
        key = re.sub(pattern, replacement, key)
    return key
