"""Config classes: what a component can be told, and what it answers about shapes. No torch here.

A plugin subclasses one of these per component. The solver calls the spec methods in the order encoder, quantizer,
decoder, regularizers, AR model, before any weight exists; each raises :class:`Refusal` with a reason where it cannot
work with what it is offered.
"""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.specs import (
    Chain,
    CodeSpec,
    FeatureMapSpec,
    HiddenSpec,
    ImageSpec,
    LatentSpec,
    Layout,
    MetricInfo,
    Tap,
    Tokens,
)


class Config(BaseModel):
    """Base of every config model: frozen, and an unknown field is an error.

    Its validator is made when it is first used: a command that lists fifty plugins uses few of their configs.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, protected_namespaces=(), defer_build=True
    )


def check_spans(config: Config, names: Iterable[str]) -> None:
    """Raise ValueError, naming the field, unless fields of a config are steps (int) or fractions (float below 1)."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, float) and not value < 1:
            raise ValueError(f"{name}: a float is a fraction of the budget below 1; write steps as an integer")


def first_step(gate: int | float, steps: int) -> int:
    """The step that a gate is at: a step (int), or a fraction (float) of a budget of so many steps."""
    return gate if isinstance(gate, int) else round(gate * steps)


def never_opens(start: int | float, stop: int | float | None, steps: int) -> str:
    """Why a gate is open in none of so many steps; "" where it opens."""
    first, end = first_step(start, steps), steps if stop is None else first_step(stop, steps)
    if first >= steps:
        return f"it starts at step {first}; lower start, or write it as a fraction of the budget"
    return "" if first < end else f"it starts at step {first} and stops at step {end}; raise stop"


class ComponentConfig(Config):
    """Base of every component's config."""

    provides: ClassVar[frozenset[str]] = frozenset()
    """Capabilities others may rely on, such as ``"assignment"`` (see ``contracts.capabilities``).

    A class variable, or a property where it depends on the config's values: it is always read from an instance. The
    same holds for ``requires``, an encoder's ``layout``, and the ``sampler`` of a decoder or an AR model.
    """

    requires: ClassVar[frozenset[str]] = frozenset()
    """Capabilities this component needs another of the tokenizer to provide, or a certain one: ``"decoder.NAME"``.

    A metric is left out, with a word, where the tokenizer does not provide them.
    """

    places: ClassVar[frozenset[str]] = frozenset()
    """Fields that only say where something lies on a machine: no result depends on them, and no record shows them."""

    contents: ClassVar[frozenset[str]] = frozenset()
    """Fields that hold the path of a file (or None) whose content results depend on: keys and records hold its hash."""

    def weight_of(self, term: str) -> float:
        """The weight of one of the component's own loss terms, which it returns unweighted."""
        return 1.0

    def warnings(self, steps: int) -> list[str]:
        """What is not wrong but may not be meant where a tokenizer is trained for so many steps.

        Each is told in a line before anything is trained, after the component's place in recipe or track: "never acts:
        it starts at step 500; lower start".
        """
        return []

    def missing(self) -> list[str]:
        """The files it reads when training starts or something is measured that are not on this machine.

        Each is told in a line, with where it is had and the field that takes its path. Nothing is fetched or built to
        find out. That a path in ``contents`` names a file need not be looked at.
        """
        return []


class NoSampler(Config):
    """The sampler of what draws nothing at random: there is nothing to choose."""


class EncoderConfig(ComponentConfig):
    """An encoder: images to a latent."""

    layout: ClassVar[Layout]
    """The layout of its latent, known before its size: the quantizer is asked what it wants for it."""

    @abstractmethod
    def latent_spec(self, image: ImageSpec, channels: int | None) -> LatentSpec:
        """The latent made from such images, projected to ``channels`` (None: the encoder's own choice)."""

    def feature_map_spec(self, image: ImageSpec) -> FeatureMapSpec | None:
        """The feature map handed on beside the latent, if there is one."""
        return None

    def hidden_spec(self, tap: Tap, image: ImageSpec) -> HiddenSpec:
        """The hidden states served at ``tap``."""
        raise Refusal(f"serves no hidden states (asked for tap {tap!r})")


class QuantizerConfig(ComponentConfig):
    """A quantizer: a latent to codes, and codes back to a latent."""

    def wants(self, layout: Layout) -> int | None:
        """How many channels the encoder should project to (the codebook dimension); None takes any."""
        return None

    @abstractmethod
    def code_spec(self, latent: LatentSpec) -> CodeSpec | None:
        """The codes of such a latent; None for a continuous quantizer."""

    def hands_on(self, latent: LatentSpec) -> LatentSpec:
        """The quantized latent."""
        return latent


class DecoderConfig(ComponentConfig):
    """A decoder: a quantized latent to images."""

    sampler: ClassVar[type[Config]] = NoSampler
    """The config model of its sampler, where it is generative (steps of a flow): changing it retrains nothing."""

    @abstractmethod
    def accepts(self, latent: LatentSpec, image: ImageSpec) -> None:
        """Raise :class:`Refusal` unless such a latent can be decoded to such images."""

    def accepts_feature_map(self, feature_map: FeatureMapSpec, image: ImageSpec) -> None:
        """Raise :class:`Refusal` unless the feature map can be decoded directly (``"feature_map_decoding"``)."""
        raise Refusal("cannot decode a feature map")

    def hidden_spec(self, tap: Tap, latent: LatentSpec, image: ImageSpec) -> HiddenSpec:
        """The hidden states served at ``tap``."""
        raise Refusal(f"serves no hidden states (asked for tap {tap!r})")


