"""Resolved recipes, tracks and suites: every component found, every value validated."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from tokzoo.contracts.configs import ComponentConfig, Config
from tokzoo.contracts.errors import TokzooError
from tokzoo.data.config import Augmentation
from tokzoo.data.files import known_hash
from tokzoo.recipes.saved import Saved
from tokzoo.recipes.tree import Key
from tokzoo.registry.catalogue import Entry

Decay = Annotated[float, Field(ge=0, lt=1)]


class Optimization(Config):
    """How a model is optimised; its budget is the track's.

    AdamW (arXiv 1711.05101) with a linear warm-up from ``lr / warm-up steps``, then the schedule.
    """

    lr: float = Field(1e-4, gt=0, description="peak learning rate")
    betas: tuple[Decay, Decay] = Field((0.9, 0.95), description="AdamW's moment decays")
    weight_decay: float = Field(1e-4, ge=0)
    decay: Literal["matrices", "all"] = Field(
        "matrices", description="which parameters decay; matrices: two axes or more"
    )
    schedule: Literal["cosine", "constant", "wsd"] = Field(
        "cosine", description="after the warm-up; wsd: warm-up, stable, then a square-root cool-down"
    )
    warmup: int | float = Field(0, ge=0, description="steps, or a fraction of the budget")
    cooldown: int | float = Field(0.2, ge=0, description="last part of the budget (wsd): steps, or a fraction of it")
    final_lr: float = Field(0.1, ge=0, le=1, description="learning rate at the end, as a fraction of lr (cosine, wsd)")
    clip: float | None = Field(1.0, gt=0, description="largest gradient norm; null: no clipping")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the weight average judged instead; null: none")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: autocast")

    @model_validator(mode="after")
    def _spans_are_steps_or_fractions(self) -> Self:
        for name in ("warmup", "cooldown"):
            value = getattr(self, name)
            if isinstance(value, float) and not value < 1:
                raise ValueError(f"{name}: a float is a fraction of the budget below 1; write steps as an integer")
        return self


class Budget(Config):
    """How much is trained."""

    steps: int = Field(gt=0)
    batch: int = Field(gt=0)


@dataclass(frozen=True, slots=True)
class Slot:
    """A component in its place: found, and its config validated."""

    kind: str
    entry: Entry
    config: ComponentConfig

    @property
    def use(self) -> str:
        """The component's name."""
        return self.entry.spec.name

    def dump(self, places: bool = True) -> dict[str, Any]:
        """As it would be written in a recipe, every field given; without ``places``, fit to be published.

        Raises:
            TokzooError: without ``places``: a file whose content counts is missing.
        """
        left_out = set() if places else {*self.config.places, *self.config.contents}
        dump = self.config.model_dump(mode="json", exclude=left_out, context={"places": places})
        return {"use": self.use, **dump} if places else {"use": self.use, **dump, **self._hashes()}

    def identity(self) -> dict[str, Any]:
        """What its results depend on: name, version, text (of a file plugin), fields, and the same of its parts."""
        return {
            "use": self.use,
            "version": self.entry.spec.version,
            "source": self.entry.source_hash,
            "config": {name: value for name, value in self.dump(places=False).items() if name != "use"},
            "parts": [part.identity() for part in self.parts()],
        }

    def _hashes(self) -> dict[str, str | None]:
        """Instead of the path of a file whose content counts, what it contains."""
        hashes: dict[str, str | None] = {}
        for name in sorted(self.config.contents):
            path = getattr(self.config, name)
            try:
                hashes[name] = None if path is None else f"sha256:{known_hash(Path(path).expanduser())}"
            except OSError as error:
                problem = f"{path} cannot be read ({error.strerror or error})"
                raise TokzooError(f"{self.kind} '{self.use}': {name}: {problem}; give the path of the file") from error
        return hashes

    def parts(self) -> list["Slot"]:
        """The components its config refers to, in the order of the fields."""
        return list(_slots_in(self.config))


