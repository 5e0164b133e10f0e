"""Configs of the datasets. No torch here."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

import tokzoo


class FashionConfig(tokzoo.DatasetConfig):
    """Fashion-MNIST (Xiao, Rasul and Vollgraf, arXiv 1708.07747), one channel, padded from 28×28 to 32×32."""

    places: ClassVar[frozenset[str]] = frozenset({"root"})

    root: Path | None = Field(
        None,
        description="folder with the four original idx files (.gz or not), for all 60,000 + 10,000 images; "
        "null: the 12,000 + 2,000 that come with the package",
    )

    def image_spec(self) -> tokzoo.ImageSpec:
        """One channel of 32×32."""
        return tokzoo.ImageSpec(1, (32, 32))

    def class_names(self) -> tuple[str, ...]:
        """The ten articles, in label order (arXiv 1708.07747, table 2)."""
        return (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        )

    def fingerprint(self) -> str:
        """SHA-256 of the pixels and labels, whether their files are compressed or not.

        Raises:
            tokzoo.TokzooError: a file of ``root`` is missing or is not what its name says.
        """
        # numpy is not needed to list components.
        from tokzoo_data.fashion import arrays

        return arrays.embedded_fingerprint() if self.root is None else arrays.originals_fingerprint(self.root)


class ImagesConfig(tokzoo.DatasetConfig):
    """Any folder of images, each cut to its central square and resized.

    With folders ``train`` and ``val`` at its top, these are the splits; otherwise ``val_fraction`` of the images are
    held out, chosen by their paths.
    """

    places: ClassVar[frozenset[str]] = frozenset({"root"})

    root: Path = Field(description="the folder; images may lie at any depth")
    size: int = Field(32, ge=1, le=4096, description="height and width of the squares, in pixels")
    channels: Literal[1, 3] = Field(3, description="3: RGB; 1: grey")
    labels: bool = Field(True, description="the first folders are classes, if there are any; false: no labels")
    val_fraction: float = Field(0.1, gt=0, lt=1, description="how much is held out where no folder says so")
    skip_corrupt: bool = Field(False, description="leave out files that cannot be decoded; false: name them and stop")

    def image_spec(self) -> tokzoo.ImageSpec:
        """Squares of ``size``."""
        return tokzoo.ImageSpec(self.channels, (self.size, self.size))

    def class_names(self) -> tuple[str, ...] | None:
        """The names of the class folders, in order; None without.

        Raises:
            tokzoo.TokzooError: no such folder, no image in it, or classes that are in doubt.
        """
        # Pillow is not needed to list components.
        from tokzoo_data.images import tree

        return tree.read_classes(self)

    def fingerprint(self) -> str:
        """SHA-256 of the files and of how they become pixels; their times and where they are do not count.

        Every file is read once; after that only those whose size or time changed.

        Raises:
            tokzoo.TokzooError: as :meth:`class_names`; or a split without images, a file that cannot be read.
        """
        from tokzoo_data.images import pack

        return pack.fingerprint(self)
