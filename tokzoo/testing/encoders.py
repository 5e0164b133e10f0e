"""What every encoder must keep to."""

from typing import cast

import torch
from torch import Tensor, nn

from tokzoo.contracts.configs import EncoderConfig
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.outputs import Encoded
from tokzoo.contracts.specs import FeatureMapSpec, LatentSpec
from tokzoo.testing.modules import MODULE_CHECKS, Trial, gradients_reach_its_parameters, images_of, over
from tokzoo.testing.subject import BATCH, Subject

ASKED = (1, 6)
"""Channels it is asked to project to, as by quantizers with such codes."""


class EncoderTrial(Trial):
    """An encoder of the subject's images, asked for so many channels (None: its own choice)."""

    def __init__(self, subject: Subject, channels: int | None) -> None:
        self.channels = channels
        self.latent = _config(subject).latent_spec(subject.image, channels)
        super().__init__(subject, f"{subject.image} to {self.latent}")

    def build(self) -> nn.Module:
        """The encoder."""
        return cast(nn.Module, self.subject.build(self.subject.image, self.latent))

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


def _trials(subject: Subject) -> list[EncoderTrial]:
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


CHECKS = (
    latent_spec_honours_the_channels_asked_for,
    specs_agree_with_shapes,
    *over(_trials, gradients_reach_its_parameters, *MODULE_CHECKS),
)
