"""The solver: walks a recipe's configs from image to codes and agrees every shape before any weight exists.

Encoder → quantizer → decoder → regularizers → AR model. Where a component refuses, the error names the failing edge,
the reason, and the registered components that would fit. Nothing is inserted silently.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast, get_args

from tokzoo.contracts.configs import EncoderConfig, QuantizerConfig
from tokzoo.contracts.errors import Broken, Refusal, TokzooError, describe
from tokzoo.contracts.guard import foreign_code
from tokzoo.contracts.specs import (
    CODE_DECODING,
    FEATURE_MAP_DECODING,
    Chain,
    CodeSpec,
    FeatureMapSpec,
    HiddenSpec,
    ImageSpec,
    LatentSpec,
    Tap,
    Tokens,
)
from tokzoo.recipes.models import PARTS, Recipe
from tokzoo.recipes.resolver import Resolver, example_slot
from tokzoo.recipes.slots import Slot
from tokzoo.recipes.tree import Tree
from tokzoo.registry.catalogue import Catalogue, Entry

A = TypeVar("A")
Question = Callable[[Any], Any]
Ask = Callable[[str, Slot, Question], Any]
"""Puts a question to a component's config, and tells what it refuses together with the edge."""

AR_EDGE = "quantizer → ar"


@dataclass(frozen=True, slots=True)
class Coded:
    """The first half of a chain: what encoder and quantizer agree on, whatever decodes it."""

    latent: LatentSpec
    feature_map: FeatureMapSpec | None
    codes: CodeSpec | None
    quantized: LatentSpec


@dataclass(frozen=True, slots=True)
class Solver:
    """The walk through one tokenizer, in two steps.

    Attributes:
        parts: the encoder and the quantizer, and for :meth:`chain` the decoder.
        regularizers: by role.
    """

    parts: Mapping[str, Slot]
    regularizers: Mapping[str, Slot]
    image: ImageSpec
    classes: int | None
    ask: Ask

    def coded(self) -> Coded:
        """What encoder and quantizer agree on."""
        image, encoder = self.image, cast(EncoderConfig, self.parts["encoder"].config)

        def latent_for(quantizer: QuantizerConfig) -> LatentSpec:
            return encoder.latent_spec(image, quantizer.wants(encoder.layout))

        encodes = partial(self.ask, "image → encoder", self.parts["encoder"])
        quantizes = partial(self.ask, "encoder → quantizer", self.parts["quantizer"])
        wanted = quantizes(lambda c: c.wants(encoder.layout))
        latent = encodes(lambda c: _promised(c.latent_spec(image, wanted), LatentSpec, "latent_spec"))
        feature_map = encodes(lambda c: _promised(c.feature_map_spec(image), FeatureMapSpec | None, "feature_map_spec"))
        # Another quantizer may want other channels, so each is asked about the latent it would be given.
        codes = quantizes(lambda c: _promised(c.code_spec(latent_for(c)), CodeSpec | None, "code_spec"))
        quantized = quantizes(lambda c: _promised(c.hands_on(latent_for(c)), LatentSpec, "hands_on"))
        return Coded(latent, feature_map, codes, quantized)

    def chain(self, coded: Coded) -> Chain:
        """The whole chain, once the decoder and the regularizers agree to it."""
        image, quantized = self.image, coded.quantized
        self.ask("quantizer → decoder", self.parts["decoder"], lambda c: c.accepts(quantized, image))

        def of_decoder(decoder: Any, tap: Tap) -> Any:
            decoder.accepts(quantized, image)
            return decoder.hidden_spec(tap, quantized, image)

        chain = Chain(
            image,
            self.classes,
            coded.latent,
            quantized,
            coded.codes,
            coded.feature_map,
            hidden=self._taps("decoder", lambda c: c.taps(), of_decoder),
            encoder_hidden=self._taps("encoder", lambda c: c.encoder_taps(), lambda c, tap: c.hidden_spec(tap, image)),
            provides=self.provides,
        )
        self._check_capabilities()
        self._check_feature_map(chain)
        for role, slot in self.regularizers.items():
            self.ask(f"tokenizer → regularizers.{role}", slot, lambda c: c.accepts(chain))
        return chain

    def _check_feature_map(self, chain: Chain) -> None:
        """Where a regularizer decodes the feature map directly, the decoder must take it."""
        feature_map = chain.feature_map
        asked = any(FEATURE_MAP_DECODING in slot.config.requires for slot in self.regularizers.values())
        if not asked or feature_map is None:
            return

        def decodes(decoder: Any) -> None:
            decoder.accepts(chain.quantized, chain.image)
            decoder.accepts_feature_map(feature_map, chain.image)

        self.ask("encoder → decoder", self.parts["decoder"], decodes)

    def _taps(self, part: str, wanted: Question, answer: Callable[[Any, Tap], Any]) -> dict[Tap, HiddenSpec]:
        """The hidden streams of a part that regularizers want, as it answers for them."""
        hidden: dict[Tap, HiddenSpec] = {}
        for role, slot in self.regularizers.items():
            for tap in self.ask(f"tokenizer → regularizers.{role}", slot, wanted):

                def serve(config: Any, tap: Tap = tap) -> Any:
                    return _promised(answer(config, tap), HiddenSpec, "hidden_spec")

                hidden[tap] = self.ask(f"{part} → regularizers.{role}", self.parts[part], serve)
        return hidden

    @property
    def provides(self) -> frozenset[str]:
        """The capabilities of the parts."""
        return frozenset().union(*map(capabilities, self.parts.values()))

    def learned(self, ar: Slot, tokens: Tokens) -> None:
        """Find in the tokenizer what an AR model requires, and have it agree to the tokens."""
        # First, as for regularizers: what provides a capability is more help than that the codes are other ones.
        self.ask(AR_EDGE, ar, partial(_check_provided, others=list(self.parts.values())))
        self.ask(AR_EDGE, ar, lambda c: c.accepts(tokens))

    def _check_capabilities(self) -> None:
        places = {**self.parts, **{f"regularizers.{role}": slot for role, slot in self.regularizers.items()}}
        for place, slot in places.items():
            others = [part for part in self.parts.values() if part is not slot]
            self.ask(f"tokenizer → {place}", slot, partial(_check_provided, others=others))


