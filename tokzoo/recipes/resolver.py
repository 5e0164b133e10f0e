"""Values of a tree looked up and validated, every mistake said with its place."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from tokzoo.contracts.configs import Config
from tokzoo.contracts.errors import Broken, TokzooError, describe, suggest
from tokzoo.recipes.mistakes import REFERENCE, Mistakes, explain, not_finite
from tokzoo.recipes.models import Slot
from tokzoo.recipes.tree import Key, Tree
from tokzoo.registry.catalogue import Catalogue, Entry

C = TypeVar("C", bound=Config)


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

    def each(self, /, *checks: Callable[[], Any], **makers: Callable[[], Any]) -> dict[str, Any]:
        """What each maker gives; where checks or makers fail, all their errors in one, a line each."""
        found: dict[str, Any] = {}
        errors: dict[str, None] = {}
        for name, make in [*((None, check) for check in checks), *makers.items()]:
            try:
                made = make()
            except TokzooError as error:
                errors.update(dict.fromkeys(str(error).splitlines()))
            else:
                if name is not None:
                    found[name] = made
        if errors:
            raise TokzooError("\n".join(errors))
        return found

    def mapping(self, key: Key, known: tuple[str, ...] | None = None) -> dict[str, Any]:
        """The mapping at ``key`` ({} where there is none), its keys checked against ``known``."""
        value = self.value(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.fail(key, f"expected a mapping, found {value!r}")
        unknown = [name for name in value if known and name not in known]
        if unknown:
            lines = [str(self.fail((*key, name), f"unknown; {suggest(name, known or ())}")) for name in unknown]
            raise TokzooError("\n".join(lines))
        return value

    def value(self, key: Key) -> Any:
        """The value at ``key``, None where it is not given."""
        value: Any = self.tree.data
        for name in key:
            if isinstance(value, list):
                value = value[int(name)]
            else:
                value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def slot(self, kind: str, key: Key) -> Slot:
        """The component at ``key``, which must be given."""
        return self._placed(key, lambda: self._slot(kind, self.value(key)))

    def validate(self, model: type[C], data: Any, key: Key) -> C:
        """``data`` as a config model; every mistake in one error, a line each."""
        return self._placed(key, lambda: self._config(model, data))

    def fields(self, model: type[C]) -> C:
        """The model's fields from the top of the tree; null is as good as not given."""
        given = {name: self.value((name,)) for name in model.model_fields}
        return self.validate(model, {name: value for name, value in given.items() if value is not None}, ())

    def _placed(self, key: Key, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except Mistakes as mistakes:
            lines = [str(self.fail((*key, *inner), text)) for inner, text in mistakes.problems]
            raise TokzooError("\n".join(lines)) from None

    def _slot(self, kind: str, value: Any) -> Slot:
        if value is None:
            names = ", ".join(entry.spec.name for entry in self.catalogue.of_kind(kind))
            raise Mistakes([((), f"missing; give the name of one: {names or 'none is known'}")])
        fields = {"use": value} if isinstance(value, str) else value
        if not isinstance(fields, Mapping) or not isinstance(fields.get("use"), str):
            raise Mistakes([((), f"expected {{use: NAME, …}} with the name of a component, found {value!r}")])
        try:
            entry = self.catalogue.get(kind, fields["use"])
        except TokzooError as error:
            raise Mistakes([(("use",), str(error))]) from None
        rest = {name: field for name, field in fields.items() if name != "use"}
        try:
            return Slot(kind, entry, self._config(entry.config, rest))
        except (Mistakes, PydanticCustomError, TokzooError):
            raise
        # A validator of the component's own may raise what pydantic does not take for a wrong value.
        except Exception as error:
            raise Broken(
                f"{kind} '{entry.spec.name}' (plugin {entry.plugin}): its config raised {describe(error)}"
            ) from error

    def _config(self, model: type[C], data: Any) -> C:
        def reference(kind: str, value: Any) -> Slot:
            try:
                return self._slot(kind, value)
            except Mistakes as mistakes:
                # Through pydantic, which knows the key of the field that refers.
                raise PydanticCustomError(REFERENCE, REFERENCE, {"problems": mistakes.problems}) from None

        try:
            made = model.model_validate(data, context={"resolve": reference})
        except ValidationError as error:
            raise Mistakes(explain(model, data, error)) from None
        problems = list(not_finite(made.model_dump()))
        if problems:
            raise Mistakes(problems)
        return made
