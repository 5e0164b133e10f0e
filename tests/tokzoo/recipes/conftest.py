"""A small zoo of configs without modules, and a registry that offers it together with YAML files a test writes."""

from dataclasses import replace
from textwrap import dedent
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field, create_model

import tokzoo
from tokzoo.recipes.load import load_recipe
from tokzoo.registry.catalogue import Catalogue, Entry
from tokzoo.registry.plugins import Registry
from tokzoo.registry.source import UNKNOWN, Source

Teacher = tokzoo.ComponentRef["teacher"]


class GridEncoder(tokzoo.EncoderConfig):
    layout: ClassVar = "grid"
    stride: int = Field(8, ge=1)

    def latent_spec(self, image, channels):
        if image.size[0] % self.stride:
            raise tokzoo.Refusal(f"wants sides that are multiples of {self.stride}")
        return tokzoo.LatentSpec("grid", (image.size[0] // self.stride, image.size[1] // self.stride), channels or 32)

    def feature_map_spec(self, image):
        return tokzoo.FeatureMapSpec(32, self.latent_spec(image, None).shape)


class LineEncoder(tokzoo.EncoderConfig):
    layout: ClassVar = "sequence"
    tokens: int = 16

    def latent_spec(self, image, channels):
        return tokzoo.LatentSpec("sequence", (self.tokens,), channels or 32)


class Revival(tokzoo.Config):
    threshold: float = Field(0.01, gt=0, lt=1)
    decay: float = Field(0.99, gt=0, lt=1)


class VQ(tokzoo.QuantizerConfig):
    provides: ClassVar = frozenset({"assignment"})
    codes: int = Field(1024, ge=2)
    dim: int = Field(8, ge=1)
    warmup: int | float = 0
    revive: Revival | None = None

    def wants(self, layout):
        return self.dim

    def code_spec(self, latent):
        return tokzoo.CodeSpec(latent.shape, (self.codes,))


class FSQ(tokzoo.QuantizerConfig):
    levels: tuple[int, ...] = (8, 8, 8)

    def wants(self, layout):
        return len(self.levels)

    def code_spec(self, latent):
        if latent.channels != len(self.levels):
            raise tokzoo.Refusal("wants a channel for each of its levels")
        return tokzoo.CodeSpec(latent.shape, (8 ** len(self.levels),))


class ScalesVQ(tokzoo.QuantizerConfig):
    """Works on grids only, and says so when it is first asked."""

    def wants(self, layout):
        if layout != "grid":
            raise tokzoo.Refusal("wants a grid")
        return 4

    def code_spec(self, latent):
        return tokzoo.CodeSpec(latent.shape, (64, 64))


class NoCodes(tokzoo.QuantizerConfig):
    def code_spec(self, latent):
        return None


class GridDecoder(tokzoo.DecoderConfig):
    layers: int = 4

    def accepts(self, latent, image):
        if latent.layout != "grid":
            raise tokzoo.Refusal("wants a grid")

    def hidden_spec(self, tap, latent, image):
        if tap not in range(1, self.layers + 1):
            raise tokzoo.Refusal(f"has {self.layers} layers, and none to tap at {tap!r}")
        return tokzoo.HiddenSpec(latent.shape, 64)


class FlowSampler(tokzoo.Config):
    steps: int = Field(10, ge=1)


class DeepGridDecoder(GridDecoder):
    """A generative one."""

    sampler: ClassVar = FlowSampler
    layers: int = 12


class LineDecoder(tokzoo.DecoderConfig):
    def accepts(self, latent, image):
        if latent.layout != "sequence":
            raise tokzoo.Refusal("wants a sequence")


class ClumsyDecoder(tokzoo.DecoderConfig):
    """A stranger's component that fails when it is asked."""

    def accepts(self, latent, image):
        raise ZeroDivisionError


class L2(tokzoo.ImageTermConfig):
    pass


class Entropy(tokzoo.RegularizerConfig):
    requires: ClassVar = frozenset({"assignment"})
    temperature: float = Field(0.01, gt=0)


class Shortcut(tokzoo.RegularizerConfig):
    def accepts(self, chain):
        if chain.feature_map is None:
            raise tokzoo.Refusal("wants a feature map, and the encoder gives none")


class Dino(tokzoo.TeacherConfig):
    model: str
    version: str = "own"
    scale: float = 1.0

    def hidden_spec(self, image):
        return tokzoo.HiddenSpec((4, 4), 96)


class Clip(tokzoo.TeacherConfig):
    size: Literal["b", "l"] = "b"

    def hidden_spec(self, image):
        return tokzoo.HiddenSpec((7, 7), 64)


class Semantic(tokzoo.RegularizerConfig):
    teacher: Teacher
    tap: int = 3

    def taps(self):
        return (self.tap,)


class Mixture(tokzoo.Config):
    main: Teacher
    share: float = 0.5


class Ensemble(tokzoo.RegularizerConfig):
    guides: tuple[Teacher, ...] = ()
    mixture: Mixture | None = None
    extra: dict[str, Teacher] = Field(default_factory=dict)
    fallback: Teacher = Field("clip")


class Linear(tokzoo.Config):
    use: Literal["linear"] = "linear"
    slope: float = 1.0


class Peaked(tokzoo.Config):
    use: Literal["peaked"] = "peaked"
    peak: float = Field(0.5, gt=0, lt=1)


class Sampler(tokzoo.Config):
    temperature: float = 1.0
    schedule: Annotated[Linear | Peaked, Field(discriminator="use")] = Linear()


class OtherSampler(tokzoo.Config):
    rounds: int = 8


class GPT(tokzoo.ARConfig):
    sampler: ClassVar = Sampler
    layers: int = 2

    def accepts(self, tokens):
        if tokens.codes.levels != 1:
            raise tokzoo.Refusal(f"learns one level, not {tokens.codes.levels}")


class AnyLevels(tokzoo.ARConfig):
    sampler: ClassVar = OtherSampler

    def accepts(self, tokens):
        pass


class Toys(tokzoo.DatasetConfig):
    classes: int = 10

    def image_spec(self):
        return tokzoo.ImageSpec(3, (32, 32))

    def class_names(self):
        return tuple(map(str, range(self.classes)))

    def fingerprint(self):
        return "toys"


class PSNR(tokzoo.MetricConfig):
    stage: ClassVar = "reconstruction"
    reports: ClassVar = (
        tokzoo.MetricInfo("reconstruction.psnr", "PSNR", better="higher"),
        tokzoo.MetricInfo("codes.usage", "usage"),
        tokzoo.MetricInfo("cost.speed", "speed", better="higher", observed=True),
    )
    window: int = Field(11, ge=1)

    def protocol(self):
        return {"window": self.window}


class ARLoss(tokzoo.MetricConfig):
    stage: ClassVar = "likelihood"
    reports: ClassVar = (tokzoo.MetricInfo("ar.loss", "AR loss", better="lower"),)

    def protocol(self):
        return {}


COMPONENTS = [
    ("encoder", "grid", GridEncoder),
    ("encoder", "line", LineEncoder),
    ("quantizer", "vq", VQ),
    ("quantizer", "fsq", FSQ),
    ("quantizer", "scales", ScalesVQ),
    ("quantizer", "none", NoCodes),
    ("decoder", "grid", GridDecoder),
    ("decoder", "deep-grid", DeepGridDecoder),
    ("decoder", "line", LineDecoder),
    ("decoder", "clumsy", ClumsyDecoder),
    ("regularizer", "l2", L2),
    ("regularizer", "entropy", Entropy),
    ("regularizer", "shortcut", Shortcut),
    ("regularizer", "semantic", Semantic),
    ("regularizer", "ensemble", Ensemble),
    ("teacher", "dino", Dino),
    ("teacher", "clip", Clip),
    ("ar", "gpt", GPT),
    ("ar", "any", AnyLevels),
    ("dataset", "toys", Toys),
    ("metric", "psnr", PSNR),
    ("metric", "ar-loss", ARLoss),
]

RECIPE = """
name: base
summary: a recipe to change
encoder: {use: grid}
quantizer:
  use: vq
  codes: 64
  dim: 4
decoder: grid
regularizers:
  reconstruction: {use: l2}
  entropy: {use: entropy, weight: 0.1}
train:
  tokenizer: {lr: 1e-3}
"""

TRACK = """
name: toy
version: 1
summary: a track to change
dataset: {use: toys}
tokenizer: {steps: 100, batch: 4}
probe:
  ar: {use: gpt, layers: 3}
  train: {lr: 2e-3}
  steps: 50
  batch: 8
metrics: [psnr]
main: reconstruction.psnr
columns: [reconstruction.psnr, codes.usage]
"""


def make_catalogue(version=None, source=None):
    """The zoo; ``version`` and ``source`` change one component each, by (kind, name)."""
    catalogue = Catalogue()
    for kind, name, config in COMPONENTS:
        changed = (version or {}).get((kind, name), 1)
        spec = tokzoo.ComponentSpec(kind, name, config, "somewhere:Class", "for tests", version=changed)
        spec.check()
        text = (source or {}).get((kind, name))
        catalogue.add(Entry(spec, "zoo", Source(read=lambda text=text: text) if text else UNKNOWN))
    return catalogue


class Zoo:
    """A registry of the zoo, whose recipes, tracks and suites are written by the test."""

    def __init__(self, folder):
        self.folder = folder
        self.registry = Registry(components=make_catalogue())
        self.write("recipes", "base", RECIPE)
        self.write("tracks", "toy@1", TRACK)

    def write(self, what, name, text):
        """A file that a plugin offers."""
        path = self.folder / what / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))
        getattr(self.registry, what)[name] = path
        return path

    def file(self, name, text):
        """A file of the user's own, in the current folder."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))
        return name

    def recipe(self, *overrides, of="base"):
        """A recipe with command-line overrides."""
        from tokzoo.recipes.load import Changes

        return load_recipe(of, self.registry, Changes.parse(overrides).recipe)

    def track(self, *overrides, of="toy"):
        """A track with command-line overrides, written without ``track.``."""
        from tokzoo.recipes.load import Changes, load_track

        return load_track(of, self.registry, Changes.parse(f"track.{text}" for text in overrides).track)


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Zoo(tmp_path)


@pytest.fixture(name="make_catalogue")
def _make_catalogue():
    return make_catalogue


@pytest.fixture
def add_field(zoo):
    """A function that gives the config of a registered component a further field, ``later``."""

    def add(kind, name):
        found = zoo.registry.components
        zoo.registry.components = Catalogue()
        for entry in found:
            spec = entry.spec
            if (spec.kind, spec.name) == (kind, name):
                spec = replace(spec, config=create_model("Wider", __base__=spec.config, later=(int, 7)))
            zoo.registry.components.add(Entry(spec, entry.plugin, entry.source))

    return add


@pytest.fixture
def with_component(zoo):
    """A function that registers a further component."""

    def add(kind, name, config):
        spec = tokzoo.ComponentSpec(kind, name, config, "somewhere:Class", "for tests")
        spec.check()
        zoo.registry.components.add(Entry(spec, "zoo"))

    return add
