"""Configs of the datasets. No torch here."""

from pathlib import Path

from pydantic import Field

import tokzoo


class FashionConfig(tokzoo.DatasetConfig):
    """Fashion-MNIST (Xiao, Rasul and Vollgraf, arXiv 1708.07747), one channel, padded from 28×28 to 32×32."""

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
