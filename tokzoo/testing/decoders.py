"""What every decoder must keep to."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from tokzoo.contracts.capabilities import DecodesFeatureMap
from tokzoo.contracts.configs import Config
from tokzoo.contracts.interfaces import Decoder
from tokzoo.contracts.specs import FEATURE_MAP_DECODING, LAST_LAYER, PREFIX_DECODING, HiddenSpec, Tap
from tokzoo.testing.asserting import (
    CLOSE,
    assert_all_same,
    assert_finite,
    assert_losses,
    assert_rows_are_their_own,
    assert_same,
)
from tokzoo.testing.decoder_trials import (
    DecoderTrial,
    accepted,
    config_of,
    feature_map_of,
    filled,
    seeds_of,
    trials,
    whole_trials,
)
from tokzoo.testing.hidden import assert_last_layer, assert_taps_are_served
from tokzoo.testing.modules import MODULE_CHECKS, gradients_reach_its_parameters, over
from tokzoo.testing.sharing import encoder_for, shares
from tokzoo.testing.subject import BATCH, Subject
from tokzoo.testing.trial import pull, state_of


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


def images_are_their_own(subject: Subject) -> None:
    """Image i that ``decode`` makes depends on ``latent[i]`` and ``seeds[i]`` alone: not on the batch, nor chance."""
    for trial in trials(subject):
        module, given = cast(Decoder, trial.trained()), trial.given()
        seeds = 2**40 - 7919 * torch.arange(BATCH)

        @torch.no_grad()
        def decode(rows: Tensor, module: Decoder = module, given: Tensor = given, seeds: Tensor = seeds) -> Tensor:
            return module.decode(given[rows], seeds[rows])

        assert_rows_are_their_own(decode, BATCH, "images", "decoded", CLOSE)


def sampler_has_defaults(subject: Subject) -> None:
    """The config's ``sampler`` can be had without fields, and ``decode`` without a sampler does as with that one."""
    model = config_of(subject).sampler
    assert isinstance(model, type) and issubclass(model, Config), f"sampler is {model!r}, not a class of configs"  # noqa: PT018
    try:
        defaults = model()
    except ValueError as error:
        raise AssertionError(f"sampler {model.__name__} has a field without a default: {error}") from error
    for trial in trials(subject):
        module, given = cast(Decoder, trial.trained()), trial.given()
        with torch.no_grad():
            plain, told = module.decode(given, seeds_of(given)), module.decode(given, seeds_of(given), defaults)
        assert_same(told, plain, "decoded with the sampler's defaults, and without a sampler")


def prefixes_are_decoded(subject: Subject) -> None:
    """One that provides ``prefix_decoding`` makes the images of any number of a latent's first positions.

    They are those of the whole latent, ``missing`` in place of the rest.
    """
    if PREFIX_DECODING not in config_of(subject).provides:
        return
    wanted = (BATCH, subject.image.channels, *subject.image.size)
    for trial in trials(subject):
        module, given = cast(Decoder, trial.trained()), trial.given()
        for count in range(1, trial.latent.positions + 1):
            with torch.no_grad():
                images = module.decode(given[:, :count], seeds_of(given))
                whole = module.decode(filled(module, given[:, :count], trial.latent), seeds_of(given))
            found = tuple(images.shape)
            assert found == wanted, f"decode makes {found} of the first {count} positions, not {wanted}"
            what = f"decode of the first {count} positions"
            assert_finite({"the images": images}, what)
            assert_same(images, whole, f"{what}, and of missing in place of the others", CLOSE)


def taps_serve_what_was_promised(subject: Subject) -> None:
    """Built with taps it serves exactly their hidden states, of the promised shapes; without taps, none."""
    for trial in trials(subject):

        def promised(tap: Tap, trial: DecoderTrial = trial) -> HiddenSpec:
            return config_of(subject).hidden_spec(tap, trial.latent, subject.image)

        def serve(taps: tuple[Tap, ...], trial: DecoderTrial = trial) -> Mapping[Tap, Tensor]:
            tapped = DecoderTrial(subject, trial.latent, taps)
            return tapped.decoded(tapped.ready(), tapped.given()).hidden

        assert_taps_are_served(promised, serve)


def last_layer_is_its_own(subject: Subject) -> None:
    """One that provides ``last_layer`` names a parameter of its own that the gradient of the images reaches."""
    if LAST_LAYER not in config_of(subject).provides:
        return
    for trial in trials(subject):
        module = trial.ready()
        assert_last_layer(module, trial.decoded(module, trial.given()).images)


def sharing_leaves_the_encoder(subject: Subject) -> None:
    """``share`` leaves the encoder as it was, and gradients of the images reach the weights they share."""
    for trial in trials(subject):
        decoder = cast(Decoder, subject.build(trial.latent, subject.image, ()))
        if not shares(decoder):
            return
        encoder = encoder_for(subject, trial.latent)
        before, names = state_of(encoder), {id(p): name for name, p in encoder.named_parameters()}
        decoder.share(encoder)
        assert_all_same(state_of(encoder), before, "share changes the encoder")
        replaced = [name for name, p in encoder.named_parameters() if names.get(id(p)) != name]
        assert not replaced, f"share replaces {replaced[0]} of the encoder, of which others know: take it as it is"
        shared = [p for p in decoder.parameters() if id(p) in names]
        assert shared, "after share, none of the encoder's parameters is one of its own"
        gradients = torch.autograd.grad(trial.loss(decoder.train(), trial.given()), shared, allow_unused=True)
        missed = [names[id(p)] for p, gradient in zip(shared, gradients, strict=True) if gradient is None]
        assert not missed, f"no gradient of the images reaches {missed[0]}, which it shares with the encoder"


def feature_maps_are_decoded(subject: Subject) -> None:
    """A decoder that provides ``feature_map_decoding`` makes images of a feature map it accepts, with a gradient."""
    if FEATURE_MAP_DECODING not in config_of(subject).provides:
        return
    spec = feature_map_of(subject)
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


CHECKS = (
    specs_agree_with_shapes,
    gradients_reach_the_latent,
    losses_are_weighed_scalars,
    images_are_their_own,
    sampler_has_defaults,
    prefixes_are_decoded,
    taps_serve_what_was_promised,
    last_layer_is_its_own,
    sharing_leaves_the_encoder,
    feature_maps_are_decoded,
    *over(whole_trials, gradients_reach_its_parameters),
    *over(trials, *MODULE_CHECKS),
)
