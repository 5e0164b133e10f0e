"""Sizes: the recipes of the paper's rows have the published parameters, each by its published name and shape."""

import csv
import subprocess
import sys

import pytest
import torch
from goldens import OWN

import tokzoo
from tokzoo.assembly.build import build_regularizers
from tokzoo.assembly.objective import Objective
from tokzoo.recipes.load import load_recipe
from tokzoo.recipes.solver import solve
from tokzoo.registry.plugins import load_registry
from tokzoo_gigatok.checkpoint import DISCRIMINATOR, GigaTokCheckpoint

REGISTRY = load_registry()
PUBLISHED = {
    "gigatok-s-s": 136_073_227,
    "gigatok-s-b": 232_399_627,
    "gigatok-b-l": 621_637_131,
    "gigatok-xl-xxl": 2_893_970_443,
    "gigatok-2d-s-s": 135_548_427,
    "gigatok-2d-s-b": 197_132_555,
    "gigatok-2d-b-l": 491_410_187,
}
LAYOUTS = {
    "gigatok-s-s": "layout_VQ_SS256.tsv",
    "gigatok-2d-s-s": "layout_VQ_SS256_2d.tsv",
    "gigatok-2d-s-b": "layout_VQ_SB256_2d.tsv",
}


def build(name):
    """The recipe and its objective at 256 pixels, on the meta device: no memory, and no teacher's weights."""
    recipe = load_recipe(name, REGISTRY)
    chain = solve(recipe, tokzoo.ImageSpec(3, (256, 256)), None, REGISTRY.components)
    with torch.device("meta"):
        return recipe, Objective(tokzoo.Tokenizer(recipe, chain), build_regularizers(recipe, chain))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameters(name):
    """Of the tokenizer, and the head that is the semantic regularizer's here and the decoder's there."""
    _, objective = build(name)
    assert count(objective.tokenizer) + count(objective.regularizers["semantic"]) == PUBLISHED[name]


def test_head_of_the_small_decoder():
    assert count(build("gigatok-s-s")[1].regularizers["semantic"]) == 6_820_608


def test_patchgan():
    assert count(build("gigatok-s-s")[1].regularizers["adversarial"]) == 2_765_633


def read_layout(name):
    with (OWN / name).open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {row["key"]: tuple(int(n) for n in row["shape"].split("x") if n) for row in rows}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_published_key_and_shape_is_ours(name):
    recipe, objective = build(name)
    kind = GigaTokCheckpoint()
    kept = kind.kept(recipe, {key: tuple(tensor.shape) for key, tensor in objective.state_dict().items()})
    ours = {"weights": {}, DISCRIMINATOR: {}}
    for place in kept.values():
        ours[place.section][place.key] = place.shape
    for place in kind.ignored(recipe):
        ours[place.section][place.pattern] = place.zeros
    assert ours["weights"] == read_layout(LAYOUTS[name])
    assert ours[DISCRIMINATOR] == read_layout("layout_patchgan.tsv")


PROBE = """
import pathlib, re, tokzoo
from tokzoo.assembly.count import count_parameters
from tokzoo.recipes.load import load_recipe
from tokzoo.recipes.solver import solve
from tokzoo.registry.plugins import load_registry
registry = load_registry()
recipe = load_recipe("gigatok-xl-xxl", registry)
counts = count_parameters(recipe, solve(recipe, tokzoo.ImageSpec(3, (256, 256)), None, registry.components))
highest = re.search("VmHWM:\\s*(\\d+) kB", pathlib.Path("/proc/self/status").read_text())
print(sum(counts.values()), highest[1])
"""


def test_the_largest_is_counted_without_its_weights():
    """2.9 B parameters would be 11.6 GB. (Linux: of its own address space alone.)"""
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    parameters, kilobytes = map(int, done.stdout.split())
    assert parameters > PUBLISHED["gigatok-xl-xxl"]  # with the discriminator
    assert kilobytes < 1e6
