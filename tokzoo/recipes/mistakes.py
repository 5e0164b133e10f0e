"""What is wrong with a value someone wrote, in that person's words and at the key where it was written."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from tokzoo.contracts.configs import ComponentRef
from tokzoo.contracts.errors import suggest
from tokzoo.data.files import expanded
from tokzoo.recipes.tree import Key

Problem = tuple[Key, str]
"""A key, counted from the value that was checked, and what is wrong there."""

REFERENCE = "reference"
"""The type of the pydantic error that carries what is wrong inside a referenced component."""


LARGEST = 2**63 - 1
_NO_CHARACTER = re.compile(r"[\x00\ud800-\udfff]")


class Mistakes(Exception):
    """Everything that is wrong with one value."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


def explain(model: type[BaseModel], data: Any, error: ValidationError, missing: Callable[[str], str]) -> list[Problem]:
    """The problems of ``data``, one for each key that has any; ``missing`` says it of a component, by its kind."""
    found: dict[Key, list[str]] = {}
    given: dict[Key, str] = {}
    for problem in error.errors():
        key, kind, value = _place(data, problem), problem["type"], problem["input"]
        if kind == REFERENCE:
            for inner, text in problem["ctx"]["problems"]:
                found.setdefault((*key, *inner), []).append(text)
        elif kind == "missing":
            referred = _kind(_fields_at(model, problem["loc"][:-1]).get(key[-1]))
            found.setdefault(key, []).append(missing(referred) if referred else "missing")
        elif kind == "extra_forbidden":
            found.setdefault(key, []).append(f"unknown; {suggest(key[-1], _fields_at(model, problem['loc'][:-1]))}")
        else:
            text = _say(kind, problem["msg"])
            field, _, rest = text.partition(": ")
            if kind == "value_error" and field in _fields_at(model, problem["loc"]):
                # A check of the whole model that begins with the field it is about.
                key, text = (*key, field), rest
            found.setdefault(key, []).append(text)
            given[key] = "" if isinstance(value, Mapping) else f", not {value!r}"
    # A union that no branch of fits has a problem for each branch, of one value.
    return [(key, " or ".join(dict.fromkeys(texts)) + given.get(key, "")) for key, texts in found.items()]


def unfit(value: Any, key: Key = ()) -> Iterator[Problem]:
    """Values in a dumped config that no hash and no record could hold."""
    if isinstance(value, float) and not math.isfinite(value):
        yield key, f"must be a finite number, not {value}"
    elif isinstance(value, int) and abs(value) > LARGEST:
        yield key, f"must be at most {LARGEST} in size"
    elif isinstance(value, str | PurePath) and _NO_CHARACTER.search(str(value)):
        yield key, "holds what is no character (NUL, or half of a surrogate pair)"
    elif isinstance(value, PurePath) and str(value).startswith("~") and expanded(str(value)) == value:
        yield key, f"there is no home {value.parts[0]}"
    elif isinstance(value, Mapping | list | tuple):
        for name, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from unfit(str(name), (*key, str(name)))
            yield from unfit(inner, (*key, str(name)))


def _say(kind: str, message: str) -> str:
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        return "expected a mapping"
    message = message.removeprefix("Value error, ").partition(", unable to parse")[0]
    return message[:1].lower() + message[1:]


def _place(data: Any, problem: Any) -> Key:
    """The keys of a location that were written, without the branches of unions pydantic tried on the way."""
    place: list[str] = []
    last = len(problem["loc"]) - 1
    for depth, part in enumerate(problem["loc"]):
        listed = isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        if listed or (isinstance(data, Mapping) and part in data):
            data = data[part]
            place.append(str(part))
        elif depth == 0 or (depth == last and problem["type"] == "missing"):
            place.append(str(part))
    return tuple(place)


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> dict[str, FieldInfo]:
    """The fields there may be at a location pydantic reports."""
    models = [model]
    for part in location:
        fields = [each.model_fields[part] for each in models if part in each.model_fields]
        if fields:
            models = [nested for field in fields for nested in models_in(field.annotation)]
        elif isinstance(part, str):
            models = [each for each in models if _is_branch(each, part)] or models
    return {name: field for each in models for name, field in each.model_fields.items()}


def _kind(field: FieldInfo | None) -> str | None:
    """The kind of component that a field refers to."""
    types = (field.annotation, *field.metadata) if field else ()
    kinds = (each.kind for each in types if isinstance(each, type) and issubclass(each, ComponentRef))
    return next(kinds, None)


def _is_branch(model: type[BaseModel], part: str) -> bool:
    """Whether a part of a location names this branch of a union: by its class, or by the value of its tag."""
    return part == model.__name__ or any(field.default == part for field in model.model_fields.values())


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that a value so annotated may hold, in unions and containers too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]
