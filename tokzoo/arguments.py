"""What Python may hand to :func:`tokzoo.run` and :func:`tokzoo.load`, checked: a wrong type is told by its argument."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokzoo.bench.plan import Request, split, without_executor
from tokzoo.contracts.errors import TokzooError
from tokzoo.recipes.load import Axis
from tokzoo.recipes.tree import Key, Override, parse_key


def requested(
    what: Iterable[Any], changes: Any, *, track: Any, data: Any, seeds: Any, grid: Any
) -> tuple[Request, tuple[Override, ...]]:
    """What :func:`tokzoo.run` is asked for, and the changes that are of the executor.

    Raises:
        TokzooError: an argument is of another type than it must be.
    """
    names, written = split(each if isinstance(each, Path) else str(a_path("what", each)) for each in what)
    given = _by_key("changes", changes, "'quantizer.codes': 1024")
    of_both, of_executor = without_executor([*written, *given.items()])
    request = Request(
        names=names,
        changes=of_both,
        track=None if track is None else str(a_path("track", track)),
        data=None if data is None else a_path("data", data),
        seeds=None if seeds is None else _seeds(seeds),
        axes=tuple(
            Axis(".".join(key), _values(key, values))
            for key, values in _by_key("grid", grid, "'quantizer': ['vq', 'fsq']").items()
        ),
    )
    return request, of_executor


def a_path(name: str, given: Any) -> Path:
    """A path, as text or as such."""
    if not isinstance(given, str | os.PathLike) or isinstance(os.fspath(given), bytes):
        raise TokzooError(f"{name}={given!r}: expected a path or a name, as text")
    return Path(given)


def a_number(name: str, given: Any, least: int, whole: bool = False) -> None:
    """Raise TokzooError unless it is a number of at least so much."""
    if isinstance(given, bool) or not isinstance(given, int if whole else int | float) or not given >= least:
        raise TokzooError(f"{name}={given!r}: expected a {'whole ' if whole else ''}number, {least} or more")


def a_list(name: str, given: Any, example: str) -> list[Any]:
    """Several of what ``example`` shows; a name or a class alone is none."""
    if isinstance(given, str | os.PathLike | Mapping | type) or not isinstance(given, Iterable):
        raise TokzooError(f"{name}={given!r}: expected a list, such as [{example}]")
    return list(given)


def files(given: Any) -> list[Path]:
    """Files of plugins."""
    return [a_path("plugins", path) for path in a_list("plugins", given, "'my.py'")]


def _by_key(name: str, given: Any, example: str) -> dict[Key, Any]:
    """A mapping by dotted keys."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TokzooError(f"{name}={given!r}: expected a mapping, such as {{{example}}}")
    return {_key(name, key): value for key, value in given.items()}


def _key(name: str, text: Any) -> Key:
    key = parse_key(text) if isinstance(text, str) else ()
    if not key:
        raise TokzooError(f"{name}: {text!r}: expected a key such as quantizer.codes")
    return key


def _values(key: Key, given: Any) -> tuple[Any, ...]:
    """The values of an axis of a grid."""
    found = () if isinstance(given, str | Mapping) or not isinstance(given, Iterable) else tuple(given)
    if not found:
        raise TokzooError(f"grid: '{'.'.join(key)}' takes a list of values, such as ['vq', 'fsq'], not {given!r}")
    return found


def _seeds(given: Any) -> tuple[int, ...]:
    """Seeds, each once."""
    found = tuple(dict.fromkeys(given)) if isinstance(given, Iterable) else ()
    if not found or not all(type(seed) is int and seed >= 0 for seed in found):
        raise TokzooError(f"seeds={given!r}: expected whole numbers, such as range(3) or [0, 4]")
    return found
