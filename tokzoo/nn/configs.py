"""Configs of building blocks, for the configs of components that contain them. No torch.

The schedules of guidance are in :mod:`tokzoo.nn.guidance`.
"""

from typing import Literal

from pydantic import Field

from tokzoo.contracts.configs import Config

GanLoss = Literal["hinge", "non-saturating"]
"""The losses of :mod:`tokzoo.nn.gan_loss`."""


class EMAConfig(Config):
    """How a codebook follows its latents, see ``tokzoo.nn.codebook_average``."""

    decay: float = Field(0.99, gt=0, lt=1, description="per-step decay of each code's count and sum of latents")
    epsilon: float = Field(
        1e-5, gt=0, le=1, description="Laplace smoothing of the counts; as they are, relative to an equal share (1.0)"
    )


class LeCamConfig(Config):
    """A penalty on what a discriminator says, see ``tokzoo.nn.lecam``."""

    weight: float = Field(0.001, gt=0, description="factor of the penalty beside the discriminator's loss")
    decay: float = Field(0.99, ge=0, lt=1, description="of the running means of its logits")


class DiffAugmentConfig(Config):
    """Random changes of all that a discriminator sees, see ``tokzoo.nn.diff_augment``. 0 leaves a change out."""

    translation: float = Field(0.125, ge=0, lt=1, description="farthest shift, as a fraction of the side")
    brightness: float = Field(0.5, ge=0, description="most that is added to, or taken from, all values of an image")
    saturation: float = Field(1.0, ge=0, description="colours are scaled around grey by a factor of 1 ± this")
    contrast: float = Field(0.5, ge=0, description="values are scaled around their mean by a factor of 1 ± this")
    cutout: float = Field(0.2, ge=0, le=1, description="side of the box that is blanked, as a fraction of the image's")
