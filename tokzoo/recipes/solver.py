"""The solver: walks a recipe's configs from image to codes and agrees every shape before any weight exists.

Encoder → quantizer → decoder → regularizers → AR model. Where a component refuses, the error names the failing edge,
the reason, and the registered components that would fit. Nothing is inserted silently.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from tokzoo.contracts.configs import EncoderConfig, QuantizerConfig, RegularizerConfig
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.specs import FEATURE_MAP_DECODING, Chain, CodeSpec, HiddenSpec, ImageSpec, LatentSpec, Tap
from tokzoo.recipes.models import Probe, Recipe, Slot
from tokzoo.recipes.resolve import PARTS
from tokzoo.recipes.resolver import Resolver
from tokzoo.recipes.tree import Tree
from tokzoo.registry.catalogue import Catalogue

Question = Callable[[Any], Any]


class _Solver:
    def __init__(self, recipe: Recipe, image: ImageSpec, classes: int | None, catalogue: Catalogue) -> None:
        self.recipe = recipe
        self.image = image
        self.classes = classes
        self.catalogue = catalogue

    def chain(self) -> Chain:
        recipe, image = self.recipe, self.image
        encoder = cast(EncoderConfig, recipe.encoder.config)

        def latent_for(quantizer: QuantizerConfig) -> LatentSpec:
            return encoder.latent_spec(image, quantizer.wants(encoder.layout))

        wanted = self._ask("encoder → quantizer", recipe.quantizer, lambda c: c.wants(encoder.layout))
        latent = self._ask("image → encoder", recipe.encoder, lambda c: c.latent_spec(image, wanted))
        feature_map = self._ask("image → encoder", recipe.encoder, lambda c: c.feature_map_spec(image))
        # Another quantizer may want other channels, so each is asked about the latent it would be given.
        codes = self._ask("encoder → quantizer", recipe.quantizer, lambda c: c.code_spec(latent_for(c)))
        quantized = self._ask("encoder → quantizer", recipe.quantizer, lambda c: c.hands_on(latent_for(c)))
        self._ask("quantizer → decoder", recipe.decoder, lambda c: c.accepts(quantized, image))
        chain = Chain(image, self.classes, latent, quantized, codes, feature_map, self._taps(quantized))
        self._check_capabilities()
        self._check_feature_map(chain)
        for role, slot in recipe.regularizers.items():
            self._ask(f"tokenizer → regularizers.{role}", slot, lambda c: c.accepts(chain))
        return chain

    def _check_feature_map(self, chain: Chain) -> None:
        """Where a regularizer decodes the feature map directly, the decoder must take it."""
        feature_map = chain.feature_map
        asked = any(FEATURE_MAP_DECODING in slot.config.requires for slot in self.recipe.regularizers.values())
        if not asked or feature_map is None:
            return

        def decodes(decoder: Any) -> None:
            decoder.accepts(chain.quantized, chain.image)
            decoder.accepts_feature_map(feature_map, chain.image)

        self._ask("encoder → decoder", self.recipe.decoder, decodes)

    def _taps(self, latent: LatentSpec) -> dict[Tap, HiddenSpec]:
        hidden: dict[Tap, HiddenSpec] = {}
        for role, slot in self.recipe.regularizers.items():
            for tap in cast(RegularizerConfig, slot.config).taps():

                def serve(decoder: Any, tap: Tap = tap) -> HiddenSpec:
                    decoder.accepts(latent, self.image)
                    return cast(HiddenSpec, decoder.hidden_spec(tap, latent, self.image))

                hidden[tap] = self._ask(f"decoder → regularizers.{role}", self.recipe.decoder, serve)
        return hidden

    def _check_capabilities(self) -> None:
        parts: dict[str, Slot] = {name: getattr(self.recipe, name) for name in PARTS}
        places = {**parts, **{f"regularizers.{role}": slot for role, slot in self.recipe.regularizers.items()}}
        for place, slot in places.items():
            others = {name: part for name, part in parts.items() if part is not slot}
            provided = {capability for part in others.values() for capability in part.config.provides}
            for capability in sorted(slot.config.requires - provided):
                offers = [
                    f"{entry.spec.kind} '{entry.spec.name}'"
                    for entry in self.catalogue
                    if entry.spec.kind in others and capability in entry.spec.config.provides
                ]
                raise Refusal(
                    f"tokenizer → {place}: {slot.kind} '{slot.use}' needs the capability '{capability}', "
                    f"which {', '.join(f'{kind} {part.use!r}' for kind, part in others.items())} do not provide; "
                    f"{'provided by ' + ', '.join(offers) if offers else 'no registered component provides it'}"
                )

    def _ask(self, edge: str, slot: Slot, question: Question) -> Any:
        parts = {name: cast(Slot, getattr(self.recipe, name)) for name in PARTS}
        return _ask(edge, slot, question, self.catalogue, parts)


def _ask(
    edge: str, slot: Slot, question: Question, catalogue: Catalogue, parts: Mapping[str, Slot] | None = None
) -> Any:
    """The component's answer; its refusal with the edge, and with those of its kind that would not refuse.

    Others are asked with their defaults, and where none of them fits, with the sizes of another of ``parts``.
    """
    try:
        return question(slot.config)
    except Refusal as refusal:
        others = [entry.spec.name for entry in catalogue.of_kind(slot.kind) if entry.spec.name != slot.use]
        hint = f"with its defaults, no other {slot.kind} fits (there is {', '.join(others) or 'none'})"
        for place, like in {"": None, slot.kind: slot, **(parts or {})}.items():
            fits = [name for name in others if _fits(slot.kind, name, question, catalogue, like)]
            if fits:
                sizes = f", with the fields of the {place}" if place else ""
                hint = f"would fit instead{sizes}: {', '.join(fits)}"
                break
        raise Refusal(f"{edge}: {slot.kind} '{slot.use}' {refusal}; {hint}") from None


def _fits(kind: str, name: str, question: Question, catalogue: Catalogue, like: Slot | None) -> bool:
    """Whether a component accepts, asked with its defaults or with the fields it shares with another one."""
    known = catalogue.get(kind, name).spec.config.model_fields
    shared = {field: value for field, value in like.dump().items() if field in known} if like else {}
    try:
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
    return _Solver(recipe, image, classes, catalogue).chain()


def check_probe(probe: Probe, codes: CodeSpec, classes: int | None, catalogue: Catalogue) -> None:
    """Raise :class:`Refusal` unless the AR model can learn such codes."""
    try:
        _ask("quantizer → ar", probe.ar, lambda c: c.accepts(codes, classes), catalogue)
    except Refusal as refusal:
        raise Refusal(f"{refusal} (offered: {codes})") from None
