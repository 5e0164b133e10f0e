"""A component in its place in a recipe or a track."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from tokzoo.contracts.configs import ComponentConfig
from tokzoo.contracts.errors import Broken, TokzooError, describe
from tokzoo.contracts.guard import foreign_code
from tokzoo.data.files import expanded, known_hash, reading
from tokzoo.recipes.identity import differences
from tokzoo.recipes.saved import SavedAR
from tokzoo.registry.catalogue import Entry

HASH = "sha256:"
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Slot:
    """A component in its place: found, and its config validated.

    Attributes:
        weights: a saved AR model that is judged as it is.
    """

    kind: str
    entry: Entry
    config: ComponentConfig
    weights: SavedAR | None = None
    _hashes: dict[str, str | None] = field(default_factory=dict, init=False, compare=False, repr=False)

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
        own = {"use": self.use, **dump} if places else {"use": self.use, **dump, **self.hashes()}
        return own if self.weights is None else {**own, "weights": self.weights.published(places)}

    def identity(self) -> dict[str, Any]:
        """What its results depend on: name, version, the fields that differ from their defaults, the same of parts."""
        config = differences(self.config, {*self.config.places, *self.config.contents})
        contents = {name: digest for name, digest in self.hashes().items() if digest is not None}
        own = {"use": self.use, "version": self.entry.spec.version, "config": {**config, **contents}}
        return own if self.weights is None else {**own, "weights": self.weights.identity()}

    def hashes(self) -> dict[str, str | None]:
        """Instead of the path of a file whose content counts, what it contains.

        What was published, or saved with a trained tokenizer, holds the hash already. Of a file, what it contained
        when this was first asked: what a cell is must not change while it runs.

        Raises:
            TokzooError: such a file is missing.
        """
        for name in sorted(self.config.contents - self._hashes.keys()):
            path = getattr(self.config, name)
            with reading(f"{self.kind} '{self.use}': {name}: {path}", mend="give the path of the file"):
                self._hashes[name] = None if path is None else _hash_of(str(path))
        return dict(self._hashes)

    def parts(self) -> list["Slot"]:
        """The components its config refers to, in the order of the fields."""
        return list(_slots_in(self.config))

    def whole(self) -> Iterator["Slot"]:
        """It, and all components within it, each before its own parts."""
        yield self
        for part in self.parts():
            yield from part.whole()


def _hash_of(path: str) -> str:
    return path if path.startswith(HASH) else f"{HASH}{known_hash(expanded(path))}"


def ask_config(slot: Slot, question: Callable[[Any], A]) -> A:
    """What a component's config answers; whatever else its code raises is its mistake, and told as such.

    Raises:
        Broken: it raised what it should not.
    """
    try:
        with foreign_code():
            return question(slot.config)
    except TokzooError:
        raise
    except Exception as error:
        said = f"{slot.kind} '{slot.use}' (plugin {slot.entry.plugin}) raised {describe(error)}"
        raise Broken(said) from error


def _slots_in(value: Any) -> Iterator[Slot]:
    if isinstance(value, Slot):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _slots_in(getattr(value, name))
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _slots_in(inner)
