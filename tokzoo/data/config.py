"""What a recipe or a track may say about data on the device. No torch here."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tokzoo.contracts.configs import Config


class RandomCrop(Config):
    """Squares from random places of pictures of random size, as ADM and GigaTok cut them.

    arXiv 2105.05233; the range of sizes is that of GigaTok's tokenizer training (arXiv 2504.08736).
    """

    smallest: float = Field(
        0.8,
        gt=0,
        le=1,
        description="the smallest part of a picture's short side that a square may take: pictures are resized to a "
        "short side between size and size / smallest pixels, each length as likely; 1: all of it, at a random place",
    )


class Augmentation(Config):
    """Random changes of training images; validation images are never changed."""

    flip: bool = Field(False, description="mirror each training image left to right with probability 1/2")
    crop: RandomCrop | None = Field(
        None, description="cut training images from random places of their pictures; null: from the centre"
    )
    codes: Literal["ten-crop", "live"] | None = Field(
        None,
        description="which codes an AR model learns. ten-crop: of the corners and the centre of pictures a tenth "
        "larger, and of their mirror images; live: of images augmented anew and encoded in every step; null: of the "
        "images as they are judged and, with flip, of their mirror images",
    )

    @property
    def needs_crops(self) -> bool:
        """Whether it needs a dataset that provides ``"crops"``."""
        return self.crop is not None or self.codes == "ten-crop"

    @model_validator(mode="after")
    def _ten_crops_are_mirrored(self) -> Self:
        if self.codes == "ten-crop" and not self.flip:
            raise ValueError("codes: ten-crop holds mirror images; say flip: true with it, or codes: live")
        return self
