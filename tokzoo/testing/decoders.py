"""What every decoder must keep to."""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from tokzoo.contracts.capabilities import DecodesFeatureMap
from tokzoo.contracts.configs import DecoderConfig
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.interfaces import Decoder
from tokzoo.contracts.outputs import Decoded
from tokzoo.contracts.specs import FEATURE_MAP_DECODING, FeatureMapSpec, HiddenSpec, LatentSpec, Tap
from tokzoo.testing.modules import (
    MODULE_CHECKS,
    Trial,
    assert_finite,
    assert_losses,
    assert_same,
    gradients_reach_its_parameters,
    images_of,
    over,
    pull,
)
from tokzoo.testing.stand_ins import labels_of
from tokzoo.testing.subject import BATCH, Subject

SIDES = (1, 2, 8, 16)
"""Sides of further square grids it may accept."""

TAPS = (0, 1, 2, 3, 4)
"""Layers it is asked for; those it does not have it must refuse."""

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
        """The decoder."""
        return cast(Decoder, self.subject.build(self.latent, self.subject.image, self.taps))

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
        return sum((self.subject.config.weight_of(name) * loss for name, loss in out.losses.items()), asked)


def seeds_of(given: Tensor) -> Tensor:
    """A seed int64 for each row, made of the row alone."""
    return labels_of(given, 1 << 30)


def _config(subject: Subject) -> DecoderConfig:
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
        _config(subject).accepts(latent, subject.image)
    except Refusal:
        return False
    return True


def trials(subject: Subject) -> Iterator[DecoderTrial]:
    """One for each layout it accepts."""
    by_layout = {latent.layout: latent for latent in reversed(accepted(subject))}
    for latent in by_layout.values():
        yield DecoderTrial(subject, latent)


def _whole_trials(subject: Subject) -> Iterator[DecoderTrial]:
    """The same, with feature maps for those that decode them: some parameters may serve nothing else."""
    able = FEATURE_MAP_DECODING in _config(subject).provides
    feature_map = _feature_map(subject) if able else None
    for trial in trials(subject):
        yield DecoderTrial(subject, trial.latent, feature_map=feature_map)


def specs_agree_with_shapes(subject: Subject) -> None:
    """Every latent it accepts becomes images of the size asked for, on the meta device and on the CPU."""
    wanted = (BATCH, subject.image.channels, *subject.image.size)
    for device in ("meta", "cpu"):
        for latent in accepted(subject):
            with torch.device(device), torch.no_grad():
                trial = DecoderTrial(subject, latent)
                module, given = trial.build().eval(), trial.given()
                images = {"forward": trial.decoded(module, given).images}
                if device == "cpu":  # where seeds have values
                    images["decode"] = module.decode(given, seeds_of(given))
            for name, found in images.items():
                assert found.shape == wanted, (
                    f"{name} gives {tuple(found.shape)} on {device}, not {wanted} ({trial.what})"
                )


def gradients_reach_the_latent(subject: Subject) -> None:
    """The gradient of the images passes to the latent, and is finite."""
    for trial in trials(subject):
        given = trial.given().requires_grad_()
        images = trial.decoded(trial.ready(), given).images
        assert images.requires_grad, f"the images are detached from the latent ({trial.what})"
        (gradient,) = torch.autograd.grad(pull({"images": images}), given, allow_unused=True)
        assert gradient is not None, f"no gradient reaches the latent ({trial.what})"
        assert_finite({"the gradient of the latent": gradient}, "training")
        assert bool(gradient.any()), f"the gradient of the latent is zero everywhere ({trial.what})"


def losses_are_weighed_scalars(subject: Subject) -> None:
    """Losses of its own are scalars attached to the graph, and the config weighs each."""
    for trial in trials(subject):
        out = trial.decoded(trial.ready(), trial.given().requires_grad_())
        assert_losses(trial.subject.config, out.losses)


def decoding_is_seeded(subject: Subject) -> None:
    """``decode`` draws from the seeds it is given alone: equal seeds make equal images."""
    for trial in trials(subject):
        module, given = trial.trained(), trial.given()
        images = []
        for other in (1, 2):
            torch.manual_seed(other)
            with torch.no_grad():
                images.append(cast(Decoder, module).decode(given, seeds_of(given)))
        assert_same(images[1], images[0], "decode twice with the same seeds")


def taps_serve_what_was_promised(subject: Subject) -> None:
    """Built with taps it serves exactly their hidden states, of the promised shapes; without taps, none."""
    for trial in trials(subject):
        served = {tap: spec for tap in TAPS if (spec := _hidden(trial, tap)) is not None}
        for taps in {(), *((tap,) for tap in served), tuple(served)}:
            tapped = DecoderTrial(subject, trial.latent, taps)
            hidden = tapped.decoded(tapped.ready(), tapped.given()).hidden
            found = {tap: tuple(states.shape) for tap, states in hidden.items()}
            wanted = {tap: (BATCH, served[tap].positions, served[tap].dim) for tap in taps}
            assert found == wanted, f"built with taps {taps} it serves {found}; hidden_spec promised {wanted}"
            detached = [tap for tap, states in hidden.items() if not states.requires_grad]
            assert not detached, f"hidden states at tap {detached[0]} are detached: no gradient comes from them"


def _hidden(trial: DecoderTrial, tap: Tap) -> HiddenSpec | None:
    try:
        return _config(trial.subject).hidden_spec(tap, trial.latent, trial.subject.image)
    except Refusal:
        return None


def feature_maps_are_decoded(subject: Subject) -> None:
    """A decoder that provides ``feature_map_decoding`` makes images of a feature map it accepts, with a gradient."""
    if FEATURE_MAP_DECODING not in _config(subject).provides:
        return
    spec = _feature_map(subject)
    wanted = (BATCH, subject.image.channels, *subject.image.size)
    for trial in trials(subject):
        module = trial.ready()
        able = isinstance(module, DecodesFeatureMap)
        assert able, f"provides {FEATURE_MAP_DECODING!r} and has no method decode_feature_map"
        given = torch.randn(BATCH, spec.channels, *spec.size, requires_grad=True)
        images = cast(DecodesFeatureMap, module).decode_feature_map(given).images
        found = tuple(images.shape)
        assert found == wanted, f"decode_feature_map makes {found} of a {spec}, not {wanted}"
        assert images.requires_grad, "the images of decode_feature_map are detached from the feature map"
        (gradient,) = torch.autograd.grad(pull({"images": images}), given, allow_unused=True)
        assert gradient is not None, "no gradient reaches the feature map"
        assert_finite({"the gradient of the feature map": gradient}, "training")


def _feature_map(subject: Subject) -> FeatureMapSpec:
    """A feature map it accepts: as many channels as a number in its config says, or any up to the limit."""
    config, (height, width) = _config(subject), subject.image.size
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


CHECKS = (
    specs_agree_with_shapes,
    gradients_reach_the_latent,
    losses_are_weighed_scalars,
    decoding_is_seeded,
    taps_serve_what_was_promised,
    feature_maps_are_decoded,
    *over(_whole_trials, gradients_reach_its_parameters),
    *over(trials, *MODULE_CHECKS),
)
