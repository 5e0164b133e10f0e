"""What a plugin registers for a foreign checkpoint format."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tokzoo.contracts.errors import TokzooError
from tokzoo.registry.component import NAME, import_target


@dataclass(frozen=True, slots=True)
class FormatSpec:
    """A family of checkpoints that ``tokzoo import`` reads and ``tokzoo export`` writes.

    Attributes:
        name: of the family, as it is typed on the command line.
        target: ``"module:Class"`` of its :class:`~tokzoo.contracts.formats.CheckpointFormat`.
        summary: one line.
    """

    name: str
    target: str | type
    summary: str

    def load(self) -> Any:
        """An instance of the format.

        Raises:
            TokzooError: the target cannot be imported.
        """
        return import_target(self.target, f"format {self.name}")()


def checked_formats(answer: Any) -> dict[str, FormatSpec]:
    """What the hook ``tokzoo_formats`` returned, by name.

    Raises:
        TokzooError: it is not a list of well-formed specs.
    """
    if answer is None:
        return {}
    if not isinstance(answer, Iterable) or isinstance(answer, str | Mapping):
        raise TokzooError(f"tokzoo_formats returned {answer!r}, not a list of FormatSpec")
    formats: dict[str, FormatSpec] = {}
    for spec in answer:
        if not isinstance(spec, FormatSpec):
            raise TokzooError(f"tokzoo_formats returned {spec!r} among others, not a FormatSpec")
        if not isinstance(spec.name, str) or not NAME.fullmatch(spec.name):
            raise TokzooError(f"format {spec.name!r}: a name is lower-case words and numbers joined by '-'")
        if not isinstance(spec.summary, str):
            raise TokzooError(f"format {spec.name}: summary is {spec.summary!r}, not text")
        if not isinstance(spec.target, type) and str(spec.target).count(":") != 1:
            raise TokzooError(f"format {spec.name}: target {spec.target!r} is not of the form 'module:Class'")
        formats[spec.name] = spec
    return formats
