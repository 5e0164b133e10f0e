"""What the quantizer can be told, and the codes that follow. No torch here: every command imports this."""

from pydantic import Field

import tokzoo


class DitheredConfig(tokzoo.QuantizerConfig):
    """Each of ``dim`` channels takes one of ``levels`` values: ``levels ** dim`` codes."""

    levels: int = Field(8, ge=2, le=64, description="values of a channel")
    dim: int = Field(3, ge=1, le=8, description="channels that are rounded")

    def wants(self, layout: str) -> int:
        """The encoder projects to the channels that are rounded."""
        return self.dim

    def code_spec(self, latent: tokzoo.LatentSpec) -> tokzoo.CodeSpec:
        """One code a position."""
        if latent.channels != self.dim:
            raise tokzoo.Refusal(f"rounds {self.dim} channels, and is given {latent.channels}; set dim")
        return tokzoo.CodeSpec(latent.shape, (self.levels**self.dim,))
