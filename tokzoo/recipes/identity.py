"""What configs count as in hashes: only the fields that differ from their defaults.

So a field that a config gets later changes no hash, as long as it is left at its default. A default that changes is
another matter: it needs a new version of the component (``tokzoo.testing.defaults`` watches over that).
"""

from collections.abc import Collection, Mapping
from typing import Any, Literal, Protocol, get_args, get_origin, runtime_checkable

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from tokzoo.recipes.hashing import canonical
from tokzoo.recipes.mistakes import models_in


@runtime_checkable
class Identified(Protocol):
    """Something in a field that knows itself what it counts as: a slot, a saved tokenizer."""

    def identity(self) -> Any:
        """JSON."""


def differences(config: BaseModel, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a config that differ from their defaults, as JSON; a component in a field is always named."""
    return {
        name: _plain(getattr(config, name), field)
        for name, field in type(config).model_fields.items()
        if name not in leave_out and not _is_default(getattr(config, name), field)
    }


def default_of(field: FieldInfo) -> Any:
    """A field's default as JSON; ``...`` where there is none, or one that depends on other fields."""
    if field.is_required() or getattr(field, "default_factory_takes_validated_data", False):
        return ...
    return _plain(field.get_default(call_default_factory=True), field)


def _is_default(value: Any, field: FieldInfo) -> bool:
    default = default_of(field)
    if default is ...:
        return False
    plain = _plain(value, field)
    # 0 and 0.0 are one number, as a default and as a validated value; 1 and true are two values.
    if isinstance(plain, int | float) and isinstance(default, int | float):
        return plain == default and isinstance(plain, bool) == isinstance(default, bool)
    return canonical(plain) == canonical(default)


def _plain(value: Any, field: FieldInfo) -> Any:
    if isinstance(value, BaseModel):
        return {**_branch(value, field), **differences(value)}
    if isinstance(value, Identified):
        return value.identity()
    if isinstance(value, Mapping):
        return {str(name): _plain(inner, field) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, field) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(inner, field) for inner in value), key=canonical)
    return to_jsonable_python(value)


def _branch(value: BaseModel, field: FieldInfo) -> dict[str, Any]:
    """Which model of a union this is: by its tags, which are defaults themselves, or by its class."""
    fields = type(value).model_fields.items()
    tags = {name: getattr(value, name) for name, each in fields if _is_tag(each.annotation)}
    return tags if tags or len(models_in(field.annotation)) < 2 else {"model": type(value).__name__}


def _is_tag(annotation: Any) -> bool:
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1
