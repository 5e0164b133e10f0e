"""A component under test: found in a catalogue, configured small, and built for the shapes the kit tries it with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tokzoo.assembly.build import build
from tokzoo.contracts.configs import ComponentConfig
from tokzoo.contracts.errors import Broken, Refusal, TokzooError
from tokzoo.contracts.specs import CodeSpec, ImageSpec, LatentSpec
from tokzoo.recipes.resolver import Resolver
from tokzoo.recipes.slots import Slot
from tokzoo.recipes.tree import Tree
from tokzoo.registry.catalogue import Catalogue, Entry

BATCH = 3
"""Images in a batch of the checks."""

CLASSES = 5
"""Classes where labels are used."""

IMAGE = ImageSpec(3, (32, 32))
LATENTS = (LatentSpec("grid", (4, 4), 6), LatentSpec("sequence", (16,), 6))
CODES = CodeSpec((4, 4), (32,))
"""The shapes a component is tried with unless its author says others."""


class CannotBuild(TokzooError):
    """The component refuses to be built here (weights or files are missing): the check was not run."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A component, and the shapes it is tried with.

    Attributes:
        slot: the component in the config under test.
        catalogue: where components it needs beside it are found.
        files: file plugins another process must load to find it.
        image: what an encoder reads, a decoder makes, a teacher or a regularizer sees.
        latents: what a quantizer is given (its channels only where the quantizer wants none), a decoder may accept.
        codes: what an AR model learns.
    """

    slot: Slot
    catalogue: Catalogue
    files: tuple[Path, ...] = ()
    image: ImageSpec = IMAGE
    latents: tuple[LatentSpec, ...] = LATENTS
    codes: CodeSpec = CODES

    @classmethod
    def of(
        cls, entry: Entry, catalogue: Catalogue, fields: Mapping[str, Any] | None = None, **tried_with: Any
    ) -> "Subject":
        """The component as ``fields`` configure it (None: as its ``example`` does).

        Raises:
            TokzooError: these fields are not a config of the component.
        """
        chosen = entry.spec.example if fields is None else fields
        where = f"example of {entry.spec.kind}/{entry.spec.name}" if fields is None else "config"
        tree = Tree.from_data({"slot": {"use": entry.spec.name, **chosen}}, where)
        return cls(Resolver(tree, catalogue).slot(entry.spec.kind, ("slot",)), catalogue, **tried_with)

    @property
    def config(self) -> ComponentConfig:
        """Its config."""
        return self.slot.config

    @property
    def kind(self) -> str:
        """Its kind."""
        return self.slot.kind

    def build(self, *promised: Any) -> Any:
        """An instance for such shapes, initialised from torch's global generator.

        Raises:
            CannotBuild: it says that it cannot be built here.
        """
        try:
            return build(self.slot, *promised)
        except (Broken, Refusal):
            raise
        except TokzooError as error:
            raise CannotBuild(str(error)) from error


def started(start: Callable[[], None]) -> None:
    """Start what was built, if it is not there for its shapes alone.

    Raises:
        CannotBuild: it says that it cannot be started here: its weights are missing.
    """
    if torch.get_default_device().type == "meta":
        return
    try:
        start()
    except (Broken, Refusal):
        raise
    except TokzooError as error:
        raise CannotBuild(str(error)) from error
