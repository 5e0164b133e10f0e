"""Config of LPIPS, without torch."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from tokzoo import Chain, ImageTermConfig, Refusal

SMALLEST = 16
"""The side of an image of which one pixel is left at the last of VGG's taps."""


class LpipsConfig(ImageTermConfig):
    """Distance in the features of VGG, see ``tokzoo_losses.lpips``."""

    contents: ClassVar[frozenset[str]] = frozenset({"vgg", "lin"})

    vgg: Path | None = Field(
        None, description="path of torchvision's vgg16-397923af.pth; null: where torch.hub keeps it"
    )
    lin: Path | None = Field(
        None, description="path of LPIPS's own vgg.pth (version 0.1); null: that of the installed package lpips"
    )

    def accepts(self, chain: Chain) -> None:
        """Refuse images that are neither grey nor coloured, and those too small."""
        if chain.image.channels not in (1, 3):
            raise Refusal(f"sees images of 1 or 3 channels, not a {chain.image}; use l1 or l2 instead")
        if min(chain.image.size) < SMALLEST:
            raise Refusal(f"sees images from {SMALLEST}×{SMALLEST} on, not a {chain.image}; use l1 or l2 instead")
