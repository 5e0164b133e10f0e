"""A small teacher of our own, and objectives that ask it, around a tiny but real tokenizer."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

import tokzoo
from tokzoo.assembly.build import build_regularizers
from tokzoo.assembly.objective import Objective
from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.recipes.resolve import resolve_recipe
from tokzoo.recipes.resolver import Resolver
from tokzoo.recipes.solver import solve
from tokzoo.recipes.tree import Tree
from tokzoo.registry.catalogue import Entry
from tokzoo.registry.plugins import load_registry

IMAGE = tokzoo.ImageSpec(3, (16, 16))
BACKBONE = {
    "use": "gigatok-vit",
    "size": None,
    "width": 8,
    "layers": 4,
    "heads": 2,
    "blocks": 1,
    "groups": 2,
    "channels": 4,
    "multipliers": [1, 1, 1],
    "map_channels": 12,
    "init_std": None,
}


class PatchTeacherConfig(tokzoo.TeacherConfig):
    shape: tuple[int, ...] = (4, 4)
    dim: int = 6
    depth: int = 1

    def hidden_spec(self, image):
        if image.channels != 3:
            raise tokzoo.Refusal("sees colours only")
        return tokzoo.HiddenSpec(self.shape, self.dim)


class PatchTeacher(tokzoo.Teacher):
    """Patches through linear maps, running statistics and dropout: training mode would show."""

    def __init__(self, config, image):
        super().__init__(config, image)
        side = image.size[0] // config.shape[0]
        self.patches = nn.Conv2d(image.channels, config.dim, side, stride=side)
        self.deeper = nn.Sequential(*(nn.Conv2d(config.dim, config.dim, 1) for _ in range(config.depth - 1)))
        self.norm = nn.BatchNorm2d(config.dim)
        self.drop = nn.Dropout(0.5)

    def forward(self, images):
        return self.drop(self.norm(self.deeper(self.patches(images)))).flatten(2).transpose(1, 2)


@pytest.fixture(scope="session")
def catalogue():
    components = load_registry().components
    spec = tokzoo.ComponentSpec("teacher", "test/patches", PatchTeacherConfig, PatchTeacher, summary="for tests")
    components.add(Entry(spec, "test"))
    return components


@pytest.fixture(scope="session")
def make_config(catalogue):
    """A function from fields, as in a recipe, to a regularizer's config."""

    def make(use, **fields):
        tree = Tree.from_data({"slot": {"use": use, **fields}}, "test")
        return Resolver(tree, catalogue).slot("regularizer", ("slot",)).config

    return make


@pytest.fixture(scope="session")
def make_chain(catalogue):
    """A function from regularizers, and changes of the tiny tokenizer, to what the solver says of it."""

    def make(*, image=IMAGE, encoder=None, decoder=None, **regularizers):
        data = {
            "encoder": {**BACKBONE, **(encoder or {})},
            "quantizer": {"use": "vq", "codes": 16, "dim": 4},
            "decoder": decoder if isinstance(decoder, str) else {**BACKBONE, **(decoder or {})},
            "regularizers": {"l2": "l2", **regularizers},
        }
        recipe = resolve_recipe(Tree.from_data(data, "test"), catalogue)
        return recipe, solve(recipe, image, None, catalogue)

    return make


@pytest.fixture(scope="session")
def make_objective(make_chain):
    """A function from regularizers to the objective of a tiny tokenizer, in training mode."""

    def make(**regularizers):
        recipe, chain = make_chain(**regularizers)
        torch.manual_seed(0)
        objective = Objective(Tokenizer(recipe, chain), build_regularizers(recipe, chain)).train()
        objective.start()
        return objective

    return make


@pytest.fixture(scope="session")
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, *(IMAGE.channels, *IMAGE.size), generator=generator) * 2 - 1


@pytest.fixture(scope="session", params=["tok1d_A", "tok2d_A"])
def golden(request):
    """Header and tensors of a golden file."""
    path = Path(__file__).parents[2] / "data" / "gigatok" / f"golden_{request.param}.safetensors"
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["meta"])
        return header, {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
