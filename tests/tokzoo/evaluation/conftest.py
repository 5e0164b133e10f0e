"""A tiny tokenizer, and a split of seven images."""

import pytest
import torch

import tokzoo
from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.data.split import InMemorySplit
from tokzoo.recipes.resolve import resolve_recipe
from tokzoo.recipes.solver import solve
from tokzoo.recipes.tree import Tree
from tokzoo.registry.plugins import load_registry


@pytest.fixture(scope="session")
def catalogue():
    return load_registry().components


@pytest.fixture(scope="session")
def tokenizer(catalogue):
    tiny = {"use": "gigatok-vit", "size": None, "width": 8, "layers": 1, "heads": 2, "blocks": 1, "groups": 2}
    tiny |= {"channels": 4, "multipliers": [1, 1], "map_channels": 8}
    data = {"encoder": tiny, "decoder": tiny, "quantizer": {"use": "fsq", "levels": [8, 8, 8]}}
    recipe = resolve_recipe(Tree.from_data(data, "test"), catalogue)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer = Tokenizer(recipe, solve(recipe, tokzoo.ImageSpec(1, (8, 8)), 10, catalogue)).eval()
        tokenizer.encoder.projection.weight.data *= 100  # codes that differ from image to image
    return tokenizer


@pytest.fixture(scope="session")
def split():
    images = torch.randint(0, 256, (7, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return InMemorySplit(images, torch.arange(7) * 2)
