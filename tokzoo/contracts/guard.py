"""Code of others kept to itself, and being asked to stop: what a plugin does ends no process, what the user asks does.

No torch here.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from tokzoo.contracts.errors import Escape

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What asks a process to stop: Ctrl-C, a scheduler or the system, and a terminal that is closed."""


class Stopped(KeyboardInterrupt):
    """The user or the system has asked this process to stop, and not a component that raises KeyboardInterrupt."""


def stop_on_signals() -> None:
    """Have each of ``SIGNALS`` raise :class:`Stopped`, unless whoever started this process has it ignored (nohup)."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(*_: object) -> None:
    raise Stopped


def asked_to_stop(error: BaseException) -> bool:
    """Whether an error stands for what was asked of this process, and is no component's mistake."""
    by_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    reached = by_default and threading.current_thread() is threading.main_thread()
    return isinstance(error, Stopped) or (isinstance(error, KeyboardInterrupt) and reached)


@contextmanager
def foreign_code() -> Iterator[None]:
    """Run code of others: what it prints goes to standard error, for standard output is the command's own.

    Raises:
        Escape: the code raised what would end the process. Any other error is passed on.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except BaseException as error:
        if isinstance(error, Exception) or asked_to_stop(error):
            raise
        raise Escape(error) from error
