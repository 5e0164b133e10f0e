"""The conformance kit: what every component must keep to, as pytest classes and as ``tokzoo plugins check``."""

import importlib
from typing import TYPE_CHECKING, Any

__all__ = [  # noqa: RUF022 - in the order of an image's way through them
    "EncoderConformance",
    "QuantizerConformance",
    "DecoderConformance",
    "RegularizerConformance",
    "ARConformance",
    "DatasetConformance",
    "TeacherConformance",
    "MetricConformance",
    "ExecutorConformance",
    "check_defaults",
]

if TYPE_CHECKING:
    from tokzoo.testing.conformance import (
        ARConformance,
        DatasetConformance,
        DecoderConformance,
        EncoderConformance,
        ExecutorConformance,
        MetricConformance,
        QuantizerConformance,
        RegularizerConformance,
        TeacherConformance,
    )
    from tokzoo.testing.defaults import check_defaults


def __getattr__(name: str) -> Any:
    # Late, so that ``tokzoo plugins new`` reaches its templates without torch.
    if name not in __all__:
        raise AttributeError(f"module 'tokzoo.testing' has no attribute {name!r}")
    home = "tokzoo.testing.defaults" if name == "check_defaults" else "tokzoo.testing.conformance"
    return getattr(importlib.import_module(home), name)
