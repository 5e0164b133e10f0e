"""Which code made a stage's result, and whether that is the code that is here. No torch here.

Code says what it is by its distribution's version and by a stamp of its files (``registry.stamps``). What was made by
code under development, or by other code than is now under development, is made anew; what another release made is
used, and named.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from tokzoo.contracts.errors import TokzooError
from tokzoo.recipes.slots import Slot
from tokzoo.registry.local import SCRIPT
from tokzoo.registry.source import Source, tokzoo_source

Sources = Mapping[str, Source]
"""Where code comes from, by the plugin's name; ``tokzoo``: those of its own rooms that shape results."""

Code = dict[str, dict[str, Any]]
"""What sources were when a result was made: version, stamp, and whether under development."""


@cache
def own_rooms() -> Source:
    """Of tokzoo itself; read once a process."""
    return tokzoo_source()


def sources_of(slots: Iterable[Slot]) -> dict[str, Source]:
    """The sources of components, of those that they refer to, and of tokzoo."""
    found = {"tokzoo": own_rooms()}
    for slot in slots:
        # Components of a script have a stamp each.
        own = f"{slot.kind}/{slot.use}" if slot.entry.plugin == SCRIPT else slot.entry.plugin
        found |= {**sources_of(slot.parts()), own: slot.entry.source}
    return found


def code_of(sources: Sources) -> Code:
    """What the sources are now, as JSON."""
    return {
        name: {"version": source.version, "stamp": source.stamp[:16], "in_development": source.in_development}
        for name, source in sorted(sources.items())
    }


def check_loaded(sources: Sources) -> None:
    """Hold code that was loaded after it was stamped to its stamp.

    Raises:
        TokzooError: the files say something else by now, so it is not known which of both was loaded.
    """
    changed = [name for name, source in sources.items() if source.read() != source.stamp]
    if changed:
        raise TokzooError(f"the code of {', '.join(changed)} changed while it was loaded; run it again")


def has_changed(made_by: Code, here: Code) -> bool:
    """Whether other code than is here made a result, and either of them is under development."""
    return any(
        each["in_development"] or made_by.get(name, each)["in_development"]
        for name, each in here.items()
        if made_by.get(name, {}).get("stamp") != each["stamp"]
    )


def other_releases(made_by: Code, here: Code) -> list[str]:
    """What made a result that is another release here, such as ``lattice 0.1.0, here is 0.2.0``."""
    lines = []
    for name, each in here.items():
        made = made_by.get(name)
        if made is None:
            lines.append(f"other plugins than {name} {each['version']}".rstrip())
        elif made["stamp"] != each["stamp"]:
            other = each["version"] if each["version"] != made["version"] else "other code of that version"
            lines.append(f"{name} {made['version']}, here is {other}")
    return lines
