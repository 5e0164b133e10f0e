"""What every encoder must keep to."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from tokzoo.contracts.configs import EncoderConfig
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.outputs import Encoded
from tokzoo.contracts.specs import LAST_LAYER, FeatureMapSpec, LatentSpec, Tap
from tokzoo.testing.hidden import assert_last_layer, assert_taps_are_served
from tokzoo.testing.modules import MODULE_CHECKS, gradients_reach_its_parameters, over
from tokzoo.testing.subject import BATCH, Subject
from tokzoo.testing.trial import Trial, images_of

ASKED = (1, 6)
"""Channels it is asked to project to, as by quantizers with such codes."""


class EncoderTrial(Trial):
    """An encoder of the subject's images, asked for so many channels (None: its own choice)."""

    def __init__(self, subject: Subject, channels: int | None, taps: tuple[Tap, ...] = ()) -> None:
        self.channels, self.taps = channels, taps
        self.latent = _config(subject).latent_spec(subject.image, channels)
        super().__init__(subject, f"{subject.image} to {self.latent}")

    def build(self) -> nn.Module:
        """The encoder."""
        return cast(nn.Module, self.subject.build(self.subject.image, self.latent, self.taps))

    def given(self) -> Tensor:
        """Images."""
        return images_of(self.subject.image)

    def answers(self, module: nn.Module, given: Tensor) -> dict[str, Tensor]:
        """Latent and feature map."""
        out: Encoded = module(given)
        return {"latent": out.latent} | ({} if out.feature_map is None else {"feature map": out.feature_map})


def _config(subject: Subject) -> EncoderConfig:
    assert isinstance(subject.config, EncoderConfig)
    return subject.config


def trials(subject: Subject) -> list[EncoderTrial]:
    """One of those a quantizer may ask for, if it can be asked."""
    return _every_trial(subject)[-1:]


def _every_trial(subject: Subject) -> list[EncoderTrial]:
    found = [EncoderTrial(subject, None)]
    for channels in ASKED:
        try:
            found.append(EncoderTrial(subject, channels))
        except Refusal:
            continue
    return found


def latent_spec_honours_the_channels_asked_for(subject: Subject) -> None:
    """The config promises the layout it declares, and as many channels as it is asked for."""
    layout = _config(subject).layout
    for trial in _every_trial(subject):
        spec, asked = trial.latent, trial.channels
        assert spec.layout == layout, f"layout is {layout!r} and latent_spec says {spec.layout!r}"
        axes = {"grid": 2, "sequence": 1}[spec.layout]
        assert len(spec.shape) == axes, f"a {spec.layout} has {axes} axes, not the shape {spec.shape}"
        right = asked is None or spec.channels == asked
        assert right, f"latent_spec was asked for {asked} channels and promises {spec.channels}"


def specs_agree_with_shapes(subject: Subject) -> None:
    """Latent and feature map have the shapes the config promises, on the meta device and on the CPU."""
    promised = _config(subject).feature_map_spec(subject.image)
    for device in ("meta", "cpu"):
        for trial in _every_trial(subject):
            with torch.device(device), torch.no_grad():
                out: Encoded = trial.build().eval()(trial.given())
            _check_shapes(out, trial.latent, promised, device)


def _check_shapes(out: Encoded, latent: LatentSpec, feature_map: FeatureMapSpec | None, device: str) -> None:
    found, wanted = tuple(out.latent.shape), (BATCH, latent.positions, latent.channels)
    assert found == wanted, f"the latent is {found} on {device}; latent_spec promised {wanted}"
    found_map = None if out.feature_map is None else tuple(out.feature_map.shape)
    wanted_map = None if feature_map is None else (BATCH, feature_map.channels, *feature_map.size)
    assert found_map == wanted_map, (
        f"the feature map is {found_map} on {device}; feature_map_spec promised {wanted_map}"
    )


def taps_serve_what_was_promised(subject: Subject) -> None:
    """Built with taps it serves exactly their hidden states, of the promised shapes; without taps, none."""

    def serve(taps: tuple[Tap, ...]) -> Mapping[Tap, Tensor]:
        trial = EncoderTrial(subject, None, taps)
        out: Encoded = trial.ready()(trial.given())
        return out.hidden

    assert_taps_are_served(lambda tap: _config(subject).hidden_spec(tap, subject.image), serve)


def last_layer_is_its_own(subject: Subject) -> None:
    """One that provides ``last_layer`` names a parameter of its own that the gradient of the latent reaches."""
    if LAST_LAYER not in _config(subject).provides:
        return
    for trial in trials(subject):
        module = trial.ready()
        assert_last_layer(module, module(trial.given()).latent)


CHECKS = (
    latent_spec_honours_the_channels_asked_for,
    specs_agree_with_shapes,
    taps_serve_what_was_promised,
    last_layer_is_its_own,
    *over(trials, gradients_reach_its_parameters, *MODULE_CHECKS),
)