class _Lack(Refusal):
    """A component needs what no other part of the tokenizer provides."""

    def __init__(self, capability: str, others: Sequence[Slot]) -> None:
        kind, _, name = capability.partition(".")
        asked = [part for part in others if part.kind == kind and name] or others
        names, verb = ", ".join(f"{part.kind} {part.use!r}" for part in asked), "do" if asked[1:] else "does"
        super().__init__(f"needs the capability '{capability}', which {names} {verb} not provide")
        self.capability = capability
        self.kinds = {part.kind for part in asked}


def _check_provided(config: Any, others: Sequence[Slot]) -> None:
    provided = {name for part in others for name in _provided(part)}
    for capability in sorted(config.requires - provided):
        raise _Lack(capability, others)


def _provided(part: Slot) -> set[str]:
    """The capabilities of a part, as such and as those of its kind."""
    return {name for each in capabilities(part) for name in (each, f"{part.kind}.{each}")}


def capabilities(part: Slot) -> frozenset[str]:
    """What a part provides, and what all of its kind do."""
    provides: frozenset[str] = part.config.provides
    return provides | {CODE_DECODING} if part.kind == "quantizer" else provides


def _promised(answer: A, kind: Any, method: str) -> A:
    """The answer, if it is of the kind that the method promises: what is wrong is told of whoever answers."""
    if not isinstance(answer, kind):
        raise TypeError(
            f"{method} returned {answer!r}, not {' or '.join(each.__name__ for each in get_args(kind) or (kind,))}"
        )
    return answer


def placed(edge: str, slot: Slot, said: object) -> str:
    """What a component says, with who says it and where."""
    return f"{edge}: {slot.kind} '{slot.use}' {said}"


