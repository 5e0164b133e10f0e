"""What a recipe or a track may say about data on the device. No torch here."""

from pydantic import Field

from tokzoo.contracts.configs import Config


class Augmentation(Config):
    """Random changes of training images; validation images are never changed."""

    flip: bool = Field(False, description="mirror each training image left to right with probability 1/2")
