"""``tokzoo.record/1``: the immutable result of one cell, and how its id is made.

The id is the hash of the record's JSON as stored, without ``observed`` (times, throughput, memory, host). A record that
is read is shown and copied as that JSON, so that a field that records get later changes no record that was written
before.

Anyone may have written a record: what is shown of it is text of visible characters and a sane length.
"""

import marshal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass

from tokzoo.contracts.configs import Config
from tokzoo.contracts.errors import LONGEST_MESSAGE, ONE_LINE, TokzooError
from tokzoo.contracts.text import printable
from tokzoo.data.checked_json import CHECKSUM, NotAsWritten, with_checksum, without_checksum
from tokzoo.data.files import load_json
from tokzoo.recipes.hashing import canonical, text_hash

SCHEMA = "tokzoo.record/1"
LONGEST_TEXT = 500
DEEPEST = 50
LARGEST = 1e100
"""In size, of a number that is measured: its square is a number, too."""


def _shortened(message: Any) -> Any:
    return printable(message, LONGEST_MESSAGE) if isinstance(message, str) else message


VISIBLE = r"^[^\p{C}\p{Zl}\p{Zp}]*$"
Text = Annotated[str, Field(max_length=LONGEST_TEXT, pattern=VISIBLE)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
"""The name of a stage, or a key: it becomes a part of a path."""

Count = Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class MetricValue:
    """A number, never bare. Of all that records hold these are the most, so each is small.

    ``protocol`` is a key of the record's ``protocols``: two numbers compare only where these are equal.
    """

    value: float = Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)
    label: Text
    unit: Text
    better: Literal["higher", "lower"] | None
    digits: int = Field(ge=0, le=15)
    protocol: Text


class Named(Config):
    """A recipe or track as resolved: its name, the hash of its content, and the content."""

    name: Text
    hash: Text
    content: dict[str, Any]