def ask_with_hints(
    edge: str, slot: Slot, question: Question, catalogue: Catalogue, parts: Mapping[str, Slot] | None = None
) -> Any:
    """The component's answer; its refusal with the edge, and with those that would not refuse."""
    try:
        with foreign_code():
            return question(slot.config)
    except _Lack as lack:
        offers = [
            f"{entry.spec.kind} '{entry.spec.name}'"
            for entry in catalogue
            if entry.spec.kind in lack.kinds and _provides(entry, lack.capability, catalogue)
        ]
        hint = f"provided by {', '.join(offers)}" if offers else "no registered component provides it"
        said = f"{lack}; {hint}"
    except Refusal as refusal:
        said = f"{refusal}; {_instead(slot, question, catalogue, parts or {})}{_field(edge, slot)}"
    except TokzooError:
        raise
    # Whatever its code raises when asked about shapes is the component's mistake, and told as such.
    except Exception as error:
        said = f"(plugin {slot.entry.plugin}) raised {describe(error)}"
        raise Broken(placed(edge, slot, said)) from error
    raise Refusal(placed(edge, slot, said))


def _provides(entry: Entry, capability: str, catalogue: Catalogue) -> bool:
    """Whether a component provides a capability, in the config of its example."""
    try:
        with foreign_code():
            return capability in _provided(example_slot(entry, catalogue))
    # One that cannot answer is no help; what is lacking is what matters.
    except Exception:
        return False


def _instead(slot: Slot, question: Question, catalogue: Catalogue, parts: Mapping[str, Slot]) -> str:
    """The components of the slot's kind that would not refuse.

    They are asked with their defaults, and where none of them fits, with the sizes of another of ``parts``.
    """
    others = [entry.spec.name for entry in catalogue.of_kind(slot.kind) if entry.spec.name != slot.use]
    for place, like in {"": None, slot.kind: slot, **parts}.items():
        fits = [name for name in others if _fits(slot.kind, name, question, catalogue, like)]
        if fits:
            sizes = f", with the fields of the {place}" if place else ""
            return f"would fit instead{sizes}: {', '.join(fits)}"
    return f"with its defaults, no other {slot.kind} fits (there is {', '.join(others) or 'none'})"


def _field(edge: str, slot: Slot) -> str:
    """What to set where a regularizer refuses: nothing of a tokenizer needs it, so that it can be dropped too."""
    role = edge.rpartition("→ ")[2]
    return f" (set {role}.use, or drop it with {role}=null)" if slot.kind == "regularizer" else ""


def _fits(kind: str, name: str, question: Question, catalogue: Catalogue, like: Slot | None) -> bool:
    """Whether a component accepts, asked with its defaults or with the fields it shares with another one."""
    try:
        known = catalogue.get(kind, name).config.model_fields
        shared = {field: value for field, value in like.dump().items() if field in known} if like else {}
        with foreign_code():
            question(Resolver(Tree({kind: {**shared, "use": name}}), catalogue).slot(kind, (kind,)).config)
    # One that needs more than its defaults, or fails at the question, is no help; the refusal is what matters.
    except Exception:
        return False
    return True


def solve(recipe: Recipe, image: ImageSpec, classes: int | None, catalogue: Catalogue) -> Chain:
    """The shapes of a recipe on such images.

    Raises:
        Refusal: two components do not fit, with the failing edge in words and what would fit.
    """
    parts: dict[str, Slot] = {name: getattr(recipe, name) for name in PARTS}
    ask = partial(ask_with_hints, catalogue=catalogue, parts=parts)
    solver = Solver(parts, recipe.regularizers, image, classes, ask)
    return solver.chain(solver.coded())


def check_ar(ar: Slot, recipe: Recipe, chain: Chain, catalogue: Catalogue) -> None:
    """Raise :class:`Refusal` unless the AR model can learn what such a tokenizer makes."""
    parts: dict[str, Slot] = {name: getattr(recipe, name) for name in PARTS}
    ask = partial(ask_with_hints, catalogue=catalogue)
    try:
        Solver(parts, {}, chain.image, chain.classes, ask).learned(ar, chain.tokens)
    except Refusal as refusal:
        raise Refusal(f"{refusal} (offered: {chain.codes})") from None