def _slots_in(value: Any) -> Iterator[Slot]:
    if isinstance(value, Slot):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _slots_in(getattr(value, name))
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _slots_in(inner)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is trained.

    Attributes:
        ar: the recipe's own AR model; None: the track's probe.
        weights: a saved tokenizer that is judged as it is: nothing of the tokenizer is trained.
        judged: False where the recipe says ``ar: null``: no AR model learns its codes.
        origins: where each value came from.
    """

    name: str
    summary: str
    encoder: Slot
    quantizer: Slot
    decoder: Slot
    regularizers: Mapping[str, Slot]
    train: Optimization
    weights: Saved | None = None
    ar: Slot | None = None
    judged: bool = True
    train_ar: Optimization | None = None
    origins: Mapping[Key, str] = field(default_factory=dict, compare=False)

    def dump(self, places: bool = True) -> dict[str, Any]:
        """As a recipe file that needs no defaults; without ``places``, fit to be published."""
        data: dict[str, Any] = {"name": self.name, "summary": self.summary}
        if self.weights:
            data["weights"] = str(self.weights.folder) if places else f"sha256:{self.weights.fingerprint}"
        data |= {slot: getattr(self, slot).dump(places) for slot in ("encoder", "quantizer", "decoder")}
        data["regularizers"] = {role: slot.dump(places) for role, slot in self.regularizers.items()}
        data["train"] = {"tokenizer": self.train.model_dump(mode="json")}
        if not self.judged:
            data["ar"] = None
        if self.ar:
            data["ar"] = self.ar.dump(places)
        if self.train_ar:
            data["train"]["ar"] = self.train_ar.model_dump(mode="json")
        return data

    def tokenizer_identity(self) -> dict[str, Any]:
        """What a trained tokenizer depends on, apart from the track, the data and the seed."""
        slots = {slot: getattr(self, slot).identity() for slot in ("encoder", "quantizer", "decoder")}
        if self.weights:
            return {**slots, "weights": self.weights.fingerprint}
        roles = {role: slot.identity() for role, slot in self.regularizers.items()}
        return {**slots, "regularizers": roles, "train": self.train.model_dump(mode="json")}


@dataclass(frozen=True, slots=True)
class Probe:
    """The AR model that judges a tokenizer, and how it is trained and sampled."""

    ar: Slot
    train: Optimization
    budget: Budget
    sampler: Config

    def dump(self) -> dict[str, Any]:
        """As written in a track."""
        return {
            "ar": self.ar.dump(),
            "train": self.train.model_dump(mode="json"),
            **self.budget.model_dump(),
            "sampler": self.sampler.model_dump(mode="json"),
        }

    def identity(self) -> dict[str, Any]:
        """What the trained AR model depends on; the sampler is not part of it."""
        return {
            "ar": self.ar.identity(),
            "train": self.train.model_dump(mode="json"),
            "budget": self.budget.model_dump(),
        }


@dataclass(frozen=True, slots=True)
class Track:
    """How recipes are judged.

    Attributes:
        id: ``name@version`` of an official track; ``name@version+hash`` once anything in it is overridden.
        samples: how many images are generated to be judged, classes in turn.
        main: the metric id tables are sorted by.
        columns: the metric ids tables show first.
        seeds: how many seeds make a row ``replicated``; never fewer than three.
    """

    id: str
    summary: str
    dataset: Slot
    augment: Augmentation
    budget: Budget
    probe: Probe | None
    metrics: tuple[Slot, ...]
    samples: int
    evaluation_batch: int
    main: str
    columns: tuple[str, ...]
    seeds: int
    origins: Mapping[Key, str] = field(default_factory=dict, compare=False)

    def dump(self, places: bool = True) -> dict[str, Any]:
        """The content that makes two tracks equal, as a track file; without ``places``, fit to be published."""
        name, _, version = self.id.partition("+")[0].rpartition("@")
        return {
            "name": name,
            "version": int(version),
            "summary": self.summary,
            "dataset": self.dataset.dump(places),
            "augment": self.augment.model_dump(),
            "tokenizer": self.budget.model_dump(),
            "probe": self.probe.dump() if self.probe else None,
            "metrics": [slot.dump() for slot in self.metrics],
            "samples": self.samples,
            "evaluation_batch": self.evaluation_batch,
            "main": self.main,
            "columns": list(self.columns),
            "seeds": self.seeds,
        }
