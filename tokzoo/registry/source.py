"""Where the code of a component comes from, and its stamp: was this work done by the code that is here now?"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import Distribution, distributions

from tokzoo.registry.stamps import package_stamp

ROOMS = ("assembly", "contracts", "data", "evaluation", "nn", "training")
"""The rooms of tokzoo whose code shapes results."""
COMMAND = "tokzoo.cli.main:main"


@dataclass(frozen=True)
class Source:
    """The code of a plugin, or of components that are given to ``tokzoo.run``.

    Attributes:
        distribution: the installed distribution it is part of; "" for a file, a script or a notebook.
        version: of the distribution.
        in_development: whether it may change without another version: an editable install, a file, a script.
        read: makes the stamp.
    """

    distribution: str = ""
    version: str = ""
    in_development: bool = False
    read: Callable[[], str] = field(default=str, repr=False, compare=False)

    @cached_property
    def stamp(self) -> str:
        """The hash of its Python files as they are when it is first asked for; see :mod:`tokzoo.registry.stamps`."""
        return self.read()


UNKNOWN = Source("?")
"""Of what no plugin was asked for."""


def is_editable(distribution: Distribution) -> bool:
    """Whether a distribution was installed by ``pip install -e`` or the like."""
    try:
        about = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        return False
    folder = about.get("dir_info") if isinstance(about, dict) else None
    return bool(isinstance(folder, dict) and folder.get("editable"))


def named_tokzoo() -> tuple[Distribution | None, list[Distribution]]:
    """The installed distribution that tokzoo is, known by its command, and others that are called so."""
    found = list(distributions(name="tokzoo"))
    ours = [each for each in found if any(point.value == COMMAND for point in each.entry_points)]
    return next(iter(ours), None), [each for each in found if each not in ours]


def tokzoo_source() -> Source:
    """Those rooms of tokzoo itself whose code shapes results."""
    modules = [f"tokzoo.{room}" for room in ROOMS]
    own, _ = named_tokzoo()
    if own is None:
        return Source("tokzoo", in_development=True, read=lambda: package_stamp(modules))
    return Source("tokzoo", own.version, is_editable(own), lambda: package_stamp(modules))
