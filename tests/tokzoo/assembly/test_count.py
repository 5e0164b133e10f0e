import resource

import pytest
import torch

import tokzoo
from tokzoo.assembly.build import build_ar, build_parts, build_regularizers
from tokzoo.assembly.count import count_parameters
from tokzoo.recipes.models import Probe


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def probe_of(recipe):
    return Probe(ar=recipe.ar, steps=1, batch=1)


def test_counts_are_those_of_the_real_modules(make_recipe, make_chain):
    ar = {"use": "gpt", "size": None, "layers": 2, "heads": 2, "width": 8, "adaln": "full"}
    recipe = make_recipe(regularizers={"l1": "l1", "gan": "test/critic"}, ar=ar)
    chain = make_chain(recipe)
    encoder, _, decoder = build_parts(recipe, chain)
    assert count_parameters(recipe, chain, probe_of(recipe)) == {
        "encoder": count(encoder),
        "quantizer": 64,
        "decoder": count(decoder),
        "regularizers": sum(map(count, build_regularizers(recipe, chain).values())),
        "ar": count(build_ar(recipe.ar, chain.tokens)),
    }


@pytest.mark.parametrize("quantizer", [{"use": "fsq", "levels": [4, 4]}, "test/continuous"])
def test_parts_without_parameters_are_left_out(make_recipe, make_chain, quantizer):
    recipe = make_recipe(quantizer)
    assert count_parameters(recipe, make_chain(recipe)).keys() == {"encoder", "decoder"}


def test_big_models_take_no_memory_and_no_random_numbers(make_recipe, make_chain):
    big = {"size": "xl", "width": None, "layers": None, "heads": None}
    big |= {"channels": 128, "multipliers": [1, 1, 2, 2, 4], "groups": 32, "map_channels": 256}
    recipe = make_recipe({"use": "vq", "codes": 262144, "dim": 8, "revive": {}}, ar={"use": "gpt", "size": "XL"}, **big)
    chain = make_chain(recipe, tokzoo.ImageSpec(3, (256, 256)))
    state = torch.get_rng_state()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts = count_parameters(recipe, chain, probe_of(recipe))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert sum(counts.values()) > 1.5e9
    assert counts["quantizer"] == 262144 * 8
    assert grown < 200_000  # KiB, of 6 GB
    assert torch.equal(torch.get_rng_state(), state)
