"""``tokzoo.record/1``: the immutable result of one cell, and how its id is made.

The id is the hash of the JSON that is stored. A record that is read keeps that JSON, so that a field that records get
later changes no record that was written before.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from tokzoo.contracts.configs import Config
from tokzoo.contracts.errors import TokzooError
from tokzoo.recipes.hashing import content_hash

SCHEMA = "tokzoo.record/1"


class MetricValue(Config):
    """A number, never bare.

    ``protocol`` is a key of the record's ``protocols``: two numbers compare only where these are equal.
    """

    value: float = Field(allow_inf_nan=False)
    label: str
    unit: str
    better: Literal["higher", "lower"] | None
    digits: int = Field(ge=0, le=15)
    protocol: str


class Named(Config):
    """A recipe or track as resolved: its name, the hash of its content, and the content."""

    name: str
    hash: str
    content: dict[str, Any]


class Failure(Config):
    """Where and why a cell failed."""

    stage: str
    message: str


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
        observed: what varies from run to run: times, throughput, memory, host.
    """

    schema_: Literal["tokzoo.record/1"] = Field("tokzoo.record/1", alias="schema")
    id: str
    origin: Literal["measured", "imported", "claimed"] = "measured"
    status: Literal["ok", "failed", "diverged"]
    track: Named
    recipe: Named
    probe: str | None
    seed: int
    shapes: dict[str, Any]
    versions: dict[str, Any]
    execution: dict[str, dict[str, Any]]
    stages: dict[str, str]
    not_applicable: list[str]
    metrics: dict[str, MetricValue]
    protocols: dict[str, dict[str, Any]]
    failure: Failure | None = None
    provenance: dict[str, Any] = Field(default_factory=dict)
    observed: dict[str, Any] = Field(default_factory=dict)
    _stored: Mapping[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def stored(self) -> Mapping[str, Any]:
        """Its JSON, as it was read or is to be written."""
        return self._stored

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
        ValueError: a number in it is not finite.
    """
    return content_hash({name: value for name, value in data.items() if name not in ("id", "observed")})


def make_record(**content: Any) -> Record:
    """A record with the id of its content."""
    data = Record(id="", **content).model_dump(mode="json", by_alias=True)
    return _holding({**data, "id": stored_id(data)})


def _holding(data: Mapping[str, Any]) -> Record:
    record = Record.model_validate(data)
    record._stored = data
    return record


def check_record(data: Any, where: str) -> Record:
    """A record from JSON.

    Raises:
        TokzooError: another schema, a field missing or wrong, or content that does not have the id it claims.
    """
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise TokzooError(f"{where}: schema {schema!r}; this version of tokzoo reads {SCHEMA}")
    try:
        record = _holding(data)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        text = f"{place}: {problem['msg']}" if place else problem["msg"].removeprefix("Value error, ")
        raise TokzooError(f"{where}: not a valid record: {text}") from None
    try:
        computed = stored_id(data)
    except ValueError:
        raise TokzooError(f"{where}: not a valid record: it holds a number that is not finite") from None
    if record.id != computed:
        raise TokzooError(f"{where}: its content has the id {computed}, not {record.id}: it was changed")
    return record
