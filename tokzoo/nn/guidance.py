"""How strongly each code of an image is guided. No torch.

A schedule says the scale of classifier-free guidance for code j of N, from the progress ``r = j / (N - 1)`` and the
full scale s. The first code is always guided at s. The constants 1.0001 and the rest are those of GigaTok's sampler
(arXiv 2504.08736, released code), kept because they can be seen in the codes it draws.
"""

import math
from abc import abstractmethod
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokzoo.contracts.configs import Config

NUDGE = 1e-4
"""GigaTok's scales stay this much away from 1, where a schedule would otherwise turn guidance off."""


class Schedule(Config):
    """Base of the schedules."""

    @abstractmethod
    def at(self, full: float, code: int, last: int) -> float:
        """The scale of code ``code`` in [1, ``last``], where ``full`` is the sampler's own scale."""

    def scales(self, full: float, codes: int) -> list[float]:
        """The scales of all ``codes`` codes of an image; exactly 1 means the conditional logits alone."""
        return [full, *(self.at(full, code, codes - 1) for code in range(1, codes))]


class Constant(Schedule):
    """s throughout."""

    use: Literal["constant"] = "constant"

    def at(self, full: float, code: int, last: int) -> float:
        """The full scale."""
        return full


class Linear(Schedule):
    """From 1 up to s: ``1 + (s - 1) r + 1e-4``."""

    use: Literal["linear"] = "linear"

    def at(self, full: float, code: int, last: int) -> float:
        """Rising with the progress."""
        return 1 + (full - 1) * (code / last) + NUDGE


class LinearReverse(Schedule):
    """From s down to 1: ``1 + (s - 1)(1 - r) + 1e-4``."""

    use: Literal["linear-reverse"] = "linear-reverse"

    def at(self, full: float, code: int, last: int) -> float:
        """Falling with the progress."""
        return 1 + (full - 1) * (1 - code / last) + NUDGE


class Triangular(Schedule):
    """From 1 up to s at the peak p, and back: ``1 + (s - 1) t + 1e-4``, t = r / p before p, (1 - r) / (1 - p) after."""

    use: Literal["triangular"] = "triangular"
    peak: float = Field(0.5, gt=0, lt=1, description="progress at which guidance is strongest")

    def at(self, full: float, code: int, last: int) -> float:
        """Rising up to the peak, falling after it."""
        progress = code / last
        height = progress / self.peak if progress < self.peak else (1 - progress) / (1 - self.peak)
        return 1 + (full - 1) * height + NUDGE


class Cosine(Schedule):
    """From 1 up to s along half a cosine: ``1 + (s - 1)(1 - cos(π r)) / 2``. This project's own definition."""

    use: Literal["cosine"] = "cosine"

    def at(self, full: float, code: int, last: int) -> float:
        """Rising slowly, then fast, then slowly."""
        return 1 + (full - 1) * (1 - math.cos(math.pi * code / last)) / 2


class Step(Schedule):
    """1.0001 before ``start``, s from there on. GigaTok's released samples start at 0.18."""

    use: Literal["step"] = "step"
    start: float = Field(0.18, ge=0, le=1, description="progress from which on codes are guided")

    def at(self, full: float, code: int, last: int) -> float:
        """The full scale once the progress has reached the start."""
        return full if code / last >= self.start else 1 + NUDGE


class Window(Schedule):
    """The full scale while ``start <= r <= stop``, 1.0001 outside."""

    use: Literal["window"] = "window"
    start: float = Field(0.05, ge=0, le=1, description="progress from which on codes are guided")
    stop: float = Field(1.0, ge=0, le=1, description="progress up to which codes are guided")

    @model_validator(mode="after")
    def _opens(self) -> Self:
        if self.start > self.stop:
            raise ValueError(f"the window never opens: start {self.start:g} lies after stop {self.stop:g}")
        return self

    def at(self, full: float, code: int, last: int) -> float:
        """The full scale inside the window."""
        return full if self.start <= code / last <= self.stop else 1 + NUDGE


class Interval(Schedule):
    """The full scale for the first ``codes`` codes, then no guidance at all.

    The ``cfg_interval`` c of LlamaGen's sampler is ``codes = c + 2``: it counts decoding steps from 0, after the first
    code.
    """

    use: Literal["interval"] = "interval"
    codes: int = Field(ge=1, description="how many codes, from the first on, are guided")

    def at(self, full: float, code: int, last: int) -> float:
        """The full scale for the leading codes."""
        return full if code < self.codes else 1.0


AnySchedule = Annotated[
    Constant | Linear | LinearReverse | Triangular | Cosine | Step | Window | Interval, Field(discriminator="use")
]
"""Written as ``{use: step, start: 0.18}``."""
