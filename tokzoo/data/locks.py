"""Locks between processes, whose waiting ends where this process is asked to stop. No torch here."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from filelock import FileLock, Timeout

from tokzoo.contracts.errors import Interrupted

stopping: ContextVar[Callable[[], bool]] = ContextVar("stopping", default=lambda: False)
"""Says whether the work that this thread does is to stop."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, one process at a time. A dead process holds nothing.

    Raises:
        Interrupted: it was asked to stop while another process held it.
        OSError: the file cannot be written.
    """
    lock = FileLock(path)
    try:
        lock.acquire(cancel_check=stopping.get())
    except Timeout:
        raise Interrupted(f"stopped while another process had {path}") from None
    try:
        yield
    finally:
        lock.release()
