"""Tiny recipes of real components, and components of our own that do one odd thing each."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import tokzoo
from tokzoo.assembly.build import build_regularizers
from tokzoo.assembly.objective import Objective
from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.nn.adaptive_weight import adaptive_weight
from tokzoo.recipes.resolve import resolve_recipe
from tokzoo.recipes.solver import solve
from tokzoo.recipes.tree import Tree
from tokzoo.registry.catalogue import Entry
from tokzoo.registry.plugins import load_registry

IMAGE = tokzoo.ImageSpec(1, (8, 8))


class ContinuousConfig(tokzoo.QuantizerConfig):
    def code_spec(self, latent):
        return None


class Continuous(tokzoo.Quantizer):
    def forward(self, latent):
        return tokzoo.Quantized(latent, None, {"kl": latent.square().mean()})

    def decode(self, codes):
        raise AssertionError


class TwoLevelsConfig(tokzoo.QuantizerConfig):
    def code_spec(self, latent):
        return tokzoo.CodeSpec(latent.shape, (3, 5))

    def weight_of(self, term):
        return {"drift": 2.0, "spread": 0.0}[term]


class TwoLevels(tokzoo.Quantizer):
    """Two codes a position, read off two channels; two losses."""

    def forward(self, latent):
        codes = torch.stack([latent[..., 0] > 0, latent[..., 1] > 0], -1).long()
        return tokzoo.Quantized(latent, codes, {"drift": latent.mean(), "spread": latent.std()})

    def decode(self, codes):
        return torch.cat([codes, codes], -1).float()


class ShiftConfig(tokzoo.RegularizerConfig):
    by: float = 0.0
    times: float = 1.0


class Shift(tokzoo.Regularizer):
    """Changes the latent before it is decoded."""

    def transform(self, latent, state):
        assert state.quantized is not None
        return latent * self.config.times + self.config.by


class DarkConfig(tokzoo.RegularizerConfig):
    pass


class Dark(tokzoo.Regularizer):
    """Adds a view: the reconstruction of a zero latent, which should be black."""

    def views(self, state):
        decoded = state.tokenizer.decoder(torch.zeros_like(state.quantized.latent))
        return {"dark": tokzoo.View(decoded, torch.full_like(state.images, -1.0))}

    def terms(self, state):
        return {"seen": state.views["dark"].decoded.images.mean()}


class VectorConfig(tokzoo.RegularizerConfig):
    pass


class Vector(tokzoo.Regularizer):
    def terms(self, state):
        return {"per_image": state.images.flatten(1).mean(1)}


class CriticConfig(tokzoo.RegularizerConfig):
    pass


class Critic(tokzoo.Adversary):
    """Looks at everything it is given."""

    def __init__(self, config, chain):
        super().__init__(config, chain)
        self.scale = nn.Parameter(torch.tensor(2.0))

    def adversary_parameters(self):
        return [self.scale]

    def terms(self, state):
        return {"": -self.scale * state.views["main"].decoded.images.mean()}

    def adversary_terms(self, state):
        views = sum(view.decoded.images.mean() - view.target.mean() for view in state.views.values())
        return {"": self.scale * views, "latent": self.scale * state.encoded.latent.mean()}


class BalancedConfig(tokzoo.RegularizerConfig):
    pass


class Balanced(tokzoo.Regularizer):
    """Pulls as hard at the decoder's last layer as the absolute error does."""

    def terms(self, state):
        return {"": 50 * state.decoded.images.mean()}

    def adapt(self, own, others, state):
        self.seen = set(others)
        return adaptive_weight(others["l1"], own, state.tokenizer.decoder.last_layer())


class RestlessConfig(tokzoo.RegularizerConfig):
    pass


class Restless(tokzoo.Regularizer):
    """Its view is a decoding with a loss of its own."""

    def views(self, state):
        decoded = state.tokenizer.decoder(state.quantized.latent)
        return {"again": tokzoo.View(replace(decoded, losses={"flow": decoded.images.square().mean()}), state.images)}


OWN = [
    ("regularizer", "test/balanced", BalancedConfig, Balanced),
    ("regularizer", "test/restless", RestlessConfig, Restless),
    ("quantizer", "test/continuous", ContinuousConfig, Continuous),
    ("quantizer", "test/two-levels", TwoLevelsConfig, TwoLevels),
    ("regularizer", "test/shift", ShiftConfig, Shift),
    ("regularizer", "test/dark", DarkConfig, Dark),
    ("regularizer", "test/vector", VectorConfig, Vector),
    ("regularizer", "test/critic", CriticConfig, Critic),
]


@pytest.fixture(scope="session")
def registry():
    registry = load_registry()
    for kind, name, config, target in OWN:
        registry.components.add(Entry(tokzoo.ComponentSpec(kind, name, config, target, summary="for tests"), "test"))
    return registry


@pytest.fixture(scope="session")
def make_recipe(registry):
    """A function from a quantizer, regularizers by role and changes of both backbones to a tiny recipe."""
    tiny = {"use": "gigatok-vit", "size": None, "width": 8, "layers": 2, "heads": 2, "blocks": 1, "groups": 2}
    tiny |= {"channels": 4, "multipliers": [1, 1], "map_channels": 8}

    def make(quantizer=None, regularizers=None, ar=None, **backbone):
        data = {
            "name": "tiny",
            "encoder": tiny | backbone,
            "decoder": tiny | backbone,
            "quantizer": quantizer or {"use": "vq", "codes": 16, "dim": 4},
            "regularizers": {"l1": "l1"} if regularizers is None else regularizers,
        }
        return resolve_recipe(Tree.from_data(data | ({"ar": ar} if ar else {}), "test"), registry.components)

    return make


@pytest.fixture(scope="session")
def make_chain(registry):
    def make(recipe, image=IMAGE):
        return solve(recipe, image, 10, registry.components)

    return make


@pytest.fixture(scope="session")
def make_tokenizer(make_recipe, make_chain):
    """A function from what ``make_recipe`` takes to a tokenizer in eval mode."""

    def make(*arguments, **options):
        recipe = make_recipe(*arguments, **options)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return Tokenizer(recipe, make_chain(recipe)).eval()

    return make


@pytest.fixture(scope="session")
def make_objective(make_tokenizer):
    """A function from regularizers by role, and perhaps a quantizer, to an objective in training mode."""

    def make(quantizer=None, **regularizers):
        tokenizer = make_tokenizer(quantizer, regularizers)
        return Objective(tokenizer, build_regularizers(tokenizer.recipe, tokenizer.chain)).train()

    return make


@pytest.fixture(scope="session")
def images():
    return torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
