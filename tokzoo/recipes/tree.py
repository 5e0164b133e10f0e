"""Config trees that remember where each value came from: YAML files with line numbers, overrides, and their merging."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

import yaml

from tokzoo.contracts.errors import ONE_LINE, TokzooError, describe
from tokzoo.data.files import read_text

Key = tuple[str, ...]
Override = tuple[Key, Any]
COMMAND_LINE = "command line"
LONGEST, DEEPEST, MOST = 1 << 20, 50, 100_000
"""Of a file: its bytes, how deep its values lie in each other, and how many there are once aliases are written out."""
APPEND = "+"
"""At the end of a key: ``metrics+=[edges]`` appends to the list that is there."""


class _NotYAMLError(TokzooError):
    """A text that is not YAML, or a value that is not of the type its tag says."""


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads ``1e-4`` as a number and a date as text, and refuses a key given twice."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name
        self.depth = 0
        # How many values each node holds and how deep they lie, aliases counted as what they stand for.
        self.extents: dict[yaml.Node, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node.

        Raises:
            TokzooError: it holds too much, lies too deep, or holds itself.
        """
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1 if event.start_mark else 1
        self.depth += 1
        if self.depth > DEEPEST:
            raise TokzooError(f"{self.name}:{line}: values lie more than {DEEPEST} deep in each other")
        node = super().compose_node(parent, index)
        self.depth -= 1
        if node is not None and node not in self.extents:
            if isinstance(event, yaml.AliasEvent):
                raise TokzooError(f"{self.name}:{line}: a value holds itself, by its alias")
            self.extents[node] = self._extent(node, line)
        return node

    def _extent(self, node: yaml.Node, line: int) -> tuple[int, int]:
        inside = node.value if isinstance(node, yaml.CollectionNode) else []
        children = [each for pair in inside for each in (pair if isinstance(pair, tuple) else (pair,))]
        extents = [self.extents[child] for child in children]
        many, deep = 1 + sum(each[0] for each in extents), 1 + max((each[1] for each in extents), default=0)
        if many > MOST or deep > DEEPEST:
            what = f"more than {MOST:,} values" if many > MOST else f"values more than {DEEPEST} deep in each other"
            raise TokzooError(f"{self.name}:{line}: {what}, once its aliases are written out")
        return many, deep

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.keys(node)
        return super().construct_mapping(node, deep)

    def keys(self, node: yaml.MappingNode) -> list[str]:
        """The keys of a mapping, each given once."""
        names: list[str] = []
        for key_node, _ in node.value:
            name = str(self.construct_object(key_node, deep=True)) if key_node.tag != _MERGE else key_node.value
            if name in names:
                raise TokzooError(f"{self.name}:{key_node.start_mark.line + 1}: '{name}' is given twice")
            names.append(name)
        return names


_MERGE = "tag:yaml.org,2002:merge"
_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] not in ("tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)$"),
    list("-+0123456789."),
)


@dataclass(slots=True)
class Tree:
    """Nested mappings, and the origin of every key set in them; that of ``()`` is where what is missing would stand."""

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, str] = field(default_factory=dict)

    @classmethod
    def from_file(cls, path: Path, name: str = "") -> Self:
        """Read a YAML mapping; ``name`` stands for the path in its origins.

        Raises:
            TokzooError: unreadable, not YAML, not a mapping, or a key given twice; with file and line.
        """
        return cls.from_text(read_text(path, LONGEST), name or str(path))

    @classmethod
    def from_text(cls, text: str, name: str) -> Self:
        """Parse a YAML mapping; ``name`` stands in its origins, ``name:line``."""
        tree = cls(origins={(): name})
        with _told(name):
            loader = _Loader(text, name)
            node = loader.get_single_node()
            if not isinstance(node, yaml.MappingNode):
                raise TokzooError(f"{name}: expected a mapping of keys to values")
            tree.data = _construct(loader, node, (), tree.origins)
        return tree

    @classmethod
    def from_data(cls, data: Mapping[str, Any], origin: str) -> Self:
        """A tree whose every key has one origin."""
        tree = cls(origins={(): origin})
        tree.merge(cls(dict(data), {(): origin}))
        return tree

    def origin(self, key: Key) -> str:
        """Where the value at ``key`` came from: its own origin, or that of the nearest key above it."""
        while key not in self.origins and key:
            key = key[:-1]
        return self.origins.get(key, "default")

    def merge(self, other: "Tree") -> None:
        """Lay ``other`` over this tree.

        Mappings merge key by key, but a slot that names another component (``use``) replaces the slot: what was said
        of the former component does not apply to the new one. A bare name in a slot's place is short for
        ``{use: name}``. A key that ends in ``+`` appends to the list that is there.

        Raises:
            TokzooError: there is no list to append to.
        """
        self._merge_into(self.data, other.data, (), other)

    def _merge_into(self, mine: dict[str, Any], theirs: Mapping[str, Any], key: Key, other: "Tree") -> None:
        for name, given in ((str(name), given) for name, given in theirs.items()):
            here = (*key, name)
            if name.endswith(APPEND):
                self._append(mine, given, here, other.origin(here))
                continue
            current, value = mine.get(name), given
            if isinstance(current, dict) and "use" in current and isinstance(value, str):
                value = {"use": value}
            elif isinstance(current, str) and isinstance(value, Mapping):
                current = mine[name] = {"use": current}
            if isinstance(current, dict) and isinstance(value, Mapping) and not _swaps(current, value):
                self._merge_into(current, value, here, other)
                continue
            self._forget(here)
            self.origins[here] = other.origin(here)
            if isinstance(value, Mapping):
                mine[name] = {}
                self._merge_into(mine[name], value, here, other)
            else:
                mine[name] = value

    def _append(self, mine: dict[str, Any], given: Any, key: Key, origin: str) -> None:
        name = key[-1].removesuffix(APPEND)
        if not isinstance(mine.get(name), list | tuple):
            place = ".".join(key)
            raise TokzooError(f"{place}: no list is written there to append to; give all of it as {name} ({origin})")
        mine[name] = [*mine[name], *(given if isinstance(given, list | tuple) else [given])]
        self.origins[*key[:-1], name] = origin

    def _forget(self, key: Key) -> None:
        for stale in [each for each in self.origins if each[: len(key)] == key]:
            del self.origins[stale]

    def drop(self, key: Key) -> None:
        """Take out the value at ``key``, as if it had not been written."""
        at(self.data, key[:-1], {}).pop(key[-1], None)
        self._forget(key)

    def set(self, key: Key, value: Any, origin: str) -> None:
        """Set one value, making the mappings on the way."""
        self.merge(Tree(nested(key, value), {(): origin}))


