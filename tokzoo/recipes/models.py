"""Recipes and tracks: each field once, as it is written in a file, validated, dumped and hashed."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tokzoo.contracts.configs import ComponentRef, DatasetConfig
from tokzoo.contracts.errors import suggest
from tokzoo.data.config import Augmentation
from tokzoo.data.files import expanded
from tokzoo.recipes.hashing import content_hash
from tokzoo.recipes.identity import differences
from tokzoo.recipes.mistakes import Problem
from tokzoo.recipes.optimization import Budget, Optimization
from tokzoo.recipes.saved import Saved
from tokzoo.recipes.slots import Slot
from tokzoo.recipes.tree import COMMAND_LINE, Key, Override
from tokzoo.recipes.written import Written, refuse, sampler_of

PARTS = ("encoder", "quantizer", "decoder")
LONGEST_NAME = 300


class Init(Written):
    """The saved tokenizer that training starts from; ``init: FOLDER`` is short for ``init: {folder: FOLDER}``."""

    folder: Saved
    parts: tuple[str, ...] = Field(PARTS, description="what is taken from it: parts, and regularizers.ROLE")

    @model_validator(mode="before")
    @classmethod
    def _a_folder_alone(cls, data: Any) -> Any:
        return data if isinstance(data, Mapping | Init) else {"folder": data}

    @field_validator("parts")
    @classmethod
    def _are_in_it(cls, parts: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        saved: Saved | None = info.data.get("folder")
        if saved is None:
            return parts
        known = (*PARTS, *saved.trained_roles())
        wrong = [(str(i), name) for i, name in enumerate(parts) if name not in known]
        if wrong:
            refuse(*(((i,), f"'{name}' is not in {saved.folder}; {suggest(name, known)}") for i, name in wrong))
        return tuple(name for name in known if name in parts)

    def identity(self) -> dict[str, Any]:
        """What training depends on: what is taken, and its content."""
        regularizers = [name for name in self.parts if name not in PARTS]
        own = {"regularizers": self.folder.regularizers_fingerprint} if regularizers else {}
        return {"parts": list(self.parts), "weights": self.folder.fingerprint, **own}


class Training(Written):
    """How the tokenizer is optimised; ``ar``: how the AR model that judges is, if not as the track says."""

    tokenizer: Optimization = Field(default_factory=Optimization)
    ar: Optimization | None = None


class Sampling(Written):
    """How a generative decoder draws images, and how codes are drawn from the AR model that judges.

    Attributes:
        decoder: a config of the decoder's sampler.
        ar: the fields of the AR model's sampler that are not as the track says.
    """

    decoder: Any = Field(default_factory=dict)
    ar: dict[str, Any] | None = None


def _name(name: str) -> str:
    if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise ValueError(f"a name is 1 to {LONGEST_NAME} visible characters")
    return name


def _role(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError("a role is named by letters, digits, '-' and '_'")
    return name


def _by_role(given: Any) -> Any:
    """In the order of the roles' names: neither file nor command line decides an order. Null drops a role."""
    if not isinstance(given, Mapping):
        return given
    return {role: value for role, value in sorted(given.items()) if value is not None}


Roles = dict[Annotated[str, AfterValidator(_role)], Annotated[Slot, ComponentRef["regularizer"]]]


