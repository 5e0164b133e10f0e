import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

import tokzoo
from tokzoo.contracts.errors import TokzooError
from tokzoo.registry.catalogue import Entry
from tokzoo.registry.component import check_answers, load_config, load_target


class Squares(tokzoo.QuantizerConfig):
    def code_spec(self, latent):
        return tokzoo.CodeSpec(latent.shape, (4,))


class Unfinished(tokzoo.QuantizerConfig):
    pass


class NoLayout(tokzoo.EncoderConfig):
    def latent_spec(self, image, channels):
        return tokzoo.LatentSpec("grid", (1, 1), 1)


class NoSampler(tokzoo.ARConfig):
    def accepts(self, tokens):
        pass


class Named(Squares):
    use: str = "x"


class Fine(NoLayout):
    layout: ClassVar = "grid"


class Needy(Squares):
    requires: ClassVar = "assignment"


class Row(NoLayout):
    layout: ClassVar = "row"


class Sampled(NoSampler):
    sampler: ClassVar = 3


class Residual(Squares):
    inner: Any = frozenset({"assignment"})

    @property
    def provides(self):
        return self.inner


class Weighty(tokzoo.ARConfig):
    sampler: ClassVar = tokzoo.NoSampler
    weights: int = 1

    def accepts(self, tokens):
        pass


class Placed(Squares):
    @property
    def places(self):
        return frozenset({"root"})


class Revealing(Squares):
    weights: Path | None = None


class Inside(tokzoo.Config):
    folders: dict[str, tuple[Path, ...]] | None = None


class DeepRevealing(Squares):
    inside: Inside | None = None


class Declared(Revealing):
    contents: ClassVar = frozenset({"weights"})


class Misdeclared(Revealing):
    contents: ClassVar = frozenset({"wieghts"})


class Numbers(tokzoo.MetricConfig):
    stage: ClassVar = "reconstruction"
    reports: ClassVar = ["psnr"]

    def protocol(self):
        return {}


def spec(**changes):
    fields = {"kind": "quantizer", "name": "squares", "config": Squares, "target": "somewhere:Squares", "summary": "a"}
    return tokzoo.ComponentSpec(**fields | changes)


@pytest.mark.parametrize("name", ["vq", "vq2", "multi-scale-rq", "someone/vq", "a-b/c-d"])
def test_a_right_registration_passes(name):
    spec(name=name).check()
    spec(name=name, target=int).check()


def test_a_config_that_defines_what_its_base_declares_passes():
    spec(kind="encoder", config=Fine).check()


def test_a_path_is_declared_as_a_place_or_by_its_content():
    spec(config=Declared).check()


def test_what_a_config_provides_may_depend_on_its_values():
    spec(config=Residual).check()
    check_answers(Residual(), "quantizer")
    with pytest.raises(TypeError, match=r"provides is \['assignment'\], not frozenset\[str\]"):
        check_answers(Residual(inner=["assignment"]), "quantizer")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "quantiser"}, "component quantiser/squares: unknown kind; did you mean 'quantizer'?"),
        ({"config": Fine}, "config must be a subclass of QuantizerConfig"),
        ({"config": Squares()}, "config must be a subclass of QuantizerConfig"),
        ({"config": Unfinished}, "Unfinished does not define code_spec"),
        ({"kind": "encoder", "config": NoLayout}, "NoLayout does not define layout"),
        ({"kind": "ar", "config": NoSampler}, "NoSampler does not define sampler"),
        ({"config": Needy}, "Needy.requires is 'assignment', not frozenset[str]"),
        ({"kind": "encoder", "config": Row}, "Row.layout is 'row', not Literal['grid', 'sequence']"),
        ({"kind": "metric", "config": Numbers}, "Numbers.reports is ['psnr'], not tuple[MetricInfo, ...]"),
        ({"kind": "ar", "config": Sampled}, "Sampled.sampler is 3, not type[Config]"),
        ({"summary": 5}, "summary is 5, not text"),
        ({"paper": None}, "paper is None, not text"),
        ({"example": [1]}, r"example is [1], not a mapping"),
        ({"extras": "timm"}, "extras is 'timm', not a tuple of names"),
        ({"config": Named}, "has a field 'use'"),
        ({"kind": "ar", "config": Weighty}, "has a field 'weights', which names a saved AR model"),
        ({"name": "My VQ"}, "a name is lower-case words"),
        ({"name": "a/b/c"}, "a name is lower-case words"),
        ({"name": 5}, "a name is lower-case words"),
        ({"target": "somewhere.Squares"}, "not of the form 'module:Class'"),
        ({"config": "somewhere.Config"}, "config 'somewhere.Config' is not of the form 'module:Class'"),
        ({"config": Revealing}, "field 'weights' of Revealing holds a path, which must not be published"),
        ({"config": DeepRevealing}, "field 'inside' of DeepRevealing holds a path"),
        ({"config": Misdeclared}, "Misdeclared has no field 'wieghts'; did you mean 'weights'?"),
        ({"config": Placed}, "Placed.places is <property object"),
        ({"target": 5}, "not of the form 'module:Class'"),
        ({"summary": ""}, "summary is missing"),
        ({"version": 0}, "version is a whole number from 1 on"),
        ({"version": "2"}, "version is a whole number from 1 on"),
    ],
)
def test_a_wrong_registration_says_what_is_wrong(changes, said):
    with pytest.raises(TokzooError) as error:
        spec(**changes).check()
    assert said in str(error.value)


@pytest.fixture
def module(monkeypatch):
    """A module of configs, which another one imports by its name."""
    module = ModuleType("stranger")
    module.Squares, module.Unfinished = Squares, Unfinished
    monkeypatch.setitem(sys.modules, "stranger", module)


def test_a_config_named_lazily_is_imported_and_checked_when_it_is_asked_for(module):
    lazy = spec(config="stranger:Squares")
    lazy.check()
    assert load_config(lazy) is Squares
    assert load_config(spec()) is Squares


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"config": "no_such_module:X"}, "cannot load no_such_module:X: No module named 'no_such_module'"),
        ({"config": "stranger:X"}, "cannot load stranger:X: module 'stranger' has no attribute 'X'"),
        ({"config": "stranger:Unfinished"}, "Unfinished does not define code_spec"),
        ({"config": "stranger:Squares", "kind": "encoder"}, "config must be a subclass of EncoderConfig"),
    ],
)
def test_a_wrong_config_named_lazily_is_told_when_it_is_asked_for_as_its_plugins_mistake(module, changes, said):
    lazy = spec(**changes)
    lazy.check()
    with pytest.raises(tokzoo.Broken, match=f"plugin strangers: component {lazy.kind}/squares: {said}"):
        _ = Entry(lazy, "strangers").config


def test_a_target_is_imported_when_it_is_asked_for():
    from fractions import Fraction

    assert load_target(spec(target="fractions:Fraction")) is Fraction
    assert load_target(spec(target=Squares)) is Squares


@pytest.mark.parametrize("target", ["no_such_module:X", "fractions:NoSuchName"])
def test_a_target_that_is_not_there_is_told_with_what_it_needs(target):
    with pytest.raises(TokzooError, match=f"component quantizer/squares: cannot load {target}"):
        load_target(spec(target=target))
    with pytest.raises(TokzooError, match="it needs the optional dependencies somewhere"):
        load_target(spec(target=target, extras=("somewhere",)))
