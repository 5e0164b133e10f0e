"""Configs of the datasets. No torch here."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

import tokzoo

TELLING = 100
"""Fewer pictures to judge by say little of a tokenizer."""


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

    def warnings(self, steps: int) -> list[str]:
        """That there are too few pictures to judge by."""
        from tokzoo_data.images import tree

        found = tree.read_tree(self)
        judged, every = len(found.files["val"]), sum(map(len, found.files.values()))
        if judged >= TELLING:
            return []
        more = (
            "add some to its folder val"
            if tree.is_split(found.root)
            else "add some, or raise track.dataset.val_fraction"
        )
        return [f"has {judged} of {every} pictures to judge by; fewer than {TELLING} say little: {more}"]


class Expected(tokzoo.Config):
    """How much there must be, so that half a copy of a dataset does not pass for it."""

    train: int | None = Field(None, ge=1, description="pictures to learn from; null: any number")
    val: int | None = Field(None, ge=1, description="pictures to judge by; null: any number")
    classes: int | None = Field(None, ge=2, description="classes; null: any number")


class LiveImagesConfig(tokzoo.DatasetConfig):
    """Pictures decoded while one trains, each cut to a square: datasets such as ImageNet, too large for memory.

    In class folders (``train/n01440764/n01440764_18.JPEG``) or in WebDataset shards (``train-000000.tar``, with members
    ``KEY.jpg`` and ``KEY.cls``). There is no leaving out of files that cannot be decoded: which picture stands where in
    an epoch is settled before any is read. The first epoch reads them all and names the first that is damaged.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"crops"})
    places: ClassVar[frozenset[str]] = frozenset({"root", "train", "val"})
    elsewhere: ClassVar[bool] = True

    root: Path | None = Field(None, description="the folder of both splits; to be given before anything runs")
    train: str = Field(
        "train",
        description="where in root the pictures to learn from are: a folder, a range of shards as in "
        "train-{000000..000099}.tar, or what names of shards begin with",
    )
    val: str = Field("val", description="where in root the pictures to judge by are, in the same ways")
    size: int = Field(256, ge=1, le=4096, description="height and width of the squares, in pixels")
    channels: Literal[1, 3] = Field(3, description="3: RGB; 1: grey")
    labels: bool = Field(True, description="classes are class folders, or members .cls of shards; false: no labels")
    expect: Expected | None = Field(None, description="how much there must be; null: any number")

    def image_spec(self) -> tokzoo.ImageSpec:
        """Squares of ``size``."""
        return tokzoo.ImageSpec(self.channels, (self.size, self.size))

    def class_names(self) -> tuple[str, ...] | None:
        """The names of the class folders, in order, or the numbers shards have for them; None without labels.

        Raises:
            tokzoo.TokzooError: no root, no pictures where it says, classes that do not match, or not what is expected.
        """
        # numpy is not needed to list components.
        from tokzoo_data.live import splits

        return splits.find_splits(self)[1]

    def fingerprint(self) -> str:
        """SHA-256 of every picture's name, size in bytes and label, and of how files become pixels.

        Of what the files contain only their sizes count: reading a million of them would take longer than the rest of
        a small run. A picture exchanged for another of the same size is not noticed.

        Raises:
            tokzoo.TokzooError: as :meth:`class_names`.
        """
        from tokzoo_data.live import splits

        return splits.fingerprint(self)
