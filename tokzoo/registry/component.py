"""What a plugin registers for one component, and how its class is reached."""

import importlib
from dataclasses import dataclass
from typing import Any

from tokzoo.contracts.configs import KINDS, ComponentConfig
from tokzoo.contracts.errors import TokzooError, suggest


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """A component as it is registered. Making one imports no torch.

    Attributes:
        kind: encoder, quantizer, decoder, regularizer, ar, dataset, teacher or metric.
        name: lower-case words joined by ``-``; ``org/name`` for third parties.
        config: its pydantic config model, a subclass of the kind's base in ``tokzoo.contracts.configs``.
        target: ``"module:Class"``, imported only when the component is built; a file plugin may give the class itself.
        version: raise it when results change: cached stages of other versions are not reused.
        paper: where it was introduced (arXiv id and section).
        code_license, weights_license: SPDX ids.
        status: "stable" or "experimental".
        extras: the optional dependencies of the plugin it needs.
    """

    kind: str
    name: str
    config: type[ComponentConfig]
    target: str | type
    summary: str
    version: int = 1
    paper: str = ""
    code_license: str = "MIT"
    weights_license: str = ""
    status: str = "stable"
    extras: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise :class:`TokzooError` where the registration itself is wrong."""
        where = f"component {self.kind}/{self.name}"
        if self.kind not in KINDS:
            raise TokzooError(f"{where}: unknown kind; {suggest(self.kind, KINDS)}")
        base = KINDS[self.kind]
        if not (isinstance(self.config, type) and issubclass(self.config, base)):
            raise TokzooError(f"{where}: config must be a subclass of {base.__name__}, not {self.config!r}")
        if isinstance(self.target, str) and self.target.count(":") != 1:
            raise TokzooError(f"{where}: target {self.target!r} is not of the form 'module:Class'")
        if not self.summary:
            raise TokzooError(f"{where}: a one-line summary is missing")


def load_target(spec: ComponentSpec) -> Any:
    """Import and return the component's class.

    Raises:
        TokzooError: the target cannot be imported or has no such name.
    """
    if not isinstance(spec.target, str):
        return spec.target
    module, _, name = spec.target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise TokzooError(f"component {spec.kind}/{spec.name}: cannot load {spec.target}: {error}") from error