class Recipe(Written):
    """What is trained.

    Attributes:
        weights: a saved tokenizer that is judged as it is: nothing of the tokenizer is trained.
        init: a saved tokenizer that training starts from.
        ar: the recipe's own AR model, with ``weights: FOLDER`` a saved one that is judged as it is; None: the track's,
            or none at all (see ``judged``).
    """

    name: Annotated[str, AfterValidator(_name)] = "unnamed"
    summary: str = ""
    weights: Saved | None = None
    init: Init | None = None
    encoder: Annotated[Slot, ComponentRef["encoder"]]
    quantizer: Annotated[Slot, ComponentRef["quantizer"]]
    decoder: Annotated[Slot, ComponentRef["decoder"]]
    regularizers: Annotated[Roles, BeforeValidator(_by_role)] = Field(default_factory=dict)
    ar: Annotated[Slot, ComponentRef["ar"]] | None = None
    train: Training = Field(default_factory=Training)
    sampler: Sampling = Field(default_factory=Sampling)
    _changes: tuple[Override, ...] = PrivateAttr(())

    @field_validator("sampler")
    @classmethod
    def _is_of_its_components(cls, sampler: Sampling, info: ValidationInfo) -> Sampling:
        decoder, ar = info.data.get("decoder"), info.data.get("ar")
        if ar is not None and sampler.ar is not None:
            sampler_of(ar, sampler.ar, info, ("ar",))
        if decoder is None:
            return sampler
        return sampler.model_copy(update={"decoder": sampler_of(decoder, sampler.decoder, info, ("decoder",))})

    @model_validator(mode="after")
    def _speaks_of_its_own_parts(self) -> Self:
        known = (*PARTS, *(f"regularizers.{role}" for role in self.regularizers))
        named: list[tuple[Key, str]] = [
            (("train", "tokenizer", "parts", name), name) for name in self.train.tokenizer.parts
        ]
        named += [(("init", "parts"), name) for name in (self.init.parts if self.init else ())]
        wrong: list[Problem] = [
            (key, f"'{name}' is no part of this recipe; {suggest(name, known)}")
            for key, name in named
            if name not in known
        ]
        wrong += self._unlike_what_it_starts_from()
        if self.train.ar is not None and self.train.ar.parts:
            wrong.append((("train", "ar", "parts"), "an AR model is trained as a whole"))
        if self.weights is not None and self.init is not None:
            wrong.append((("init",), "nothing is trained where weights are given; leave out one of them"))
        if wrong:
            refuse(*wrong)
        return self

    def _unlike_what_it_starts_from(self) -> list[Problem]:
        """The parts that are to be taken over from other components than they are."""
        if self.init is None:
            return []
        wrong: list[Problem] = []
        for name in self.init.parts:
            part, _, role = name.partition(".")
            slot = self.regularizers.get(role) if role else getattr(self, part)
            said = self.init.folder.recipe[part]
            there = (said[role] if role else said)["use"]
            if slot is not None and slot.use != there:
                text = f"{name} is '{there}' there and '{slot.use}' here; leave it out of init.parts"
                wrong.append((("init", "parts"), text))
        return wrong

    @property
    def changes(self) -> Mapping[str, Any]:
        """What is other than in the file it came from, by dotted key: overrides, and its place in a grid."""
        return {".".join(key): value for key, value in self._changes}

    def changed(self, name: str, changes: Iterable[Override]) -> Self:
        """The same under a name that says what was changed."""
        copy = self.model_copy(update={"name": name})
        copy._changes = tuple(changes)
        if name != self.name:
            copy._origins = {**self._origins, ("name",): COMMAND_LINE}
        return copy

    @property
    def judged(self) -> bool:
        """False where the recipe says ``ar: null``: no AR model learns its codes."""
        return self.ar is not None or "ar" not in self.model_fields_set

    def dump(self, places: bool = True) -> dict[str, Any]:
        """As a recipe file that needs no defaults; without ``places``, fit to be published."""
        data = self.model_dump(mode="json", context={"places": places})
        silent = ("weights", "init", "ar") if self.judged else ("weights", "init")
        return {name: value for name, value in data.items() if value is not None or name not in silent}

    def tokenizer_identity(self) -> dict[str, Any]:
        """What a trained tokenizer depends on, apart from the track, the data and the seed."""
        if self.weights is not None:
            return self._identity(*PARTS, "weights")
        own = {"init": self.init.identity()} if self.init is not None else {}
        return {**self._identity(*PARTS, "regularizers"), **own, "train": differences(self.train.tokenizer)}

    def identity(self) -> dict[str, Any]:
        """What its results depend on."""
        train_ar = None if self.train.ar is None else differences(self.train.ar)
        own = {"judged": self.judged, "train_ar": train_ar}
        return {**self.tokenizer_identity(), **self._identity("ar", "sampler"), **own}

    def _identity(self, *fields: str) -> dict[str, Any]:
        return differences(self, type(self).model_fields.keys() - set(fields))


class Probe(Written, Budget):
    """The AR model that judges a tokenizer: how it is trained, how long, and how it is sampled.

    Attributes:
        sampler: a config of the model's sampler.
        codes: which codes it learns. ``ten-crop``: of the corners and the centre of pictures a tenth larger, and of
            their mirror images; ``live``: of images augmented anew and encoded in every step; None: of the images as
            they are judged and, where the track flips, of their mirror images.
    """

    ar: Annotated[Slot, ComponentRef["ar"]]
    train: Optimization = Field(default_factory=Optimization)
    sampler: Any = Field(default_factory=dict)
    codes: Literal["ten-crop", "live"] | None = None

    @field_validator("ar")
    @classmethod
    def _is_trained(cls, ar: Slot) -> Slot:
        if ar.weights is not None:
            refuse((("weights",), "a track trains the AR model that judges; a recipe may bring a saved one"))
        return ar

    @field_validator("sampler")
    @classmethod
    def _is_of_the_model(cls, sampler: Any, info: ValidationInfo) -> Any:
        ar = info.data.get("ar")
        return sampler if ar is None else sampler_of(ar, sampler, info)

    def identity(self) -> dict[str, Any]:
        """What the trained AR model depends on; the sampler is not part of it, and of a saved one nor is training."""
        return differences(self, {"sampler"} if self.ar.weights is None else type(self).model_fields.keys() - {"ar"})


