"""Configs of the regularizers, without torch."""

from typing import ClassVar

from pydantic import Field

from tokzoo import ImageTermConfig, RegularizerConfig


class L1Config(ImageTermConfig):
    """Mean absolute error, see ``tokzoo_losses.l1``."""


class L2Config(ImageTermConfig):
    """Mean squared error, see ``tokzoo_losses.l2``."""


class EntropyConfig(RegularizerConfig):
    """Entropy of the assignment of latents to codes, see ``tokzoo_losses.entropy``."""

    requires: ClassVar[frozenset[str]] = frozenset({"assignment"})

    temperature: float = Field(0.01, gt=0, description="of the softmax over negated squared distances to the codes")
