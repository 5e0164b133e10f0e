"""Classes and functions of a script as components: what they are taken for, and what is said where that is unclear."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

import tokzoo
from tokzoo.contracts.errors import TokzooError
from tokzoo.registry.local import add_components, component, local_spec
from tokzoo.registry.local_stamp import local_stamp
from tokzoo.registry.plugins import load_registry


class SquaresConfig(tokzoo.QuantizerConfig):
    side: int = 2

    def code_spec(self, latent):
        return tokzoo.CodeSpec(latent.shape, (self.side**2,))


class Squares(tokzoo.Quantizer):
    """Squares.

    Of a side.
    """

    config: SquaresConfig

    def forward(self, latent):
        return tokzoo.Quantized(latent, None)

    def decode(self, codes):
        return codes


class ByItsArgument(Squares):
    config: Any

    def __init__(self, config: SquaresConfig, latent: tokzoo.LatentSpec):
        super().__init__(config, latent)


class MyL1(tokzoo.ImageTerm):
    def distance(self, images, target):
        return (images - target).abs().mean()


class Still(tokzoo.Regularizer):
    pass


def power(images, target, *, exponent: float = 2.0):
    """A power of the difference.

    More of it.
    """
    return (images - target).abs().pow(exponent).mean()


def mean_code(state, *, scale: float):
    return {"mean": state.quantized.latent.mean() * scale}


def norm(state):
    return state.quantized.latent.norm()


def brightness(images, reconstructions, *, gain: float = 1.0):
    return gain * (reconstructions - images).flatten(1).mean(1)


@pytest.mark.parametrize(
    ("thing", "kind", "name", "summary"),
    [
        (Squares, "quantizer", "squares", "Squares."),
        (ByItsArgument, "quantizer", "by-its-argument", "ByItsArgument"),
        (MyL1, "regularizer", "my-l1", "MyL1"),
        (power, "regularizer", "power", "A power of the difference."),
        (mean_code, "regularizer", "mean-code", "mean_code"),
        (brightness, "metric", "brightness", "brightness"),
    ],
)
def test_what_a_class_or_a_function_is(thing, kind, name, summary):
    spec = local_spec(thing)
    assert (spec.kind, spec.name, spec.summary) == (kind, name, summary)


@pytest.mark.parametrize(
    ("written", "name"), [("VQ", "vq"), ("FSQLevels", "fsq-levels"), ("MyVQ2", "my-vq2"), ("_Draft_One", "draft-one")]
)
def test_a_name_is_in_kebab_case(written, name):
    assert local_spec(type(written, (MyL1,), {})).name == name


def test_a_class_names_its_config():
    assert local_spec(Squares).config is SquaresConfig
    assert local_spec(ByItsArgument).config is SquaresConfig
    assert local_spec(MyL1).config is tokzoo.ImageTermConfig
    assert local_spec(Still).config is tokzoo.RegularizerConfig
    assert local_spec(Squares).target is Squares


def test_a_ready_spec_is_taken_as_it_is():
    spec = tokzoo.ComponentSpec("quantizer", "me/squares", SquaresConfig, Squares, "squares", version=3)
    assert local_spec(spec) is spec


def test_a_name_can_be_given_and_is_not_inherited():
    @component(name="me/one")
    class One(MyL1):
        pass

    class Two(One):
        pass

    assert local_spec(One).name == "me/one"
    assert local_spec(Two).name == "two"


def test_keyword_only_parameters_are_fields():
    config = local_spec(power).config
    assert config().exponent == 2.0
    assert config(exponent=3, weight=0.5, views=("main",)).exponent == 3.0
    for wrong in ({"exponent": "high"}, {"exponents": 1}):
        with pytest.raises(ValueError, match="exponent"):
            config(**wrong)
    with pytest.raises(ValueError, match="scale"):
        local_spec(mean_code).config()


def test_a_function_of_images_and_target_is_an_image_term():
    spec = local_spec(power)
    term = spec.target(spec.config(exponent=1), None)
    images, target = torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 0.5)
    view = tokzoo.View(tokzoo.Decoded(images), target)
    assert term.terms(SimpleNamespace(views={"main": view, "other": view})) == {"": 0.5, "other": 0.5}


def test_a_function_of_the_state_gives_terms():
    state = SimpleNamespace(quantized=tokzoo.Quantized(torch.full((1, 4, 1), 2.0), None))
    named, plain = local_spec(mean_code), local_spec(norm)
    assert named.target(named.config(scale=3.0), None).terms(state) == {"mean": 6.0}
    assert plain.target(plain.config(), None).terms(state) == {"": 4.0}


def test_a_function_of_reconstructions_is_a_metric_of_their_mean():
    spec = local_spec(component(better="lower", unit="1", label="bright", digits=1)(brightness))
    del brightness.__tokzoo_component__
    (info,) = spec.config.reports
    assert info == tokzoo.MetricInfo("reconstruction.brightness", "bright", "1", "lower", digits=1)
    metric = spec.target(spec.config(gain=2.0), None)
    for count, value in ((3, 1.0), (1, 0.0)):
        images = torch.zeros(count, 1, 2, 2)
        metric.update(SimpleNamespace(images=images, reconstructions=images + value))
    assert metric.compute() == {"reconstruction.brightness": 1.5}
    assert spec.config(gain=2.0).protocol()["settings"] == {"gain": 2.0}
    assert local_spec(brightness).config.reports[0].better is None


def test_a_metric_of_another_shape_is_told():
    def total(images, reconstructions):
        return images.sum()

    spec = local_spec(total)
    with pytest.raises(TokzooError, match=r"metric 'total': one value per image, shape \[2\], not shape \[\]"):
        spec.target(spec.config(), None).update(SimpleNamespace(images=torch.zeros(2, 1), reconstructions=None))


class Nothing:
    pass


class Unfinished(tokzoo.Quantizer):
    config: SquaresConfig


class NoDistance(tokzoo.ImageTerm):
    pass


class NoConfig(tokzoo.Quantizer):
    def forward(self, latent): ...
    def decode(self, codes): ...


class OtherConfig(NoConfig):
    config: tokzoo.ImageTermConfig


class TooGeneral(MyL1):
    config: tokzoo.RegularizerConfig


class Dangling(NoConfig):
    config: "NoSuchConfig"  # noqa: F821


def no_type(images, target, *, epsilon=1.0): ...
def taken(images, target, *, weight: float = 1.0): ...
def method_of_config(images, target, *, accepts: float = 1.0): ...
def other_names(x, y): ...
def open_ended(images, target, **settings): ...
def not_json(images, target, *, of: torch.Tensor | None = None): ...
def called(images, target, *, by: type = int): ...
def hidden(images, target, *, _epsilon: float = 1.0): ...
def dangling(images, target, *, epsilon: "Nowhere" = 1.0): ...  # noqa: F821


@pytest.mark.parametrize(
    ("thing", "told"),
    [
        (Nothing, ["class Nothing", "tokzoo.Quantizer", "tokzoo.Metric"]),
        (3, ["components: 3", "not a class, a function or a ComponentSpec"]),
        (MyL1(tokzoo.ImageTermConfig(), None), ["give the class MyL1 itself"]),
        (Unfinished, ["class Unfinished", "does not implement decode, forward"]),
        (NoDistance, ["does not implement distance"]),
        (NoConfig, ["annotation in its body", "config:", "tokzoo.QuantizerConfig"]),
        (OtherConfig, ["its config is ImageTermConfig", "tokzoo.QuantizerConfig"]),
        (TooGeneral, ["tokzoo.ImageTermConfig"]),
        (Dangling, ["class Dangling", "NoSuchConfig"]),
        (no_type, ["give 'epsilon' a type"]),
        (taken, ["every ImageTermConfig has a 'weight' already", "rename"]),
        (method_of_config, ["has a 'accepts' already"]),
        (other_names, ["takes (x, y)", "f(images, target, *, …)"]),
        (open_ended, ["takes (images, target, **settings)"]),
        (not_json, ["cannot be a config"]),
        (called, ["cannot be a config"]),
        (hidden, ["does not begin with '_'", "rename"]),
        (dangling, ["annotation cannot be evaluated", "Nowhere"]),
        (component(better="higher")(lambda images, target: 0), ["better and digits are for metrics"]),
        (lambda images, target: 0, ["a name is lower-case words"]),
        (component(better="higher")(type("Marked", (MyL1,), {})), ["a class has `reports`"]),
        (component(name="My L1")(type("Odd", (MyL1,), {})), ["a name is lower-case words"]),
    ],
)
def test_what_cannot_be_understood_says_how_to_mend_it(thing, told):
    with pytest.raises(TokzooError) as error:
        local_spec(thing)
    for words in told:
        assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_components_are_registered_with_their_source():
    registry = load_registry()
    assert [spec.name for spec in add_components(registry, [Squares, power])] == ["squares", "power"]
    entry = registry.components.get("quantizer", "squares")
    assert entry.plugin == "script"
    assert entry.source.stamp == local_stamp([Squares, SquaresConfig], "x")
    assert registry.plugins[-1].offers == ("quantizer/squares", "regularizer/power")
    assert registry.files == []


def test_a_name_that_is_taken_is_refused():
    vq = tokzoo.ComponentSpec("quantizer", "vq", SquaresConfig, Squares, "squares")
    with pytest.raises(TokzooError, match="quantizer/vq: plugin quantizers has one of this name; rename yours"):
        add_components(load_registry(), [vq])
    with pytest.raises(TokzooError, match="plugin script has one"):
        add_components(load_registry(), [power, power])

    with pytest.raises(TokzooError, match=r"metric 'cost' reports cost\.params already"):
        add_components(load_registry(), [tokzoo.ComponentSpec("metric", "mine", Same, Squares, "same")])


class Same(tokzoo.MetricConfig):
    stage = "efficiency"
    reports = (tokzoo.MetricInfo("cost.params", "params"),)

    def protocol(self):
        return {}