def _list_of_metrics(given: Any) -> Any:
    if not isinstance(given, list | tuple) or not given:
        raise ValueError("expected a list of metrics")
    return given


Metrics = tuple[Annotated[Slot, ComponentRef["metric"]], ...]


class Track(Written):
    """How recipes are judged.

    Attributes:
        tokenizer: how much a tokenizer is trained.
        samples: how many images are generated to be judged, classes in turn.
        main: the metric id tables are sorted by.
        columns: the metric ids tables show first.
        seeds: how many seeds make a row ``replicated``; never fewer than three.
    """

    name: str
    version: int = Field(ge=1)
    summary: str = ""
    dataset: Annotated[Slot, ComponentRef["dataset"]]
    augment: Augmentation = Field(default_factory=Augmentation)
    tokenizer: Budget
    probe: Probe | None = None
    metrics: Annotated[Metrics, BeforeValidator(_list_of_metrics)]
    samples: int = Field(1000, ge=1)
    evaluation_batch: int = Field(250, ge=1)
    main: str
    columns: tuple[str, ...] = ()
    seeds: int = Field(3, ge=1)
    _official: bool = PrivateAttr(True)
    _override: str | None = PrivateAttr(None)

    @field_validator("name")
    @classmethod
    def _can_stand_in_an_id_and_a_path(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
            raise ValueError("a track is named by letters, digits, '.', '_' and '-', at most 100 of them")
        return name

    @field_validator("metrics")
    @classmethod
    def _are_given_once(cls, metrics: tuple[Slot, ...]) -> tuple[Slot, ...]:
        names = [slot.use for slot in metrics]
        twice = [((str(i),), f"'{name}' is given twice") for i, name in enumerate(names) if name in names[:i]]
        if twice:
            refuse(*twice)
        return metrics

    @model_validator(mode="after")
    def _ten_crops_are_mirrored(self) -> Self:
        if self.probe is not None and self.probe.codes == "ten-crop" and not self.augment.flip:
            text = "ten-crop holds mirror images; say augment.flip: true with it, or codes: live"
            refuse((("probe", "codes"), text))
        return self

    @property
    def needs_crops(self) -> bool:
        """Whether it needs a dataset that provides ``"crops"``."""
        return self.augment.crop is not None or (self.probe is not None and self.probe.codes == "ten-crop")

    @property
    def official_id(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def override(self) -> str | None:
        """What tells an overridden track from others of its name; None: it is official.

        A hash, and before it the last name of the folder where its data are other than the track's.

        Raises:
            TokzooError: that folder cannot be read.
        """
        if not self._official and self._override is None:
            folder = self._folder()
            data = {"data": cast(DatasetConfig, self.dataset.config).fingerprint()} if folder else {}
            self._override = f"{folder}{'-' if folder else ''}{content_hash({**self.identity(), **data}, 8)}"
        return self._override

    def _folder(self) -> str:
        """The last name of the folder its data are in; "" where the dataset itself says what they are."""
        config = cast(DatasetConfig, self.dataset.config)
        given = [value for name in sorted(config.places) if (value := getattr(config, name)) is not None]
        if not given or config.elsewhere:
            return ""
        name = re.sub(r"[^\w.-]+", "-", expanded(str(given[0])).absolute().name).strip("-.")
        return name[:30] or "data"

    @property
    def id(self) -> str:
        """``name@version`` of an official track, and of another ``name@version+`` and what tells it apart."""
        return self.official_id if self._official else f"{self.official_id}+{self.override}"

    def overridden(self) -> Self:
        """The track under an id that says it was overridden, and how."""
        copy = self.model_copy()
        copy._official, copy._override = False, None
        return copy

    def dump(self, places: bool = True) -> dict[str, Any]:
        """As a track file; without ``places``, fit to be published."""
        return self.model_dump(mode="json", context={"places": places})

    def identity(self) -> dict[str, Any]:
        """What numbers on it depend on; its summary and how its tables are shown do not count."""
        return differences(self, {"summary", "main", "columns", "seeds"})
