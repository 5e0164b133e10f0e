"""tokzoo: the zoo of visual tokenizers, and the benchmark that judges them.

Every public name is imported on first use, so that ``import tokzoo`` and the command line stay free of torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tokzoo._version import TOKZOO_API, __version__

_EXPORTS = {
    "tokzoo.api": ("Results", "load", "run"),
    "tokzoo.contracts.errors": ("Broken", "Diverged", "Refusal", "TokzooError"),
    "tokzoo.contracts.specs": (
        "Chain",
        "CodeSpec",
        "FeatureMapSpec",
        "HiddenSpec",
        "ImageSpec",
        "LatentSpec",
        "Layout",
        "MetricInfo",
        "Tap",
        "Tokens",
    ),
    "tokzoo.contracts.configs": (
        "ARConfig",
        "ComponentConfig",
        "ComponentRef",
        "Config",
        "DatasetConfig",
        "DecoderConfig",
        "EncoderConfig",
        "ExecutorConfig",
        "ImageTermConfig",
        "MetricConfig",
        "NoSampler",
        "QuantizerConfig",
        "RegularizerConfig",
        "TeacherConfig",
    ),
    "tokzoo.contracts.outputs": (
        "ARLoss",
        "Assignment",
        "Decoded",
        "Encoded",
        "Overwritten",
        "Pass",
        "Progress",
        "Quantized",
        "StepContext",
        "View",
    ),
    "tokzoo.contracts.interfaces": (
        "ARModel",
        "Adversary",
        "Crops",
        "Dataset",
        "Decoder",
        "EfficiencyProbe",
        "Encoder",
        "GenerationBatch",
        "ImageTerm",
        "LikelihoodBatch",
        "Metric",
        "Quantizer",
        "ReconstructionBatch",
        "Regularizer",
        "RepresentationProbe",
        "Split",
        "Teacher",
    ),
    "tokzoo.contracts.executors": ("Executor", "Job"),
    "tokzoo.contracts.formats": ("CheckpointFormat", "Ignored", "Kept"),
    "tokzoo.data.pixels": ("to_255",),
    "tokzoo.data.split": ("InMemorySplit",),
    "tokzoo.recipes.slots": ("Slot",),
    "tokzoo.registry.component": ("ComponentSpec",),
    "tokzoo.registry.formats": ("FormatSpec",),
    "tokzoo.registry.hookspecs": ("hookimpl",),
    "tokzoo.registry.local": ("component",),
    "tokzoo.assembly.build": ("build", "build_teacher", "start"),
    "tokzoo.assembly.tokenizer": ("Tokenizer",),
}
_HOME = {name: module for module, names in _EXPORTS.items() for name in names}

if TYPE_CHECKING:
    from tokzoo.api import Results as Results
    from tokzoo.api import load as load
    from tokzoo.api import run as run
    from tokzoo.assembly.build import build as build
    from tokzoo.assembly.build import build_teacher as build_teacher
    from tokzoo.assembly.build import start as start
    from tokzoo.assembly.tokenizer import Tokenizer as Tokenizer
    from tokzoo.contracts.configs import *  # noqa: F403
    from tokzoo.contracts.errors import *  # noqa: F403
    from tokzoo.contracts.executors import Executor as Executor
    from tokzoo.contracts.executors import Job as Job
    from tokzoo.contracts.formats import CheckpointFormat as CheckpointFormat
    from tokzoo.contracts.formats import Ignored as Ignored
    from tokzoo.contracts.formats import Kept as Kept
    from tokzoo.contracts.interfaces import *  # noqa: F403
    from tokzoo.contracts.outputs import *  # noqa: F403
    from tokzoo.contracts.specs import *  # noqa: F403
    from tokzoo.data.pixels import to_255 as to_255
    from tokzoo.data.split import InMemorySplit as InMemorySplit
    from tokzoo.recipes.slots import Slot as Slot
    from tokzoo.registry.component import ComponentSpec as ComponentSpec
    from tokzoo.registry.formats import FormatSpec as FormatSpec
    from tokzoo.registry.hookspecs import hookimpl as hookimpl
    from tokzoo.registry.local import component as component

__all__ = ["TOKZOO_API", "__version__", *_HOME]  # noqa: PLE0604 - names, computed once above


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tokzoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
