"""The solver: walks a recipe's configs from image to codes and agrees every shape before any weight exists.

Encoder → quantizer → decoder → regularizers → AR model. Where a component refuses, the error names the failing edge,
the reason, and the registered components that would fit. Nothing is inserted silently.
"""

from collections.abc import Callable
from typing import Any, cast

from pydantic import ValidationError

from tokzoo.contracts.configs import (
    ARConfig,
    DecoderConfig,
    EncoderConfig,
    QuantizerConfig,
    RegularizerConfig,
)
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.specs import Chain, CodeSpec, HiddenSpec, ImageSpec, LatentSpec, Tap
from tokzoo.recipes.models import Probe, Recipe, Slot
from tokzoo.registry.catalogue import Catalogue


class _Solver:
    def __init__(self, recipe: Recipe, image: ImageSpec, classes: int | None, catalogue: Catalogue) -> None:
        self.recipe = recipe
        self.image = image
        self.classes = classes
        self.catalogue = catalogue

    def chain(self) -> Chain:
        encoder = cast(EncoderConfig, self.recipe.encoder.config)
        quantizer = cast(QuantizerConfig, self.recipe.quantizer.config)
        decoder = cast(DecoderConfig, self.recipe.decoder.config)
        wanted = quantizer.wants(encoder.layout)
        latent = self._ask("image → encoder", self.recipe.encoder, lambda c: c.latent_spec(self.image, wanted))
        codes = self._ask("encoder → quantizer", self.recipe.quantizer, lambda c: c.code_spec(latent))
        quantized = quantizer.hands_on(latent)
        self._ask("quantizer → decoder", self.recipe.decoder, lambda c: c.accepts(quantized, self.image))
        feature_map = encoder.feature_map_spec(self.image)
        chain = Chain(self.image, self.classes, latent, quantized, codes, feature_map, self._taps(decoder, quantized))
        self._check_capabilities()
        for role, slot in self.recipe.regularizers.items():
            self._ask(f"tokenizer → regularizers.{role}", slot, lambda c: c.accepts(chain))
        return chain

    def _taps(self, decoder: DecoderConfig, latent: LatentSpec) -> dict[Tap, HiddenSpec]:
        hidden: dict[Tap, HiddenSpec] = {}
        for role, slot in self.recipe.regularizers.items():
            for tap in cast(RegularizerConfig, slot.config).taps():
                try:
                    hidden[tap] = decoder.hidden_spec(tap, latent, self.image)
                except Refusal as refusal:
                    edge = f"decoder → regularizers.{role}"
                    raise Refusal(f"{edge}: decoder '{self.recipe.decoder.use}' {refusal}") from None
        return hidden

    def _check_capabilities(self) -> None:
        parts = {name: getattr(self.recipe, name) for name in ("encoder", "quantizer", "decoder")}
        provided = {capability for slot in parts.values() for capability in slot.config.provides}
        for role, slot in self.recipe.regularizers.items():
            for capability in sorted(slot.config.requires - provided):
                offers = [
                    f"{entry.spec.kind} '{entry.spec.name}'"
                    for entry in self.catalogue
                    if entry.spec.kind in parts and capability in entry.spec.config.provides
                ]
                raise Refusal(
                    f"tokenizer → regularizers.{role}: regularizer '{slot.use}' needs the capability '{capability}', "
                    f"which {', '.join(f'{kind} {part.use!r}' for kind, part in parts.items())} do not provide; "
                    f"{'provided by ' + ', '.join(offers) if offers else 'no registered component provides it'}"
                )

    def _ask(self, edge: str, slot: Slot, question: Callable[[Any], Any]) -> Any:
        try:
            return question(slot.config)
        except Refusal as refusal:
            fits = self._fitting(slot, question)
            hint = (
                f"a {slot.kind} that would fit: {', '.join(fits)}" if fits else f"no registered {slot.kind} fits here"
            )
            raise Refusal(f"{edge}: {slot.kind} '{slot.use}' {refusal}; {hint}") from None

    def _fitting(self, slot: Slot, question: Callable[[Any], Any]) -> list[str]:
        """The components of the slot's kind that accept, asked with their defaults."""
        names = []
        for entry in self.catalogue.of_kind(slot.kind):
            if entry.spec.name == slot.use:
                continue
            try:
                question(entry.spec.config())
            except (Refusal, ValidationError):
                continue
            names.append(entry.spec.name)
        return names


def solve(recipe: Recipe, image: ImageSpec, classes: int | None, catalogue: Catalogue) -> Chain:
    """The shapes of a recipe on such images.

    Raises:
        Refusal: two components do not fit, with the failing edge in words and what would fit.
    """
    return _Solver(recipe, image, classes, catalogue).chain()


def check_probe(probe: Probe, codes: CodeSpec, classes: int | None, catalogue: Catalogue) -> None:
    """Raise :class:`Refusal` unless the AR model can learn such codes."""
    config = cast(ARConfig, probe.ar.config)
    try:
        config.accepts(codes, classes)
    except Refusal as refusal:
        raise Refusal(f"quantizer → ar: ar '{probe.ar.use}' {refusal} (offered: {codes})") from None
