"""What goes with what: every encoder × quantizer × decoder × AR model on offer, solved or refused with the reason.

Each component stands there in the small config of its ``example``. A component that fails where it should answer, or
whose example is no config, is told as its own fault and harms no combination it is not part of. No torch here.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import product
from typing import Any, ParamSpec, TypeVar, cast

from tokzoo.contracts.configs import MetricConfig
from tokzoo.contracts.errors import Broken, Refusal, TokzooError, describe, suggest
from tokzoo.contracts.guard import foreign_code
from tokzoo.contracts.specs import ImageSpec, Tokens
from tokzoo.recipes.models import PARTS
from tokzoo.recipes.resolver import example_slot
from tokzoo.recipes.slots import Slot
from tokzoo.recipes.solver import AR_EDGE, Coded, Question, Solver, capabilities, placed
from tokzoo.registry.catalogue import Catalogue, Entry

IMAGE = ImageSpec(3, (32, 32))
CLASSES = 10
"""Where no track says otherwise: images as small as the components' examples."""

COMBINED = (*PARTS, "ar")
"""The kinds a combination has one component of each."""

ASKED = (*PARTS, "regularizer", "ar")
"""The kinds in the order they are asked."""

P = ParamSpec("P")
T = TypeVar("T")
Told = dict[str, dict[str, str | None]]
"""By kind and name: None, or why not."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A combination, and whether it fits.

    Attributes:
        ar: None where there is no AR model to ask: the quantizer makes no codes, or no AR model is registered.
        refusal: the edge and the reason in a line; None: it fits.
        by: the kind of the component that refuses.
    """

    encoder: str
    quantizer: str
    decoder: str
    ar: str | None
    refusal: str | None = None
    by: str | None = None


def compatibility(
    catalogue: Catalogue,
    image: ImageSpec = IMAGE,
    classes: int | None = CLASSES,
    globs: Mapping[str, str | None] | None = None,
) -> list[Fit]:
    """Every combination of registered components; ``globs`` restricts names by kind.

    Raises:
        TokzooError: no component is named as a glob says, with the nearest name.
    """
    found = {kind: _candidates(catalogue, kind, (globs or {}).get(kind)) for kind in COMBINED}
    return list(_Survey(image, classes).combine(found))


def partners(
    catalogue: Catalogue, kind: str, name: str, image: ImageSpec = IMAGE, classes: int | None = CLASSES
) -> Told:
    """What a component can be combined with: by kind and name, None, or a reason why it can in no combination.

    Encoders, quantizers, decoders and AR models are told of each other, a regularizer of the parts of a tokenizer,
    metrics and datasets of each other, a teacher of nothing.

    Raises:
        TokzooError: unknown kind or name, with the nearest one.
    """
    entry = catalogue.get(kind, name)
    if kind in ("metric", "dataset"):
        return _measured(catalogue, entry)
    own = _candidate(entry, catalogue)
    if kind == "regularizer":
        found = {part: _candidates(catalogue, part) for part in PARTS}
        if isinstance(own.slot, _No):
            fault = own.slot.text
            return {part: {candidate.name: fault for candidate in found[part]} for part in PARTS}
        return _told(kind, found, list(_Survey(image, classes, {name: own.slot}).combine({**found, "ar": []})))
    if kind in COMBINED:
        found = {each: [own] if each == kind else _candidates(catalogue, each) for each in COMBINED}
        return _told(kind, found, list(_Survey(image, classes).combine(found)))
    return {}


