"""Whose code raised an error, by the frames it passed through."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

from tokzoo.contracts.errors import TokzooError
from tokzoo.recipes.slots import Slot
from tokzoo.registry.component import load_target


def culprit(error: BaseException, slots: Iterable[Slot]) -> str:
    """The component in whose code an error was raised, as messages name it; "" where it was in that of none.

    The innermost of them is meant: a teacher, not the regularizer that asked it.
    """
    classes: dict[type, Slot] = {}
    for slot in slots:
        with suppress(TokzooError):
            target = load_target(slot.entry.spec)
            if isinstance(target, type):
                classes.setdefault(target, slot)
    for frame in _innermost_first(error):
        owner: Any = frame.f_locals.get("self")
        for cls in type(owner).__mro__:
            if cls in classes:
                slot = classes[cls]
                return f"{slot.kind} '{slot.use}' (plugin {slot.entry.plugin})"
    return ""


def _innermost_first(error: BaseException) -> Iterator[FrameType]:
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    return reversed(frames)