class RegularizerConfig(ComponentConfig):
    """One term of the training objective.

    ``start`` and ``stop`` gate it: a step (int) or a fraction of the budget (float in [0, 1)). Active while
    ``start <= step < stop``, steps counted from 0.
    """

    weight: float = Field(1.0, description="factor of the term in the objective")
    start: int | float = Field(0, ge=0, description="first active step: an int, or a fraction of the budget")
    stop: int | float | None = Field(None, ge=0, description="first inactive step; null: never")

    @model_validator(mode="after")
    def _gates_are_steps_or_fractions(self) -> Self:
        check_spans(self, ("start", "stop"))
        return self

    def weight_of(self, term: str) -> float:
        """The weight of one of its terms."""
        return self.weight

    def warnings(self, steps: int) -> list[str]:
        """That its gate never opens."""
        why = never_opens(self.start, self.stop, steps)
        return [f"never acts: {why}"] if why else []

    def taps(self) -> tuple[Tap, ...]:
        """The decoder taps it reads."""
        return ()

    def encoder_taps(self) -> tuple[Tap, ...]:
        """The encoder taps it reads."""
        return ()

    def accepts(self, chain: Chain) -> None:
        """Raise :class:`Refusal` unless it can work in this tokenizer."""


class ImageTermConfig(RegularizerConfig):
    """A term that compares reconstructions with images (see ``interfaces.ImageTerm``)."""

    views: tuple[str, ...] | None = Field(None, description="names of the views it runs over; null: all")


class ARConfig(ComponentConfig):
    """An autoregressive (or masked, or next-scale) model of codes."""

    sampler: ClassVar[type[Config]]
    """The config model of its sampler (temperature, top-k, guidance …)."""

    @abstractmethod
    def accepts(self, tokens: Tokens) -> None:
        """Raise :class:`Refusal` unless it can learn such tokens."""


class DatasetConfig(ComponentConfig):
    """A dataset. These answers read no image."""

    elsewhere: ClassVar[bool] = False
    """Its files come with no package: a track stays the same track when it is told where they are (``places``)."""

    @abstractmethod
    def image_spec(self) -> ImageSpec:
        """What its images are after its own resizing and padding."""

    @abstractmethod
    def class_names(self) -> tuple[str, ...] | None:
        """Class names in label order; None without labels."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of the content: stages are cached by it. Must be quick, and torch-free."""


class TeacherConfig(ComponentConfig):
    """A frozen network whose features a regularizer aligns with."""

    @abstractmethod
    def hidden_spec(self, image: ImageSpec) -> HiddenSpec:
        """The features it makes of such images."""


class MetricConfig(ComponentConfig):
    """A metric: some numbers measured in one stage, each with the same protocol."""

    stage: ClassVar[str]
    """Where it is measured: reconstruction, likelihood, representation, generation or efficiency."""

    reports: ClassVar[tuple[MetricInfo, ...]]
    datasets: ClassVar[frozenset[str] | None] = None
    """The datasets it means something on, such as those its judge was trained for; None: any. Left out elsewhere."""

    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """Everything that must be equal for two numbers to be comparable. JSON.

        The runner adds what the track decides (dataset, split, sample count, AR probe).
        """


class ExecutorConfig(ComponentConfig):
    """An executor: how and where cells are run. No result depends on it but by the number of threads."""

    elsewhere: ClassVar[bool] = False
    """Its cells may be run on other machines, which have devices of their own."""


KINDS: dict[str, type[ComponentConfig]] = {
    "encoder": EncoderConfig,
    "quantizer": QuantizerConfig,
    "decoder": DecoderConfig,
    "regularizer": RegularizerConfig,
    "ar": ARConfig,
    "dataset": DatasetConfig,
    "teacher": TeacherConfig,
    "metric": MetricConfig,
    "executor": ExecutorConfig,
}


class ComponentRef:
    """The type of a config field that holds another component: ``teacher: ComponentRef["teacher"]``.

    Linters read the kind as a forward reference; to them one says ``Annotated[Slot, ComponentRef["teacher"]]``.

    Written in a recipe like any slot, ``{use: timm, model: …}``. While a recipe is resolved the reference is validated
    by the component it names, and the field holds a slot with ``.use`` and ``.config``.
    """

    kind: ClassVar[str]

    def __class_getitem__(cls, kind: str) -> Any:
        if kind not in KINDS:
            raise TypeError(f"ComponentRef[{kind!r}]: kinds are {', '.join(KINDS)}")
        return type(f"ComponentRef_{kind}", (cls,), {"kind": kind})

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "object", "properties": {"use": {"type": "string"}}, "required": ["use"]}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        kind = cls.kind

        def validate(value: Any, info: core_schema.ValidationInfo) -> Any:
            if hasattr(value, "config") and hasattr(value, "use"):
                return value
            if not info.context or "resolve" not in info.context:
                raise ValueError(f"a reference to a {kind} needs a catalogue: resolve the recipe, or pass a slot")
            return info.context["resolve"](kind, value)

        return core_schema.with_info_plain_validator_function(
            validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda slot, info: slot.dump((info.context or {}).get("places", True)), info_arg=True
            ),
        )