class Failure(Config):
    """Where and why a cell failed."""

    stage: Text
    message: Annotated[str, BeforeValidator(_shortened)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class _Shown(_Strict):
    """What a table takes from the content of a track."""

    main: Text = ""
    columns: list[Text] = []
    seeds: Count = 0


class _Took(_Strict):
    seconds: float | None = Field(None, allow_inf_nan=False)


class _Observed(_Strict):
    """What is shown of what varies from run to run."""

    metrics: dict[Text, Annotated[float, Field(allow_inf_nan=False)]] = {}
    stages: dict[str, _Took] = {}


class _Shapes(_Strict):
    bits_per_image: float | None = Field(None, allow_inf_nan=False)


class Record(Config):
    """One cell's result, made by :func:`make_record` or read by :func:`check_record`.

    Everything but ``id`` and ``observed`` decides the id. A field added to records has a default: old records lack it.

    Attributes:
        origin: ``measured`` here, an ``imported`` checkpoint judged by our code, or ``claimed`` by a source.
        shapes: the code's arrangement, its vocabulary and its bits per image.
        versions: of tokzoo's engine and every component.
        execution: torch version, device and threads of each stage: they decide the last bits of a result.
        stages: the cache key of each stage.
        provenance: what made it (distributions, code stamps): in the id, and in the hash of no recipe, track or probe.
        not_applicable: stages this tokenizer has none of (a continuous quantizer has no codes).
        observed: what varies from run to run: times, throughput, memory, host; and ``sha256``, the hash of that.
    """

    schema_: Literal["tokzoo.record/1"] = Field("tokzoo.record/1", alias="schema")
    id: str
    origin: Literal["measured", "imported", "claimed"] = "measured"
    status: Literal["ok", "failed", "diverged"]
    track: Named
    recipe: Named
    probe: Text | None
    seed: Count
    shapes: dict[str, Any]
    versions: dict[str, Any]
    execution: dict[str, dict[str, Any]]
    stages: dict[Word, Word]
    not_applicable: list[str]
    metrics: dict[Text, MetricValue]
    protocols: dict[str, dict[str, Any]]
    failure: Failure | None = None
    provenance: dict[str, Any] = Field(default_factory=dict)
    observed: dict[str, Any] = Field(default_factory=dict)
    _stored: Mapping[str, Any] | Path = PrivateAttr(default_factory=dict)

    @property
    def stored(self) -> Mapping[str, Any]:
        """Its JSON, as it is to be written, or as it stands in the file that it was read from.

        Raises:
            TokzooError: the file is gone or was changed.
        """
        if not isinstance(self._stored, Path):
            return self._stored
        data: dict[str, Any] = load_json(self._stored)
        if stored_id(data) != self.id:
            raise TokzooError(f"{self._stored}: it was changed while it was in use")
        return data

    @field_validator("track", "shapes", "observed")
    @classmethod
    def _is_what_is_shown(cls, value: Any, info: ValidationInfo) -> Any:
        shown: dict[str | None, type[BaseModel]] = {"track": _Shown, "shapes": _Shapes, "observed": _Observed}
        shown[info.field_name].model_validate(value.content if isinstance(value, Named) else value)
        return value

    @model_validator(mode="after")
    def _says_what_it_must(self) -> Self:
        if (self.status == "ok") != (self.failure is None):
            raise ValueError("failure: a record says where and why it failed if, and only if, it is not ok")
        unknown = {value.protocol for value in self.metrics.values()} - set(self.protocols)
        if unknown:
            raise ValueError(f"protocols: metrics refer to {', '.join(sorted(unknown))}, which are not there")
        return self


def stored_id(data: Mapping[str, Any]) -> str:
    """The id that the JSON of a record has.

    Raises:
        ValueError: a number in it is not finite, or a text is none.
    """
    return _id(_texts(data))


def _texts(data: Mapping[str, Any]) -> dict[str, str]:
    """The canonical JSON of each field, in the order of their names."""
    return {name: canonical(data[name]) for name in sorted(data)}


def _id(texts: Mapping[str, str]) -> str:
    counted = (f"{canonical(name)}:{text}" for name, text in texts.items() if name not in ("id", "observed"))
    return text_hash(f"{{{','.join(counted)}}}")


def make_record(**content: Any) -> Record:
    """A record with the id of its content."""
    data = Record(id="", **content).model_dump(mode="json", by_alias=True)
    data["observed"] = with_checksum(data["observed"])
    data["id"] = stored_id(data)
    record = Record.model_validate(data)
    record._stored = data
    return record


Pool = dict[tuple[str, bytes], tuple[str, Any]]
"""Fields of records and their canonical JSON, by name and content: what many have in common is made and kept once."""

POOLED = ("track", "recipe", "shapes", "versions", "execution", "not_applicable", "protocols", "provenance")


def check_record(data: Any, where: str, source: Path | None = None, pool: Pool | None = None) -> Record:
    """A record from JSON.

    Args:
        data: the JSON.
        where: what it is called in messages.
        source: the file it is read from, which must stay; None: the record keeps the JSON itself.
        pool: of the records it is read together with.

    Raises:
        TokzooError: another schema, a field missing or wrong, or content that does not have the id it claims.
    """
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise TokzooError(f"{where}: schema {printable(repr(schema), 100)}; this version of tokzoo reads {SCHEMA}")
    try:
        record = Record.model_validate(data)
        computed = _id(_share(record, data, {} if pool is None else pool))
    except ValidationError as error:
        raise TokzooError(f"{where}: not a valid record: {_first(error)}") from None
    except TokzooError as error:
        raise TokzooError(f"{where}: not a valid record: {error}") from None
    except UnicodeError:
        raise TokzooError(f"{where}: not a valid record: it holds half of a surrogate pair") from None
    except RecursionError:
        raise TokzooError(f"{where}: not a valid record: nested too deeply") from None
    except ValueError:
        raise TokzooError(f"{where}: not a valid record: it holds a number that is not finite") from None
    if record.id != computed:
        claimed = printable(record.id, 100)
        raise TokzooError(f"{where}: its content has the id {computed}, not {claimed}: it was changed")
    try:
        # Nothing else says so: it is no part of the id. Records from before have no checksum.
        if CHECKSUM in record.observed:
            without_checksum(record.observed)
    except NotAsWritten:
        raise TokzooError(f"{where}: observed: it was changed") from None
    record._stored = data if source is None else source
    return record


def _share(record: Record, data: Mapping[str, Any], pool: Pool) -> dict[str, str]:
    """Have a record use what the pool has already; the canonical JSON of each field, in the order of their names.

    What is new is looked at for its depth.
    """
    if _depth(record.observed) > DEEPEST:
        raise TokzooError("observed: nested too deeply")
    values, texts = vars(record), {}
    for name in sorted(data):
        if name not in POOLED:
            texts[name] = canonical(data[name])
            continue
        # The same bytes are the same content, and marshal makes them four times as fast as JSON.
        key = name, marshal.dumps(data[name], 2)
        if key not in pool:
            if _depth(values[name]) > DEEPEST:
                raise TokzooError(f"{name}: nested too deeply")
            pool[key] = canonical(data[name]), values[name]
        texts[name], values[name] = pool[key]
    return texts


def _depth(value: Any) -> int:
    if isinstance(value, Named):
        value = value.content
    if isinstance(value, dict | list) and value:
        return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value))
    return 1


def _first(error: ValidationError) -> str:
    """The first of what is wrong, with its place."""
    problem = error.errors(include_input=False, include_url=False)[0]
    place = printable(".".join(map(str, problem["loc"])), 100)
    text = problem["msg"].removeprefix("Value error, ").replace(f"match pattern '{VISIBLE}'", "be visible characters")
    return printable(f"{place}: {text}" if place else text, ONE_LINE)
