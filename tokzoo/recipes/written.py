"""What the models of recipe and track files have in common."""

from collections.abc import Mapping
from typing import Any, NoReturn, Self, cast, get_args

from pydantic import PrivateAttr, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from tokzoo.contracts.configs import ARConfig, Config, DecoderConfig
from tokzoo.recipes.mistakes import REFERENCE, Problem
from tokzoo.recipes.slots import Slot
from tokzoo.recipes.tree import Key


class Written(Config):
    """What a file says. Null is as good as not given, wherever it is no value of its own."""

    _origins: Mapping[Key, str] = PrivateAttr(default_factory=dict)

    @property
    def origins(self) -> Mapping[Key, str]:
        """Where each value came from."""
        return self._origins

    def __eq__(self, other: object) -> bool:
        # Where a value was written makes no difference to what it is.
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def written(self, origins: Mapping[Key, str]) -> Self:
        """The same, written where ``origins`` says."""
        copy = self.model_copy()
        copy._origins = origins
        return copy

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_given(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        firm = {name for name, field in cls.model_fields.items() if type(None) not in get_args(field.annotation)}
        return {name: value for name, value in data.items() if value is not None or name not in firm}


def refuse(*problems: Problem) -> NoReturn:
    """Fail a validator: each problem at its key, counted from the validated value, and told as it stands."""
    raise PydanticCustomError(REFERENCE, REFERENCE, {"problems": list(problems)})


def sampler_of(slot: Slot, said: Any, info: ValidationInfo, key: Key = ()) -> Config:
    """What is said of the sampler of a component, at ``key``, as a config of it."""
    model = cast(DecoderConfig | ARConfig, slot.config).sampler
    if isinstance(said, model):
        return said
    if isinstance(said, Mapping) and not model.model_fields:
        text = f"{slot.kind} '{slot.use}' draws nothing at random, and has no sampler"
        refuse(*(((*key, name), text) for name in said)) if said else None
    if not info.context:
        return model.model_validate(said)
    config: Config = info.context["validate"](model, said, key)
    return config
