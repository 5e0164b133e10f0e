"""The components on offer, found by kind and name."""

from collections.abc import Iterator
from dataclasses import dataclass

from tokzoo.contracts.configs import KINDS, ComponentConfig
from tokzoo.contracts.errors import Broken, TokzooError, suggest
from tokzoo.registry.component import ComponentSpec, load_config
from tokzoo.registry.source import UNKNOWN, Source


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered component, the plugin it came from, and where that plugin's code comes from."""

    spec: ComponentSpec
    plugin: str
    source: Source = UNKNOWN

    @property
    def config(self) -> type[ComponentConfig]:
        """Its config model, imported on first use.

        Raises:
            Broken: it cannot be loaded, or is no config of such a component; told as the plugin's mistake.
        """
        try:
            return load_config(self.spec)
        except TokzooError as error:
            raise Broken(f"plugin {self.plugin}: {error}") from error


class Catalogue:
    """Entries by (kind, name)."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}

    def add(self, entry: Entry) -> None:
        """Take in an entry; its name must be free."""
        self._entries[entry.spec.kind, entry.spec.name] = entry

    def get(self, kind: str, name: str) -> Entry:
        """The entry of a component.

        Raises:
            TokzooError: unknown kind or name, with the nearest one.
        """
        if kind not in KINDS:
            raise TokzooError(f"kind '{kind}': unknown; {suggest(kind, KINDS)}")
        entry = self._entries.get((kind, name))
        if entry is None:
            raise TokzooError(f"{kind} '{name}': unknown; {self._hint(kind, name)}")
        return entry

    def of_kind(self, kind: str) -> list[Entry]:
        """Every entry of a kind, by name."""
        return sorted((e for e in self._entries.values() if e.spec.kind == kind), key=lambda e: e.spec.name)

    def sound(self, kind: str) -> tuple[list[Entry], list[str]]:
        """The entries of a kind whose config can be loaded, and what is wrong with the others, a line each."""
        entries, wrong = [], []
        for entry in self.of_kind(kind):
            try:
                _ = entry.config
            except Broken as error:
                wrong.append(str(error))
            else:
                entries.append(entry)
        return entries, wrong

    def __iter__(self) -> Iterator[Entry]:
        return iter(entry for kind in KINDS for entry in self.of_kind(kind))

    def _hint(self, kind: str, name: str) -> str:
        elsewhere = [other for other, known in self._entries if known == name]
        if elsewhere:
            return f"'{name}' is a component of kind {elsewhere[0]}"
        return suggest(name, (entry.spec.name for entry in self.of_kind(kind)))
