"""A decoder under test: of which latents, of which feature map, and how it is asked."""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from tokzoo.contracts.capabilities import DecodesFeatureMap
from tokzoo.contracts.configs import DecoderConfig
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.interfaces import Decoder
from tokzoo.contracts.outputs import Decoded
from tokzoo.contracts.specs import FEATURE_MAP_DECODING, PREFIX_DECODING, FeatureMapSpec, LatentSpec, Tap
from tokzoo.testing.sharing import encoder_for, shares
from tokzoo.testing.stand_ins import labels_of
from tokzoo.testing.subject import BATCH, Subject
from tokzoo.testing.trial import Trial, images_of, pull

SIDES = (1, 2, 8, 16)
"""Sides of further square grids it may accept."""

MAP_CHANNELS = 1024
"""Feature maps are tried with up to so many channels."""


class DecoderTrial(Trial):
    """A decoder of one latent to the subject's images, read at some taps; of a feature map too, if one is given."""

    def __init__(
        self,
        subject: Subject,
        latent: LatentSpec,
        taps: tuple[Tap, ...] = (),
        feature_map: FeatureMapSpec | None = None,
    ) -> None:
        super().__init__(subject, f"{latent} to {subject.image}")
        self.latent, self.taps, self.feature_map = latent, taps, feature_map

    def build(self) -> Decoder:
        """The decoder; one that shares weights has those of an encoder that it takes."""
        decoder = cast(Decoder, self.subject.build(self.latent, self.subject.image, self.taps))
        if shares(decoder):
            decoder.share(encoder_for(self.subject, self.latent))
        return decoder

    def given(self) -> Tensor:
        """A latent."""
        return torch.randn(BATCH, self.latent.positions, self.latent.channels)

    def target(self, rows: int) -> Tensor:
        """The images a decoder with a loss of its own learns to make."""
        return images_of(self.subject.image)[:rows]

    def decoded(self, module: nn.Module, given: Tensor) -> Decoded:
        """Its whole answer in training."""
        return cast(Decoded, module(given, self.target(len(given))))

    def answers(self, module: nn.Module, given: Tensor) -> dict[str, Tensor]:
        """Images, in eval mode from a seed made of each row."""
        if module.training:
            return {"images": self.decoded(module, given).images}
        return {"images": cast(Decoder, module).decode(given, seeds_of(given))}

    def loss(self, module: nn.Module, given: Tensor) -> Tensor:
        """Its own losses, and a pull at its images and hidden states."""
        out = self.decoded(module, given)
        asked = pull({"images": out.images, **{str(tap): hidden for tap, hidden in out.hidden.items()}})
        if self.feature_map is not None:
            given_map = torch.randn(len(given), self.feature_map.channels, *self.feature_map.size)
            asked = asked + pull({"images": cast(DecodesFeatureMap, module).decode_feature_map(given_map).images})
        if PREFIX_DECODING in config_of(self.subject).provides:
            asked = asked + pull({"images": self.decoded(module, filled(module, given[:, :-1], self.latent)).images})
        return sum((self.subject.config.weight_of(name) * loss for name, loss in out.losses.items()), asked)


def filled(module: nn.Module, prefix: Tensor, latent: LatentSpec) -> Tensor:
    """The first positions of a latent, and what a decoder of ordered tokens has for the others."""
    missing = getattr(module, "missing", None)
    found = tuple(missing.shape) if isinstance(missing, Tensor) else missing
    wanted = (latent.channels,)
    assert found == wanted, f"provides {PREFIX_DECODING!r}, and its missing is {found}, not a vector of {wanted}"
    rest = cast(Tensor, missing).expand(len(prefix), latent.positions - prefix.shape[1], -1)
    return torch.cat([prefix, rest], 1)


def seeds_of(given: Tensor) -> Tensor:
    """A seed int64 for each row, made of the row alone."""
    return labels_of(given, 1 << 30)


def config_of(subject: Subject) -> DecoderConfig:
    """The decoder's config."""
    assert isinstance(subject.config, DecoderConfig)
    return subject.config


def accepted(subject: Subject) -> list[LatentSpec]:
    """The latents it accepts for the subject's image: of the subject's own, and of square grids of several sides."""
    sides = [LatentSpec("grid", (side, side), subject.latents[0].channels) for side in SIDES]
    found = [latent for latent in (*subject.latents, *sides) if _accepts(subject, latent)]
    asked = "; ".join(map(str, (*subject.latents, *sides)))
    assert found, (
        f"accepts refuses every latent it was tried with ({asked}) for a {subject.image}: give a fitting example"
    )
    return found


def _accepts(subject: Subject, latent: LatentSpec) -> bool:
    try:
        config_of(subject).accepts(latent, subject.image)
    except Refusal:
        return False
    return True


def trials(subject: Subject) -> Iterator[DecoderTrial]:
    """One for each layout it accepts."""
    by_layout = {latent.layout: latent for latent in reversed(accepted(subject))}
    for latent in by_layout.values():
        yield DecoderTrial(subject, latent)


def whole_trials(subject: Subject) -> Iterator[DecoderTrial]:
    """The same, with feature maps for those that decode them: some parameters may serve nothing else."""
    able = FEATURE_MAP_DECODING in config_of(subject).provides
    feature_map = feature_map_of(subject) if able else None
    for trial in trials(subject):
        yield DecoderTrial(subject, trial.latent, feature_map=feature_map)


def feature_map_of(subject: Subject) -> FeatureMapSpec:
    """A feature map it accepts: as many channels as a number in its config says, or any up to the limit."""
    config, (height, width) = config_of(subject), subject.image.size
    told = [value for value in config.model_dump().values() if type(value) is int and value > 0]
    sizes = dict.fromkeys((height // k, width // k) for k in range(1, min(height, width) + 1))
    for channels in (*told, *range(1, MAP_CHANNELS + 1)):
        for size in sizes:
            try:
                config.accepts_feature_map(FeatureMapSpec(channels, size), subject.image)
            except Refusal:
                continue
            return FeatureMapSpec(channels, size)
    raise AssertionError(
        f"provides {FEATURE_MAP_DECODING!r}, and accepts_feature_map refuses every map of up to {MAP_CHANNELS} channels"
    )
