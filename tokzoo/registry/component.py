"""What a plugin registers for one component, and how its class is reached."""

import functools
import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from tokzoo.contracts.configs import KINDS, ARConfig, ComponentConfig
from tokzoo.contracts.errors import Broken, TokzooError, describe, suggest
from tokzoo.contracts.guard import foreign_code

BY_VALUES = frozenset({"provides", "requires", "layout", "sampler"})
"""What a config may answer by a property: it can depend on the config's values."""

PROPERTIES = (property, functools.cached_property)
TEXTS = ("summary", "paper", "code_license", "weights_license", "status")
NAME = re.compile(r"(?:[a-z0-9]+(?:-[a-z0-9]+)*/)?[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """A component as it is registered. Making one imports no torch.

    Attributes:
        kind: a key of ``tokzoo.contracts.configs.KINDS``, such as ``"quantizer"``.
        name: lower-case words joined by ``-``; ``org/name`` for third parties.
        config: ``"module:Class"`` of its pydantic config model, a subclass of the kind's base in
            ``tokzoo.contracts.configs``, imported on first use; or the class itself.
        target: ``"module:Class"``, imported only when the component is built; a file plugin may give the class itself.
        version: raise it when results change: cached stages of other versions are not reused.
        paper: where it was introduced (arXiv id and section).
        code_license, weights_license: SPDX ids.
        status: "stable" or "experimental".
        extras: the optional dependencies of the plugin it needs.
        example: fields of a small config, which the conformance kit builds; {}: the defaults are small.
    """

    kind: str
    name: str
    config: str | type[ComponentConfig]
    target: str | type
    summary: str
    version: int = 1
    paper: str = ""
    code_license: str = "MIT"
    weights_license: str = ""
    status: str = "stable"
    extras: tuple[str, ...] = ()
    example: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise :class:`TokzooError` where the registration itself is wrong, as far as that shows without importing."""
        where = named(self)
        if self.kind not in KINDS:
            raise TokzooError(f"{where}: unknown kind; {suggest(self.kind, KINDS)}")
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise TokzooError(f"{where}: a name is lower-case words and numbers joined by '-', or 'org/name'")
        if isinstance(self.config, str):
            _check_lazy(where, "config", self.config)
        else:
            _check_config(self.config, self.kind, where)
        if not isinstance(self.target, type):
            _check_lazy(where, "target", self.target)
        if not self.summary:
            raise TokzooError(f"{where}: a one-line summary is missing")
        for name in TEXTS:
            if not isinstance(getattr(self, name), str):
                raise TokzooError(f"{where}: {name} is {getattr(self, name)!r}, not text")
        if not isinstance(self.version, int) or self.version < 1:
            raise TokzooError(f"{where}: version is a whole number from 1 on, not {self.version!r}")
        if not isinstance(self.example, Mapping):
            raise TokzooError(f"{where}: example is {self.example!r}, not a mapping of fields to values")
        if isinstance(self.extras, str) or not all(isinstance(extra, str) for extra in self.extras):
            raise TokzooError(f"{where}: extras is {self.extras!r}, not a tuple of names")


def named(spec: ComponentSpec) -> str:
    """How messages name a component."""
    return f"component {spec.kind}/{spec.name}"


def _check_lazy(where: str, what: str, value: Any) -> None:
    if not isinstance(value, str) or value.count(":") != 1:
        raise TokzooError(f"{where}: {what} {value!r} is not of the form 'module:Class'")


def _check_config(config: Any, kind: str, where: str) -> None:
    base = KINDS[kind]
    if not (isinstance(config, type) and issubclass(config, base)):
        raise TokzooError(f"{where}: config must be a subclass of {base.__name__}, not {config!r}")
    promised = {*config.__abstractmethods__, *(name for name in base.__class_vars__ if not hasattr(config, name))}
    if promised:
        raise TokzooError(f"{where}: {config.__name__} does not define {', '.join(sorted(promised))}")
    if "use" in config.model_fields:
        raise TokzooError(f"{where}: {config.__name__} has a field 'use', which names the component in a recipe")
    if issubclass(config, ARConfig) and "weights" in config.model_fields:
        raise TokzooError(f"{where}: {config.__name__} has a field 'weights', which names a saved AR model in a recipe")
    # Others read these of every component there is: a wrong one would break what has nothing to do with it.
    for name in _class_variables(base):
        value = getattr(config, name)
        if name not in BY_VALUES or not isinstance(value, PROPERTIES):
            problem = _wrong_answer(base, name, value)
            if problem:
                raise TokzooError(f"{where}: {config.__name__}.{problem}")
    _check_paths(config, where)


def _check_paths(config: type[ComponentConfig], where: str) -> None:
    """Refuse a field whose path would get into hashes and be published."""
    declared = {*config.places, *config.contents}
    for name in sorted(declared - config.model_fields.keys()):
        raise TokzooError(f"{where}: {config.__name__} has no field '{name}'; {suggest(name, config.model_fields)}")
    for name, info in config.model_fields.items():
        if name not in declared and _holds_path(info.annotation):
            raise TokzooError(
                f"{where}: the field '{name}' of {config.__name__} holds a path, which must not be published: name the "
                "field in 'contents' if results depend on what is in the file, in 'places' if on nothing of it"
            )


def _holds_path(annotation: Any, seen: frozenset[Any] = frozenset()) -> bool:
    if not isinstance(annotation, type) or get_args(annotation):
        return any(_holds_path(each, seen) for each in get_args(annotation))
    if issubclass(annotation, BaseModel) and annotation not in seen:
        inside = (info.annotation for info in annotation.model_fields.values())
        return any(_holds_path(each, seen | {annotation}) for each in inside)
    return issubclass(annotation, PurePath)


def check_answers(config: ComponentConfig, kind: str) -> None:
    """Check what a config says by properties, which shows only in an instance.

    Raises:
        TypeError: one gives a value of another type than it should.
    """
    base = KINDS[kind]
    for name in BY_VALUES & _class_variables(base).keys():
        if isinstance(getattr(type(config), name), PROPERTIES):
            problem = _wrong_answer(base, name, getattr(config, name))
            if problem:
                raise TypeError(problem)


def _wrong_answer(base: type[ComponentConfig], name: str, value: Any) -> str | None:
    wanted, adapter = _class_variables(base)[name]
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError:
        return f"{name} is {value!r}, not {wanted}"
    return None


@functools.cache
def _class_variables(base: type[ComponentConfig]) -> dict[str, tuple[str, TypeAdapter[Any]]]:
    """The class variables of a kind's configs: what each must be, in words and to be checked by."""
    found: dict[str, tuple[str, TypeAdapter[Any]]] = {}
    for cls in base.__mro__[: base.__mro__.index(ComponentConfig) + 1]:
        for name, annotation in inspect.get_annotations(cls).items():
            origin: Any = get_origin(annotation)
            if origin is ClassVar:
                (wanted,) = get_args(annotation)
                text = str(wanted) if get_args(wanted) else wanted.__name__
                found[name] = (re.sub(r"\w+\.", "", text), TypeAdapter(wanted))
    return found


def load_config(spec: ComponentSpec) -> type[ComponentConfig]:
    """Import, check and return the component's config model.

    Raises:
        TokzooError: it cannot be imported, there is no such name, or it is no config of such a component.
    """
    config: type[ComponentConfig] = import_target(spec.config, named(spec), _needs(spec))
    _check_config(config, spec.kind, named(spec))
    return config


def load_target(spec: ComponentSpec) -> Any:
    """Import and return the component's class.

    Raises:
        TokzooError: the target cannot be imported or has no such name; with what it needs installed, if it says so.
    """
    return import_target(spec.target, named(spec), _needs(spec))


def _needs(spec: ComponentSpec) -> str:
    return f"; it needs the optional dependencies {', '.join(spec.extras)}" if spec.extras else ""


def import_target(target: str | type, whose: str, hint: str = "") -> Any:
    """What ``"module:name"`` stands for; a class stands for itself.

    Raises:
        TokzooError: it cannot be imported, or has no such name.
        Broken: its module raises something else.
    """
    if not isinstance(target, str):
        return target
    module, _, name = target.partition(":")
    try:
        with foreign_code():
            return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise TokzooError(f"{whose}: cannot load {target}: {error}{hint}") from error
    except Exception as error:
        raise Broken(f"{whose}: importing {module} raised {describe(error)}{hint}") from error
