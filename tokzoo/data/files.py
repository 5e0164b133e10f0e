"""Files: read with one message for whatever goes wrong, and written whole or not at all. No torch here."""

import errno
import functools
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any

from tokzoo.contracts.errors import TokzooError

KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
LONGEST_NAME = 200
"""Bytes of a name that we make, or that a temporary name keeps of a file's: file systems know 255."""
TEMPORARY = re.compile(r"\..*\.([0-9a-f]{8})-([0-9]{1,10})-[0-9a-f]{8}\.tmp", re.DOTALL)
LARGEST_JSON = 16 * 2**20
"""Bytes of a file of ours that is shared, such as a record."""
FORGOTTEN_SECONDS = 86400
"""So long after it was last written, a temporary file from elsewhere is held for one whose writer is dead."""


def shown(path: Path | str) -> str:
    """A path for a message: a name need not be valid Unicode, and what is not cannot be printed."""
    return os.fsencode(path).decode(errors="backslashreplace")


@contextmanager
def reading(
    what: Path | str, expected: str = "a whole file", *damaged: type[Exception], mend: str = ""
) -> Iterator[None]:
    """Tell in one message what goes wrong inside, while a file is read.

    Args:
        what: the file, as the message calls it.
        expected: what it ought to be, for the message.
        damaged: what is raised where it is something else.
        mend: how to mend that.

    Raises:
        TokzooError: the file cannot be read, or is not what it ought to be.
    """
    caught: tuple[type[Exception], ...] = (OSError, *damaged)
    try:
        yield
    except UnicodeDecodeError as error:
        raise TokzooError(f"{shown(what)}: not a text file ({error.reason} at byte {error.start})") from error
    except caught as error:
        problem = f"not {expected}" if isinstance(error, damaged) else "cannot be read"
        raise TokzooError(f"{shown(what)}: {problem} ({_reason(error)}){mend and f'; {mend}'}") from error


@contextmanager
def writing(what: Path | str, *failures: type[Exception], mend: str = "") -> Iterator[None]:
    """Tell in one message that a file or a folder cannot be written.

    Args:
        what: the file, as the message calls it.
        failures: what else than OSError says so.
        mend: what to do about it.

    Raises:
        TokzooError: it cannot be written.
    """
    caught: tuple[type[Exception], ...] = (OSError, *failures)
    try:
        yield
    except caught as error:
        raise TokzooError(f"{shown(what)}: cannot be written ({_reason(error)}){mend and f'; {mend}'}") from error


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if isinstance(error, KeyError):
        text = f"no {text}"
    return " ".join(text.split())[:200] or type(error).__name__


def open_file(path: Path) -> BufferedReader:
    """Open a file to be read.

    Raises:
        OSError: it cannot be read, or is something else than a file. Nobody is waited for at a pipe's other end.
    """
    return open(path, "rb", opener=_open_regular)


def _open_regular(path: str, flags: int) -> int:
    number = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(number).st_mode
    if stat.S_ISREG(mode):
        return number
    os.close(number)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise OSError(errno.EINVAL, f"it is {kind_of(mode)}, not a file", path)


def kind_of(mode: int) -> str:
    """What something other than a file is, by its mode."""
    return KINDS.get(stat.S_IFMT(mode), "something else")


def read_text(path: Path, most: int, called: str = "") -> str:
    """A text file of at most ``most`` bytes, in UTF-8; ``called`` stands for its path in messages.

    Raises:
        TokzooError: it cannot be read, is no text, or is larger.
    """
    with reading(called or path), open_file(path) as file:
        content = file.read(most + 1)
        if len(content) > most:
            raise TokzooError(
                f"{called or shown(path)}: larger than {most:,} bytes, the most that is read of such a file"
            )
        return content.decode("utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON value.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError, json.JSONDecodeError: it is not JSON, or holds what Python does not read.
    """
    with open_file(path) as file:
        return _parsed(file.read().decode("utf-8"))


def load_json(path: Path, called: str = "") -> Any:
    """Read a JSON value that anyone may have written; ``called`` stands for the path in messages.

    Raises:
        TokzooError: it cannot be read, is not JSON, or is larger than any of ours.
    """
    text = read_text(path, LARGEST_JSON, called)
    with reading(called or path, "JSON", json.JSONDecodeError):
        return _parsed(text)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError) as error:
        problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise json.JSONDecodeError(problem, "", 0) from None


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value, indented, keys in their order."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Have ``write`` fill a temporary file beside ``path``, flush it to disk, and put it in place in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path, *failures: type[Exception]) -> Iterator[Path]:
    """An empty folder that becomes ``folder`` once what is done inside is done; where that fails, nothing is left.

    Args:
        folder: a new folder, or an empty one.
        failures: what else than OSError says that it cannot be written.

    Raises:
        TokzooError: there is something there already, or it cannot be written.
    """
    refuse_taken(folder)
    with writing(folder, *failures):
        place = Path(os.path.abspath(folder))
        unfinished = temporary_beside(place)
        try:
            unfinished.mkdir(parents=True)
            yield unfinished
            if place.exists():
                place.rmdir()
            unfinished.rename(place)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def refuse_taken(folder: Path, called: str = "") -> None:
    """Refuse what can become no new folder; ``called`` stands for its path in messages.

    Raises:
        TokzooError: there is something there already.
    """
    with writing(called or folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            where = shown(called or folder)
            raise TokzooError(f"{where}: there is something there already; name a new folder, or an empty one")


def temporary_beside(path: Path) -> Path:
    """A path in the same folder for what is not whole yet: no other writer's, on whatever host it writes.

    What writers that were killed have left in that folder is removed when a process first writes into it.
    """
    _remove_dead(path.parent)
    name = os.fsdecode(os.fsencode(path.name)[:LONGEST_NAME])
    return path.with_name(f".{name}.{_here()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")


@lru_cache(maxsize=4096)
def _remove_dead(folder: Path) -> None:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = TEMPORARY.fullmatch(entry.name)
            if found and _is_dead(found[1], int(found[2]), entry):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)


def _is_dead(where: str, process: int, entry: os.DirEntry[str]) -> bool:
    # Windows has no harmless signal to ask with.
    if where != _here() or os.name == "nt":
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > FORGOTTEN_SECONDS
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
    return False


@functools.cache
def _here() -> str:
    """Stands for where the numbers of processes mean something: this host, since it was started, this container."""
    about = [platform.node()]
    with suppress(OSError):
        about.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        about.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(about).encode(errors="surrogateescape")).hexdigest()[:8]


def expanded(path: str | Path) -> Path:
    """A path with ``~`` as the home it stands for; the home of nobody we know stays as it is written."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def file_hash(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_hash(path: Path) -> str:
    """:func:`file_hash`, read once a process as long as the file's size and time stay."""
    found = path.stat()
    return _known_hash(path, found.st_size, found.st_mtime_ns)


def is_as_written(path: Path, digest: str) -> bool:
    """Whether a file is there and has that SHA-256."""
    return path.is_file() and known_hash(path) == digest


@lru_cache(maxsize=64)
def _known_hash(path: Path, size: int, changed: int) -> str:
    return file_hash(path)
