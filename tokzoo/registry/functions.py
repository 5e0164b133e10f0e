"""Plain functions as components: their keyword-only parameters are the config, and a class is made around them.

What a function is follows from the names of its positional parameters. torch is imported once one is made a class.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_type_hints

from pydantic import PydanticUserError, create_model

from tokzoo.contracts.configs import ComponentConfig, ImageTermConfig, MetricConfig, RegularizerConfig
from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.specs import MetricInfo

if TYPE_CHECKING:
    from torch import Tensor

    from tokzoo.contracts.interfaces import ReconstructionBatch
    from tokzoo.contracts.outputs import Pass

Function = Callable[..., Any]
Keywords = tuple[str, ...]

FORMS = (
    "f(images, target, *, …) -> scalar is an image term, f(state, *, …) -> scalar or {name: scalar} any other term, "
    "f(images, reconstructions, *, …) -> [B] a metric"
)


@dataclass(frozen=True, slots=True)
class Reported:
    """What the number of a metric made from a function is called, and which way is better."""

    label: str = ""
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    digits: int = 3


@dataclass(frozen=True, slots=True)
class Made:
    """A component made from a function."""

    kind: str
    config: type[ComponentConfig]
    target: type


def make(function: Function, name: str, reported: Reported | None) -> Made:
    """The component a function stands for.

    Args:
        function: of one of the forms in ``FORMS``.
        name: the component's.
        reported: of a metric; None: as its name, and never ranked.

    Raises:
        TokzooError: its parameters do not say what it is, or cannot be a config.
    """
    where = f"function {function.__name__}"
    parameters = inspect.signature(function).parameters.values()
    keywords = tuple(each.name for each in parameters if each.kind is each.KEYWORD_ONLY)
    others = [each for each in parameters if each.kind is not each.KEYWORD_ONLY]
    form = tuple(each.name for each in others)
    makers = {("images", "target"): _image_term, ("state",): _term, ("images", "reconstructions"): _metric}
    if form not in makers or any(each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) for each in others):
        raise TokzooError(f"{where}: takes {inspect.signature(function)}; {FORMS}")
    if reported is not None and form != ("images", "reconstructions"):
        raise TokzooError(f"{where}: label, unit, better and digits are for metrics; {FORMS}")
    kind, base, target = makers[form](function, keywords, name, reported or Reported())
    target.__name__ = target.__qualname__ = function.__name__
    target.__doc__ = function.__doc__
    return Made(kind, _config(function, keywords, base, where), target)


def _config(function: Function, keywords: Keywords, base: type[ComponentConfig], where: str) -> type[ComponentConfig]:
    """A config with a field for each keyword-only parameter."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:
        raise TokzooError(f"{where}: an annotation cannot be evaluated: {error}") from error
    fields: dict[str, Any] = {}
    for name in keywords:
        if name not in hints:
            raise TokzooError(f"{where}: give '{name}' a type, such as {name}: float, so that a recipe can set it")
        if name in base.model_fields or hasattr(base, name):
            raise TokzooError(f"{where}: every {base.__name__} has a '{name}' already; rename the parameter")
        if name.startswith("_"):
            raise TokzooError(f"{where}: a field of a config does not begin with '_'; rename '{name}'")
        default = inspect.signature(function).parameters[name].default
        fields[name] = (hints[name], ... if default is inspect.Parameter.empty else default)
    try:
        config = create_model(f"{function.__name__}_config", __base__=base, __module__=function.__module__, **fields)
        config.model_json_schema()
    except PydanticUserError as error:
        problem = str(error).splitlines()[0]
        raise TokzooError(f"{where}: its keyword-only parameters cannot be a config: {problem}") from error
    return config


def _given(config: Any, keywords: Keywords) -> dict[str, Any]:
    return {name: getattr(config, name) for name in keywords}


Parts = tuple[str, type[ComponentConfig], type]


def _image_term(function: Function, keywords: Keywords, name: str, reported: Reported) -> Parts:
    from tokzoo.contracts.interfaces import ImageTerm

    class FunctionImageTerm(ImageTerm):
        def distance(self, images: "Tensor", target: "Tensor") -> "Tensor":
            found: Tensor = function(images, target, **_given(self.config, keywords))
            return found

    return "regularizer", ImageTermConfig, FunctionImageTerm


def _term(function: Function, keywords: Keywords, name: str, reported: Reported) -> Parts:
    from tokzoo.contracts.interfaces import Regularizer

    class FunctionTerm(Regularizer):
        def terms(self, state: "Pass") -> "dict[str, Tensor]":
            found = function(state, **_given(self.config, keywords))
            return dict(found) if isinstance(found, Mapping) else {"": found}

    return "regularizer", RegularizerConfig, FunctionTerm


def _metric(function: Function, keywords: Keywords, name: str, reported: Reported) -> Parts:
    import torch

    from tokzoo.contracts.interfaces import Metric

    label = reported.label or name.rpartition("/")[2].replace("-", " ")
    metric_id = f"reconstruction.{name.replace('-', '_').replace('/', '.')}"
    info = MetricInfo(metric_id, label, reported.unit, reported.better, digits=reported.digits)

    class FunctionMetricConfig(MetricConfig):
        stage: ClassVar = "reconstruction"
        reports: ClassVar = (info,)

        def protocol(self) -> dict[str, Any]:
            return {"settings": self.model_dump(mode="json"), "values": "mean over images in [-1, 1]"}

    class FunctionMetric(Metric):
        def __init__(self, config: Any, chain: Any) -> None:
            super().__init__(config, chain)
            self._sums: list[Tensor] = []
            self._count = 0

        def update(self, batch: "ReconstructionBatch") -> None:
            values = function(batch.images, batch.reconstructions, **_given(self.config, keywords))
            if not isinstance(values, torch.Tensor) or values.shape != (len(batch.images),):
                found = f"shape {list(values.shape)}" if isinstance(values, torch.Tensor) else repr(values)
                raise TokzooError(f"metric '{name}': one value per image, shape [{len(batch.images)}], not {found}")
            self._sums.append(values.double().sum())
            self._count += len(values)

        def compute(self) -> dict[str, float]:
            return {info.id: float(torch.stack(self._sums).sum()) / self._count}

    return "metric", FunctionMetricConfig, FunctionMetric
