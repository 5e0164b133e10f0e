import pytest
import torch

import tokzoo
from tokzoo.assembly.build import build, build_ar, build_dataset, build_metric, build_parts, start
from tokzoo.contracts.interfaces import Encoder
from tokzoo.recipes.slots import Slot
from tokzoo.registry.catalogue import Entry


class Unfinished(tokzoo.Quantizer):
    def forward(self, latent):
        return tokzoo.Quantized(latent, None)


@pytest.fixture
def slot_of(make_recipe):
    """A function from a target to a quantizer's slot."""

    def make(target):
        slot = make_recipe().quantizer
        spec = tokzoo.ComponentSpec("quantizer", "odd", type(slot.config), target, summary="for tests")
        return Slot("quantizer", Entry(spec, "somebody"), slot.config)

    return make


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Unfinished, r"quantizer 'odd' \(plugin somebody\): Unfinished does not implement decode"),
        (torch.nn.Linear, r"quantizer 'odd' \(plugin somebody\): .*Linear.* is not a subclass of Quantizer"),
        ("math:sqrt", "is not a subclass of Quantizer"),
        ("tokzoo_nowhere:Thing", "cannot load tokzoo_nowhere:Thing"),
        ("math:nothing", "cannot load math:nothing"),
    ],
)
def test_wrong_targets(slot_of, target, message):
    with pytest.raises(tokzoo.TokzooError, match=message):
        build(slot_of(target))


class Raising(tokzoo.Quantizer):
    error: Exception = ValueError("no codebook")

    def __init__(self, config, latent):
        raise self.error

    def forward(self, latent): ...

    def decode(self, codes): ...


def test_a_constructor_that_raises_is_told_with_its_component(slot_of, monkeypatch):
    with pytest.raises(
        tokzoo.Broken, match=r"quantizer 'odd' \(plugin somebody\) cannot be built: ValueError: no codebook"
    ):
        build(slot_of(Raising), None)
    # What is meant for the user is told as it is.
    monkeypatch.setattr(Raising, "error", tokzoo.TokzooError("weights: there is no file x"))
    with pytest.raises(tokzoo.TokzooError, match=r"^weights: there is no file x$"):
        build(slot_of(Raising), None)


def test_parts_get_config_and_shapes(make_recipe, make_chain):
    recipe = make_recipe()
    chain = make_chain(recipe)
    encoder, quantizer, decoder = build_parts(recipe, chain)
    assert isinstance(encoder, Encoder)
    assert encoder.config is recipe.encoder.config
    assert quantizer.codebook.shape == (16, 4)
    assert encoder.projection.out_features == chain.latent.channels == 4
    assert decoder.projection.in_features == 4


def test_parts_are_the_seed_s(make_recipe, make_chain):
    recipe, made = make_recipe(), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(build_parts(recipe, make_chain(recipe))[2].cnn.conv_out.weight)
    assert made[0].equal(made[1])
    assert not made[0].equal(made[2])


def test_other_kinds(make_recipe, make_chain, registry):
    recipe = make_recipe(ar={"use": "gpt", "size": None, "layers": 1, "heads": 1, "width": 8})
    chain = make_chain(recipe)
    assert isinstance(build_ar(recipe.ar, chain.tokens), tokzoo.ARModel)
    entry = registry.components.get("metric", "psnr")
    assert build_metric(Slot("metric", entry, entry.config()), chain).chain is chain
    entry = registry.components.get("dataset", "fashion")
    assert len(build_dataset(Slot("dataset", entry, entry.config())).val) == 2000


class Reader(tokzoo.Teacher):
    """Counts how often its weights are read, and draws in passing."""

    reads = 0

    def forward(self, images): ...

    def start(self):
        self.reads += 1
        torch.rand(3)


def test_what_several_hold_is_started_once_and_moves_no_other_start():
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    reader = Reader(None, None)
    for _ in range(2):
        start(reader)
    assert reader.reads == 1
    assert torch.equal(torch.rand(2), expected)
