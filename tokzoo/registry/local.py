"""Components that are plain classes and functions of a script or a notebook, registered without a plugin.

Adding one imports torch, which their classes have imported already.
"""

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar, get_type_hints

from tokzoo.contracts.configs import KINDS, ComponentConfig, ImageTermConfig, RegularizerConfig
from tokzoo.contracts.errors import TokzooError
from tokzoo.registry.catalogue import Entry
from tokzoo.registry.component import ComponentSpec, load_config, load_target, named
from tokzoo.registry.functions import Reported, make
from tokzoo.registry.local_stamp import local_stamp
from tokzoo.registry.plugins import Plugin, Registry
from tokzoo.registry.source import Source

SCRIPT = "script"
"""The plugin that components of a script or a notebook are said to come from."""

MARK = "__tokzoo_component__"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Marked:
    name: str | None
    reported: Reported | None


def component(
    *,
    name: str | None = None,
    better: Literal["higher", "lower"] | None = None,
    unit: str = "",
    label: str = "",
    digits: int = 3,
) -> Callable[[T], T]:
    """Add what the code of a class or function does not say; the class or function itself stays as it is.

    Args:
        name: what recipes call it; None: its own name in kebab-case (``MyQuantizer`` is ``my-quantizer``).
        better: which way is better, of a function that is a metric; None: it is shown and never ranked.
        unit: of such a metric.
        label: its column; "": its name.
        digits: decimals shown.
    """
    reported = Reported(label, unit, better, digits)

    def mark(thing: T) -> T:
        setattr(thing, MARK, _Marked(name, None if reported == Reported() else reported))
        return thing

    return mark


def local_spec(thing: Any) -> ComponentSpec:
    """The spec of a class, of a function, or a ready one.

    A class is of the kind whose interface it extends; its config is the class annotation ``config: MyConfig``, or that
    of ``__init__``'s argument. A function is what the names of its positional parameters say, and its keyword-only
    parameters are its config; see :func:`tokzoo.registry.functions.make`.

    Raises:
        TokzooError: it is not clear what it is; with how to mend it.
    """
    if isinstance(thing, ComponentSpec):
        spec = thing
    elif isinstance(thing, type):
        spec = _of_class(thing)
    elif inspect.isfunction(thing):
        made = make(thing, _name(thing), _marked(thing).reported)
        spec = ComponentSpec(made.kind, _name(thing), made.config, made.target, _summary(thing))
    else:
        hint = f"; give the class {type(thing).__name__} itself" if hasattr(thing, "config") else ""
        raise TokzooError(f"components: {thing!r} is not a class, a function or a ComponentSpec{hint}")
    spec.check()
    return spec


def add_components(registry: Registry, things: Iterable[Any]) -> list[ComponentSpec]:
    """Register classes, functions and specs; returns the spec of each.

    Raises:
        TokzooError: one cannot be understood, or has the name of another component (or a metric's number has).
    """
    plugin = Plugin(SCRIPT, "components of this process", source=Source(in_development=True))
    specs = []
    for thing in things:
        spec = local_spec(thing)
        _check_free(registry, spec)
        parts = [thing] if inspect.isfunction(thing) else [load_target(spec), load_config(spec)]
        # Now: code that cannot be read is told before anything runs.
        made = local_stamp(parts, named(spec))
        registry.components.add(Entry(spec, SCRIPT, Source(in_development=True, read=partial(str, made))))
        specs.append(spec)
    plugin.offers = tuple(f"{spec.kind}/{spec.name}" for spec in specs)
    registry.plugins.append(plugin)
    return specs


def _check_free(registry: Registry, spec: ComponentSpec) -> None:
    where = f"component {spec.kind}/{spec.name}"
    for other in registry.components.of_kind(spec.kind):
        if other.spec.name == spec.name:
            raise TokzooError(
                f"{where}: plugin {other.plugin} has one of this name; rename yours, or name it by "
                "@tokzoo.component(name=…)"
            )
    if spec.kind == "metric":
        own = _reports(load_config(spec))
        for other in registry.components.sound("metric")[0]:
            both = own & _reports(other.config)
            if both:
                raise TokzooError(f"{where}: metric '{other.spec.name}' reports {', '.join(sorted(both))} already")


def _reports(config: Any) -> set[str]:
    return {info.id for info in config.reports}


def _marked(thing: Any) -> _Marked:
    # Its own: what is said of a class is not said of those that extend it.
    found = vars(thing).get(MARK, _Marked(None, None))
    assert isinstance(found, _Marked)
    return found


def _name(thing: Any) -> str:
    """The name it was given, or its own in kebab-case: ``MyVQ`` is ``my-vq``, ``FSQLevels`` is ``fsq-levels``."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])", "-", thing.__name__)
    return _marked(thing).name or words.replace("_", "-").strip("-").lower()


def _summary(thing: Any) -> str:
    lines = (thing.__doc__ or "").strip().splitlines()
    return lines[0].strip() if lines else str(thing.__name__)


def _of_class(cls: type) -> ComponentSpec:
    from tokzoo.contracts.interfaces import INTERFACES

    where = f"class {cls.__name__}"
    kinds = [kind for kind, interface in INTERFACES.items() if issubclass(cls, interface)]
    if not kinds:
        known = ", ".join(f"tokzoo.{interface.__name__}" for interface in INTERFACES.values())
        raise TokzooError(f"{where}: extend the interface of its kind: {known}")
    missing = [name for name in dir(cls) if getattr(getattr(cls, name, None), "__isabstractmethod__", False)]
    if missing:
        raise TokzooError(f"{where}: does not implement {', '.join(missing)}")
    if _marked(cls).reported is not None:
        raise TokzooError(f"{where}: label, unit, better and digits are for functions; a class has `reports`")
    return ComponentSpec(kinds[0], _name(cls), _config(cls, kinds[0], where), cls, _summary(cls))


def _config(cls: type, kind: str, where: str) -> type[ComponentConfig]:
    from tokzoo.contracts.interfaces import ImageTerm

    needed = ImageTermConfig if issubclass(cls, ImageTerm) else KINDS[kind]
    try:
        hints = [get_type_hints(each).get("config") for each in (cls, inspect.getattr_static(cls, "__init__"))]
    except Exception as error:
        raise TokzooError(f"{where}: an annotation cannot be evaluated: {error}") from error
    # The interfaces themselves annotate it as Any.
    found = next((hint for hint in hints if isinstance(hint, type) and hint is not Any), None)
    if found is None and needed in (ImageTermConfig, RegularizerConfig):
        return needed
    base = f"a subclass of tokzoo.{needed.__name__}"
    if found is None:
        raise TokzooError(f"{where}: state its config by an annotation in its body, `config: …`, {base}")
    if not issubclass(found, needed):
        raise TokzooError(f"{where}: its config is {found.__name__}, which is not {base}")
    return found
