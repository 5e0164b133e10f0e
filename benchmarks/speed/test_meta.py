"""Building a model of 2.9 billion parameters for its shapes alone: the time it takes, beside that of the smallest."""

import pytest

import tokzoo
from tokzoo.assembly.count import count_parameters
from tokzoo.recipes.load import load_recipe
from tokzoo.recipes.solver import solve
from tokzoo.registry.plugins import load_registry

REGISTRY = load_registry()


@pytest.mark.parametrize("name", ["gigatok-s-s", "gigatok-xl-xxl"])
def test_count(benchmark, name):
    recipe = load_recipe(name, REGISTRY)
    chain = solve(recipe, tokzoo.ImageSpec(3, (256, 256)), None, REGISTRY.components)
    counts = benchmark.pedantic(count_parameters, (recipe, chain), rounds=3, warmup_rounds=1)
    benchmark.extra_info["parameters"] = sum(counts.values())
