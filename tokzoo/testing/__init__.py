"""The conformance kit: what every component must keep to, as pytest classes and as ``tokzoo plugins check``."""

import importlib
from typing import TYPE_CHECKING, Any

_HOME = "tokzoo.testing.conformance"
__all__ = [  # noqa: RUF022 - in the order of an image's way through them
    "EncoderConformance",
    "QuantizerConformance",
    "DecoderConformance",
    "RegularizerConformance",
    "ARConformance",
    "DatasetConformance",
    "TeacherConformance",
    "MetricConformance",
]

if TYPE_CHECKING:
    from tokzoo.testing.conformance import (
        ARConformance,
        DatasetConformance,
        DecoderConformance,
        EncoderConformance,
        MetricConformance,
        QuantizerConformance,
        RegularizerConformance,
        TeacherConformance,
    )


def __getattr__(name: str) -> Any:
    # Late, so that ``tokzoo plugins new`` reaches its templates without torch.
    if name not in __all__:
        raise AttributeError(f"module 'tokzoo.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME), name)
