"""What a recipe or a track may say about data on the device. No torch here."""

from pydantic import Field

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