def _swaps(current: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    return "use" in current and "use" in value and current["use"] != value["use"]


def _construct(loader: _Loader, node: yaml.MappingNode, key: Key, origins: dict[Key, str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, (key_node, value_node) in zip(loader.keys(node), node.value, strict=True):
        here = (*key, name)
        origins[here] = f"{loader.name}:{key_node.start_mark.line + 1}"
        if isinstance(value_node, yaml.MappingNode):
            result[name] = _construct(loader, value_node, here, origins)
        else:
            result[name] = loader.construct_object(value_node, deep=True)
    return result


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Tell what YAML cannot read with the name of the file and, where it is known, the line."""
    try:
        yield
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark else name
        problem = " ".join(str(getattr(error, "problem", error)).split())
        raise _NotYAMLError(f"{place}: not valid YAML: {problem}") from error
    except RecursionError as error:
        raise _NotYAMLError(f"{name}: not valid YAML: nested too deeply") from error
    # What a constructor of the YAML library raises at ``!!int x``, ``!!bool x``, or a number of 5,000 digits.
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _NotYAMLError(f"{name}: not valid YAML: a value is not of its type ({describe(error)})") from error


def parse_value(text: str, where: str) -> Any:
    """A value as YAML reads it: ``64``, ``1e-4``, ``null``, ``[8, 8]``, ``{use: fsq}``."""
    try:
        with _told(where):
            return _Loader(text, where).get_single_data()
    except _NotYAMLError as error:
        shown = repr(text if len(text) <= ONE_LINE else f"{text[:ONE_LINE]}…")
        raise TokzooError(f"{where}: {shown} is not a YAML value; quote what YAML would read otherwise") from error


def nested(key: Key, value: Any) -> dict[str, Any]:
    """The mappings in which ``value`` stands at ``key``."""
    for name in reversed(key):
        value = {name: value}
    return cast(dict[str, Any], value)


def at(data: Any, key: Key, missing: Any = None) -> Any:
    """The value at ``key`` in nested mappings; ``missing`` where there is none."""
    for name in key:
        if not isinstance(data, Mapping) or name not in data:
            return missing
        data = data[name]
    return data


def parse_key(text: str) -> Key:
    """The names of a dotted key; empty where one of them is."""
    names = tuple(name.strip() for name in text.split("."))
    return names if all(names) else ()


def parse_override(text: str) -> Override:
    """Split ``a.b=value`` into its key and its YAML value.

    Raises:
        TokzooError: no ``=``, or an empty key.
    """
    name, equals, value = text.partition("=")
    key = parse_key(name)
    if not equals or not key:
        raise TokzooError(f"'{text}': expected key=value, such as quantizer.codes=1024")
    return key, parse_value(value, name)


def apply_overrides(tree: Tree, overrides: Iterable[Override]) -> None:
    """Set overrides whatever their order on the command line: a swap of a component before what is said of it.

    Raises:
        TokzooError: one key is given twice, or a slot is given two components.
    """
    seen: dict[Key, Any] = {}
    for key, value in overrides:
        if key in seen:
            raise TokzooError(f"{'.'.join(key)}: given twice ({seen[key]!r} and {value!r})")
        seen[key] = value
    for key, value in seen.items():
        named = value.get("use") if isinstance(value, Mapping) else value
        if isinstance(named, str) and seen.get((*key, "use"), named) != named:
            raise TokzooError(f"{'.'.join(key)}: given twice ({named!r}, and {seen[*key, 'use']!r} as its use)")
    # "quantizer" before "quantizer.use" before "quantizer.codes"; a list before what is appended to it.
    for key in sorted(seen, key=lambda k: (len(k), k[-1] != "use", k[-1].endswith(APPEND))):
        tree.set(key, seen[key], COMMAND_LINE)