@dataclass(frozen=True, slots=True)
class _No:
    """A refusal, or a fault, in one line; ``kind`` is of the component it comes from."""

    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A component in its example config, or why there is none."""

    name: str
    slot: Slot | _No


Candidates = Mapping[str, list[_Candidate]]


class _Stop(Exception):
    """Ends a walk through the solver."""

    def __init__(self, why: _No) -> None:
        super().__init__(why.text)
        self.why = why


def _candidates(catalogue: Catalogue, kind: str, glob: str | None = None) -> list[_Candidate]:
    entries = catalogue.of_kind(kind)
    chosen = [entry for entry in entries if glob is None or fnmatchcase(entry.spec.name, glob)]
    if glob is not None and not chosen:
        raise TokzooError(f"{kind} '{glob}': none has such a name; {suggest(glob, (e.spec.name for e in entries))}")
    return [_candidate(entry, catalogue) for entry in chosen]


def _candidate(entry: Entry, catalogue: Catalogue) -> _Candidate:
    kind, name = entry.spec.kind, entry.spec.name
    try:
        return _Candidate(name, example_slot(entry, catalogue))
    except Exception as error:
        return _Candidate(name, _No(f"{kind} '{name}': its example is no config: {describe(error)}", kind))


@dataclass(frozen=True, slots=True)
class _Survey:
    """Puts the solver's questions for every combination, each no more often than its answer can change."""

    image: ImageSpec
    classes: int | None
    regularizers: Mapping[str, Slot] = field(default_factory=dict)

    def combine(self, found: Candidates) -> Iterator[Fit]:
        """Every combination."""
        for encoder, quantizer in product(found["encoder"], found["quantizer"]):
            first = {"encoder": encoder, "quantizer": quantizer}
            coded = _tried(self._code, first)
            # What an AR model says depends on a decoder by nothing but its capabilities.
            learners: dict[frozenset[str], dict[str | None, _No | None]] = {}
            for decoder in found["decoder"]:
                parts = {**first, "decoder": decoder}
                decoded = coded if isinstance(coded, _No) else _tried(self._decode, parts, coded)
                provides = _provides(parts.values())
                if provides not in learners:
                    learners[provides] = self._learners(found["ar"], coded, parts)
                for ar, learned in learners[provides].items():
                    no = decoded or learned
                    why = (no.text, no.kind) if no else ()
                    yield Fit(encoder.name, quantizer.name, decoder.name, ar, *why)

    def _solver(self, parts: Mapping[str, _Candidate]) -> Solver:
        slots = {place: _slot(candidate) for place, candidate in parts.items()}
        return Solver(slots, self.regularizers, self.image, self.classes, _ask)

    def _code(self, parts: Mapping[str, _Candidate]) -> Coded:
        return self._solver(parts).coded()

    def _decode(self, parts: Mapping[str, _Candidate], coded: Coded) -> None:
        self._solver(parts).chain(coded)

    def _learn(self, model: _Candidate, coded: Coded, parts: Mapping[str, _Candidate]) -> None:
        slots = {place: part.slot for place, part in parts.items() if isinstance(part.slot, Slot)}
        tokens = Tokens(coded.codes, coded.quantized, self.classes, _provides(parts.values()))
        Solver(slots, {}, self.image, self.classes, _ask).learned(_slot(model), tokens)

    def _learners(
        self, models: list[_Candidate], coded: Coded | _No, parts: Mapping[str, _Candidate]
    ) -> dict[str | None, _No | None]:
        """What each AR model says to the codes; where there are none, there is nobody to ask."""
        if isinstance(coded, _No):
            return {model.name: None for model in models} or {None: None}
        if coded.codes is None or not models:
            return {None: None}
        return {model.name: _tried(self._learn, model, coded, parts) for model in models}


def _provides(parts: Iterable[_Candidate]) -> frozenset[str]:
    """The capabilities of the parts that could be made."""
    slots = [part.slot for part in parts if isinstance(part.slot, Slot)]
    return frozenset().union(*map(capabilities, slots))


def _tried(walk: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T | _No:
    try:
        return walk(*arguments, **named)
    except _Stop as stop:
        return stop.why


def _slot(candidate: _Candidate) -> Slot:
    if isinstance(candidate.slot, _No):
        raise _Stop(candidate.slot)
    return candidate.slot


def _ask(edge: str, slot: Slot, question: Question) -> Any:
    """The component's answer; whatever it raises instead is told as its own."""
    try:
        with foreign_code():
            return question(slot.config)
    except Refusal as refusal:
        said = str(refusal)
    except Exception as error:
        said = f"raised {describe(error)}"
    raise _Stop(_No(" ".join(placed(edge, slot, said).split()), slot.kind))


def _told(kind: str, found: Candidates, fits: list[Fit]) -> Told:
    """The combinations of one component of a kind, seen from it."""
    told: Told = {}
    for other in found:
        if other == kind:
            continue
        models = [model.name for model in found["ar"]] if "ar" in (kind, other) else []
        pairs = list(_as_learned(fits, models)) if models else fits
        told[other] = {
            candidate.name: _reason(fit for fit in pairs if getattr(fit, other) == candidate.name)
            for candidate in found[other]
        }
    return told


def _as_learned(fits: Iterable[Fit], models: Iterable[str]) -> Iterator[Fit]:
    """The combinations as AR models see them: a tokenizer without codes is nothing to learn from."""
    for fit in fits:
        if fit.ar is None:
            why = f"{AR_EDGE}: quantizer '{fit.quantizer}' makes no codes for an AR model to learn"
            no = {} if fit.refusal else {"refusal": why, "by": "ar"}
            yield from (replace(fit, ar=ar, **no) for ar in models)
        else:
            yield fit


def _reason(fits: Iterable[Fit]) -> str | None:
    """None where any fits; otherwise what stops those that come furthest, the commonest first."""
    counts = [Counter[str]() for _ in ASKED]
    for fit in fits:
        if fit.refusal is None:
            return None
        counts[ASKED.index(fit.by or "")][fit.refusal] += 1
    furthest = next((count for count in reversed(counts) if count), None)
    return furthest.most_common(1)[0][0] if furthest else "something else is missing to make a tokenizer"


def _measured(catalogue: Catalogue, entry: Entry) -> Told:
    """A metric's datasets, or the metrics that mean something on a dataset."""

    def why(metric: Entry, dataset: Entry) -> str | None:
        try:
            known = cast(type[MetricConfig], metric.config).datasets
        except Broken as error:
            return str(error)
        if known is None or dataset.spec.name in known:
            return None
        return f"metric '{metric.spec.name}' means something on {', '.join(sorted(known)) or 'nothing'} only"

    if entry.spec.kind == "metric":
        return {"dataset": {other.spec.name: why(entry, other) for other in catalogue.of_kind("dataset")}}
    return {"metric": {other.spec.name: why(other, entry) for other in catalogue.of_kind("metric")}}
