"""Config of LPIPS, without torch."""

import importlib.util
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from tokzoo import Chain, ImageTermConfig, Refusal
from tokzoo.nn.weight_caches import torch_checkpoint

SOURCES = {
    "vgg": "vgg16-397923af.pth from https://download.pytorch.org/models/vgg16-397923af.pth",
    "lin": "vgg.pth from https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/vgg.pth",
}
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

    def files(self) -> dict[str, Path | None]:
        """Where the two files of weights should be, by field; None where there is no such place."""
        usual = {"vgg": torch_checkpoint("vgg16-397923af.pth"), "lin": _in_package()}
        paths = {field: getattr(self, field) or usual[field] for field in SOURCES}
        return {field: path and path.expanduser() for field, path in paths.items()}

    def missing(self) -> list[str]:
        """The files that are missing, where each comes from, and the fields to set, in one line."""
        lacking = {field: path for field, path in self.files().items() if path is None or not path.is_file()}
        if not lacking:
            return []
        wanted = "; ".join(
            f"{field}: {SOURCES[field]}" + (f" (there is no {path})" if path else "") for field, path in lacking.items()
        )
        return [f"weights are missing: download them, and set these fields to their paths: {wanted}"]


def _in_package() -> Path | None:
    """The weights that the package ``lpips`` brings along, if it is installed; it is not imported."""
    found = importlib.util.find_spec("lpips")
    return Path(found.origin).parent / "weights" / "v0.1" / "vgg.pth" if found and found.origin else None
