"""Config trees that remember where each value came from: YAML files with line numbers, overrides, and their merging."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from tokzoo.contracts.errors import TokzooError

Key = tuple[str, ...]
COMMAND_LINE = "command line"


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads ``1e-4`` as a number, as everybody who writes it means."""


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:float"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.inf|\.nan)$"),
    list("-+0123456789."),
)


@dataclass(slots=True)
class Tree:
    """Nested mappings, and the origin of every key set in them."""

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, str] = field(default_factory=dict)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a YAML mapping.

        Raises:
            TokzooError: unreadable, not YAML, not a mapping, or a key given twice; with file and line.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise TokzooError(f"{path}: {error.strerror or error}") from error
        return cls.from_text(text, path.name)

    @classmethod
    def from_text(cls, text: str, name: str) -> Self:
        """Parse a YAML mapping; ``name`` stands in its origins, ``name:line``."""
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if not isinstance(node, yaml.MappingNode):
                raise TokzooError(f"{name}: expected a mapping of keys to values")
            tree = cls()
            tree.data = _construct(loader, node, name, (), tree.origins)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = f"{name}:{mark.line + 1}" if mark else name
            raise TokzooError(f"{place}: not valid YAML: {getattr(error, 'problem', error)}") from error
        finally:
            loader.dispose()
        return tree

    @classmethod
    def from_data(cls, data: Mapping[str, Any], origin: str) -> Self:
        """A tree whose every key has one origin."""
        tree = cls()
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
        ``{use: name}``.
        """
        self._merge_into(self.data, other.data, (), other)

    def _merge_into(self, mine: dict[str, Any], theirs: Mapping[str, Any], key: Key, other: "Tree") -> None:
        for name, given in theirs.items():
            here = (*key, name)
            current, value = mine.get(name), given
            if isinstance(current, dict) and "use" in current and isinstance(value, str):
                value = {"use": value}
            elif isinstance(current, str) and isinstance(value, Mapping):
                current = mine[name] = {"use": current}
            if isinstance(current, dict) and isinstance(value, Mapping) and not _swaps(current, value):
                self._merge_into(current, value, here, other)
                continue
            for stale in [k for k in self.origins if k[: len(here)] == here]:
                del self.origins[stale]
            self.origins[here] = other.origin(here)
            if isinstance(value, Mapping):
                mine[name] = {}
                self._merge_into(mine[name], value, here, other)
            else:
                mine[name] = value

    def set(self, key: Key, value: Any, origin: str) -> None:
        """Set one value, making the mappings on the way."""
        nested: Any = value
        for name in reversed(key):
            nested = {name: nested}
        self.merge(Tree(nested, {(): origin}))


def _swaps(current: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    return "use" in current and "use" in value and current["use"] != value["use"]


def _construct(
    loader: yaml.SafeLoader, node: yaml.MappingNode, name: str, key: Key, origins: dict[Key, str]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        field_name = str(loader.construct_object(key_node, deep=True))
        place = f"{name}:{key_node.start_mark.line + 1}"
        if field_name in result:
            raise TokzooError(f"{place}: '{field_name}' is given twice")
        here = (*key, field_name)
        origins[here] = place
        if isinstance(value_node, yaml.MappingNode):
            result[field_name] = _construct(loader, value_node, name, here, origins)
        else:
            result[field_name] = loader.construct_object(value_node, deep=True)
    return result


def parse_value(text: str, where: str) -> Any:
    """A value as YAML reads it: ``64``, ``1e-4``, ``null``, ``[8, 8]``, ``{use: fsq}``."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise TokzooError(f"{where}: {text!r} is not a YAML value") from error


def parse_override(text: str) -> tuple[Key, Any]:
    """Split ``a.b=value`` into its key and its YAML value.

    Raises:
        TokzooError: no ``=``, or an empty key.
    """
    name, equals, value = text.partition("=")
    key = tuple(part.strip() for part in name.split("."))
    if not equals or not all(key):
        raise TokzooError(f"'{text}': expected key=value, such as quantizer.codes=1024")
    return key, parse_value(value, name)


def apply_overrides(tree: Tree, overrides: Iterable[tuple[Key, Any]], origin: str = COMMAND_LINE) -> None:
    """Set overrides whatever their order on the command line: a swap of a component before what is said of it.

    Raises:
        TokzooError: one key is given twice.
    """
    seen: dict[Key, Any] = {}
    for key, value in overrides:
        if key in seen:
            raise TokzooError(f"{'.'.join(key)}: given twice ({seen[key]!r} and {value!r})")
        seen[key] = value
    # "quantizer" before "quantizer.use" before "quantizer.codes".
    for key in sorted(seen, key=lambda k: (len(k), k[-1] != "use")):
        tree.set(key, seen[key], origin)
