"""What this package registers. No torch."""

import tokzoo


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    """The AR models."""
    return [
        tokzoo.ComponentSpec(
            kind="ar",
            name="gpt",
            config="tokzoo_ar.configs:GPTConfig",
            target="tokzoo_ar.gpt:GPT",
            summary="LlamaGen's class-conditional GPT as GigaTok trains it; learned or rotary positions",
            paper="arXiv 2406.06525; arXiv 2504.08736, section 3.1",
            example={"size": None, "layers": 2, "heads": 2, "width": 32, "ffn_multiple": 32},
        )
    ]


@tokzoo.hookimpl
def tokzoo_formats() -> list[tokzoo.FormatSpec]:
    """Checkpoints of AR models."""
    return [
        tokzoo.FormatSpec(
            name="gigatok-gpt",
            target="tokzoo_ar.checkpoint:GPTCheckpoint",
            summary="the released .pt files of GigaTok's GPTs, which learned its tokenizers' codes",
        )
    ]
