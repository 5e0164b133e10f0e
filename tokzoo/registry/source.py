"""Where the code of a component comes from, and its stamp: was this work done by the code that is here now?"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import Distribution, PackageNotFoundError

from tokzoo.registry.stamps import package_stamp

ROOMS = ("assembly", "contracts", "data", "evaluation", "nn", "training")
"""The rooms of tokzoo whose code shapes results."""


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
    return bool(isinstance(about, dict) and about.get("dir_info", {}).get("editable"))


def tokzoo_source() -> Source:
    """Those rooms of tokzoo itself whose code shapes results."""
    modules = [f"tokzoo.{room}" for room in ROOMS]
    try:
        own = Distribution.from_name("tokzoo")
    except PackageNotFoundError:
        return Source("tokzoo", in_development=True, read=lambda: package_stamp(modules))
    return Source("tokzoo", own.version, is_editable(own), lambda: package_stamp(modules))
