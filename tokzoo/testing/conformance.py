"""The conformance kit: which checks hold for which kind, and how they are run.

A check takes a :class:`~tokzoo.testing.subject.Subject` and raises ``AssertionError`` with a sentence for the
component's author. The same checks run as ``tokzoo plugins check`` and as pytest classes of the author's own package::

    class TestLattice(tokzoo.testing.QuantizerConformance):
        component = "me/lattice"
        config = {"levels": 5}
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from tokzoo.contracts.errors import TokzooError, describe
from tokzoo.contracts.specs import CodeSpec, ImageSpec
from tokzoo.registry.catalogue import Catalogue, Entry
from tokzoo.registry.plugins import load_registry
from tokzoo.testing import (
    any_kind,
    ar_models,
    datasets,
    decoders,
    encoders,
    executors,
    metrics,
    quantizers,
    regularizers,
    starting,
    teachers,
)
from tokzoo.testing.subject import CannotBuild, Subject

Check = Callable[[Subject], None]

CHECKS: dict[str, tuple[Check, ...]] = {
    "encoder": encoders.CHECKS,
    "quantizer": quantizers.CHECKS,
    "decoder": decoders.CHECKS,
    "regularizer": regularizers.CHECKS,
    "ar": ar_models.CHECKS,
    "dataset": datasets.CHECKS,
    "teacher": teachers.CHECKS,
    "metric": metrics.CHECKS,
    "executor": executors.CHECKS,
}
"""The checks of each kind, beside those of every kind."""

SEED = 0


def checks_for(kind: str) -> tuple[Check, ...]:
    """The checks a component of this kind must pass."""
    return (*any_kind.CHECKS, *CHECKS[kind], *(starting.CHECKS if kind in starting.TRIALS else ()))


def run_check(check: Check, subject: Subject) -> None:
    """Run a check from a fixed seed, leaving torch's generator as it was.

    Raises:
        AssertionError: the component fails it.
        CannotBuild: the component cannot be built here.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(SEED)
        check(subject)


@dataclass(frozen=True, slots=True)
class Finding:
    """How a component fared in a check.

    Attributes:
        result: ``"not run"`` where it cannot be built here, for want of weights or files.
        message: what is wrong, in one line.
    """

    component: str
    check: str
    result: Literal["passed", "failed", "not run"]
    message: str = ""


def check_component(
    entry: Entry, catalogue: Catalogue, files: Iterable[Path] = (), fields: Mapping[str, Any] | None = None
) -> Iterator[Finding]:
    """Run every check on a component, one finding after the other; ``fields`` None: in its ``example`` config."""
    name = f"{entry.spec.kind}/{entry.spec.name}"
    try:
        subject = Subject.of(entry, catalogue, fields, files=tuple(files))
    except TokzooError as error:
        yield Finding(name, "example_is_a_config", "failed", describe(error))
        return
    missing = ""
    for check in checks_for(entry.spec.kind):
        title = check.__name__
        # What cannot be built once is not tried again: looking for weights on a network takes its time.
        if missing:
            yield Finding(name, title, "not run", missing)
            continue
        try:
            run_check(check, subject)
        except CannotBuild as error:
            missing = describe(error)
            yield Finding(name, title, "not run", missing)
        except AssertionError as error:
            yield Finding(name, title, "failed", " ".join(str(error).split()) or "failed")
        # Whatever a component raises is a finding about it.
        except Exception as error:
            yield Finding(name, title, "failed", f"raised {describe(error)}")
        else:
            yield Finding(name, title, "passed")


class Conformance:
    """Base of the pytest classes: a subclass of one of them, named ``Test…``, runs every check of its kind.

    Attributes:
        component: the registered name.
        config: its fields; None: those of its ``example``.
        plugin: a plugin file to load beside the installed ones.
        image: what an encoder reads, a decoder makes, a teacher or a regularizer sees; None: 3×32×32.
        codes: what an AR model learns; None: a 4×4 grid of 32 codes.
    """

    kind: ClassVar[str]
    component: ClassVar[str]
    config: Mapping[str, Any] | None = None
    plugin: ClassVar[Path | str | None] = None
    image: ClassVar[ImageSpec | None] = None
    codes: ClassVar[CodeSpec | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kind" in vars(cls):
            for check in checks_for(cls.kind):
                setattr(cls, f"test_{check.__name__}", _as_test(check))

    def subject(self) -> Subject:
        """The component under test."""
        files = () if self.plugin is None else (Path(self.plugin).resolve(),)
        registry = load_registry(files)
        entry = registry.components.get(self.kind, self.component)
        given = {"image": self.image, "codes": self.codes}
        tried_with = {name: value for name, value in given.items() if value is not None}
        return Subject.of(entry, registry.components, self.config, files=files, **tried_with)


def _as_test(check: Check) -> Callable[[Conformance], None]:
    def test(self: Conformance) -> None:
        run_check(check, self.subject())

    test.__doc__ = check.__doc__
    return test


class EncoderConformance(Conformance):
    """What every encoder keeps to."""

    kind = "encoder"


class QuantizerConformance(Conformance):
    """What every quantizer keeps to."""

    kind = "quantizer"


class DecoderConformance(Conformance):
    """What every decoder keeps to."""

    kind = "decoder"


class RegularizerConformance(Conformance):
    """What every regularizer keeps to."""

    kind = "regularizer"


class ARConformance(Conformance):
    """What every AR model keeps to."""

    kind = "ar"


class DatasetConformance(Conformance):
    """What every dataset keeps to."""

    kind = "dataset"


class TeacherConformance(Conformance):
    """What every teacher keeps to."""

    kind = "teacher"


class MetricConformance(Conformance):
    """What every metric keeps to."""

    kind = "metric"


class ExecutorConformance(Conformance):
    """What every executor keeps to."""

    kind = "executor"
