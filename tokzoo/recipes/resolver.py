"""Values of a tree looked up and validated, every mistake said with its place."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from tokzoo.contracts.configs import Config
from tokzoo.contracts.errors import Broken, TokzooError, describe
from tokzoo.contracts.guard import foreign_code
from tokzoo.recipes.mistakes import REFERENCE, Mistakes, Problem, explain, unfit
from tokzoo.recipes.saved import SavedAR
from tokzoo.recipes.slots import Slot
from tokzoo.recipes.tree import Key, Tree
from tokzoo.registry.catalogue import Catalogue, Entry
from tokzoo.registry.component import check_answers

C = TypeVar("C", bound=Config)
P = ParamSpec("P")
T = TypeVar("T")


def example_slot(entry: Entry, catalogue: Catalogue) -> Slot:
    """A component in the config of its ``example``.

    Raises:
        TokzooError: its config cannot be loaded, or its example is not one.
    """
    tree = Tree.from_data({"example": {**entry.spec.example, "use": entry.spec.name}}, f"plugin {entry.plugin}")
    return Resolver(tree, catalogue).slot(entry.spec.kind, ("example",))


class Resolver:
    """Resolves one tree against a catalogue. ``prefix`` stands before its keys in messages (``track.``)."""

    def __init__(self, tree: Tree, catalogue: Catalogue, prefix: str = "") -> None:
        self.tree = tree
        self.catalogue = catalogue
        self.prefix = prefix

    def fail(self, key: Key, problem: str) -> TokzooError:
        """An error at a key: where, what, and where the value was written."""
        place = f"{self.prefix}{'.'.join(key)}".rstrip(".")
        return TokzooError(f"{place}{': ' if place else ''}{problem} ({self.tree.origin(key)})")

    def value(self, key: Key) -> Any:
        """The value at ``key``, None where it is not given."""
        value: Any = self.tree.data
        for name in key:
            if isinstance(value, list):
                value = value[int(name)] if name.isdecimal() and int(name) < len(value) else None
            else:
                value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def slot(self, kind: str, key: Key) -> Slot:
        """The component at ``key``, which must be given."""
        return self._placed(key, lambda: self._slot(kind, self.value(key)))

    def validate(self, model: type[C], data: Any, key: Key) -> C:
        """``data`` as a config model; every mistake in one error, a line each."""
        return self._placed(key, lambda: self._config(model, data))

    def _placed(self, key: Key, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except Mistakes as mistakes:
            lines = [str(self.fail((*key, *inner), text)) for inner, text in mistakes.problems]
            raise TokzooError("\n".join(lines)) from None

    def _slot(self, kind: str, value: Any) -> Slot:
        if value is None:
            raise Mistakes([((), self._missing(kind))])
        fields = {"use": value} if isinstance(value, str) else value
        if kind == "ar" and isinstance(fields, Mapping) and "weights" in fields:
            return self._saved_ar(fields)
        if not isinstance(fields, Mapping) or not isinstance(fields.get("use"), str):
            raise Mistakes([((), f"expected {{use: NAME, …}} with the name of a component, found {value!r}")])
        try:
            entry = self.catalogue.get(kind, fields["use"])
        except TokzooError as error:
            raise Mistakes([(("use",), str(error))]) from None
        rest = {name: field for name, field in fields.items() if name != "use"}
        try:
            with foreign_code():
                config = self._config(entry.config, rest)
                check_answers(config, kind)
            return Slot(kind, entry, config)
        except (Mistakes, PydanticCustomError, TokzooError):
            raise
        # A validator of the component's own may raise what pydantic does not take for a wrong value.
        except Exception as error:
            raise Broken(
                f"{kind} '{entry.spec.name}' (plugin {entry.plugin}): its config raised {describe(error)}"
            ) from error

    def _saved_ar(self, fields: Mapping[str, Any]) -> Slot:
        """``{weights: FOLDER}``: the saved AR model; what else is said of it must be so."""
        said = {name: value for name, value in fields.items() if name != "weights"}
        if fields["weights"] is None:
            return self._slot("ar", said)
        try:
            saved = SavedAR.of(fields["weights"])
        except TokzooError as error:
            raise Mistakes([(("weights",), str(error))]) from None
        made = self._slot("ar", saved.recipe.get("ar"))
        if said.get("use", made.use) != made.use:
            raise Mistakes([(("use",), f"{saved.folder} is a '{made.use}'; leave out use, or the weights")])
        wanted, found = (slot.dump(places=False) for slot in (self._slot("ar", {**made.dump(), **said}), made))
        others = [name for name in wanted if wanted[name] != found.get(name)]
        if others:
            what = ", ".join(f"{name} {found.get(name)!r}" for name in others)
            raise Mistakes([((others[0],), f"{saved.folder} was made with {what}; leave these, or the weights, out")])
        return replace(made, weights=saved)

    def _missing(self, kind: str) -> str:
        names = ", ".join(entry.spec.name for entry in self.catalogue.of_kind(kind))
        return f"missing; give the name of one: {names or 'none is known'}"

    def _config(self, model: type[C], data: Any, key: Key = ()) -> C:
        context = {"resolve": through_pydantic(self._slot), "validate": through_pydantic(self._config)}
        try:
            made = model.model_validate(data, context=context)
        except ValidationError as error:
            raise _under(key, explain(model, data, error, self._missing)) from None
        problems = list(unfit(made.model_dump()))
        if problems:
            raise _under(key, problems)
        return made


def _under(key: Key, problems: list[Problem]) -> Mistakes:
    return Mistakes([((*key, *inner), text) for inner, text in problems])


def through_pydantic(make: Callable[P, T]) -> Callable[P, T]:
    """``make`` for a pydantic validator: its mistakes go through pydantic, which knows the key of the field."""

    def made(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return make(*args, **kwargs)
        except Mistakes as mistakes:
            raise PydanticCustomError(REFERENCE, REFERENCE, {"problems": mistakes.problems}) from None

    return made
