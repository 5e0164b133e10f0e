"""Errors whose message is for a person: what is wrong, where, and how to mend it."""

import difflib
from collections.abc import Iterable

from tokzoo.contracts.text import printable


class TokzooError(Exception):
    """Anything the user can mend. The command line prints the message alone, without a traceback."""


class Refusal(TokzooError):
    """A component cannot work with what flows to it.

    Raised by the spec methods of config classes, with the reason in words ("wants a sequence"). The solver adds
    which edge failed and what would fit.
    """


class Broken(TokzooError):
    """A component raised what it should not: a mistake in its code, told with the component and its plugin."""


class Diverged(TokzooError):
    """Training produced a non-finite number; the message names the term and the step."""


class Interrupted(TokzooError):
    """Work was asked to stop; what it had to save is saved, and the next run goes on from there."""


class Escape(Exception):
    """Code of a component raised what would end the process, as if that were its own (SystemExit and the like)."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


ONE_LINE = 300
LONGEST_MESSAGE = 10_000


def describe(error: BaseException, longest: int = ONE_LINE) -> str:
    """An error in one line.

    What was meant for the user is told whole; of anything else its type, and its message up to ``longest`` letters.
    """
    if isinstance(error, Escape):
        return describe(error.error, longest)
    text = " ".join(message(error).split()) or "no message"
    if isinstance(error, TokzooError):
        return printable(text)
    return f"{type(error).__name__}: {printable(text, longest)}"


def message(error: BaseException) -> str:
    """An error's message, whatever its class makes of being asked for it; of a very long one the beginning."""
    try:
        said = str(error)
        return said if len(said) <= LONGEST_MESSAGE else f"{said[:LONGEST_MESSAGE]}…"
    except Exception as broken:
        return f"it cannot be printed ({type(broken).__name__})"


def suggest(name: str, known: Iterable[str]) -> str:
    """The nearest known name as a question, or all of them where nothing is near.

    >>> suggest("codez", ["codes", "dim"])
    "did you mean 'codes'?"
    """
    options = sorted(known)
    # A name is often typed without its organisation ("fsq" for "me/fsq") or its version ("x" for "x@1").
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    if not near:
        near = [option for option in options if name and name in option][:1]
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(options)}" if options else "none is known"
