"""What identifies a component, a recipe and a probe: everything its results depend on, and nothing else."""

import pytest

from tokzoo.recipes.hashing import content_hash
from tokzoo.recipes.load import load_recipe
from tokzoo.recipes.resolve import probe_of

SEMANTIC = "regularizers.semantic={use: semantic, teacher: {use: dino, model: vit}}"
ENSEMBLE = "regularizers.e={use: ensemble, guides: [clip, {use: dino, model: x}], fallback: {use: dino, model: y}}"


def identity(recipe):
    return content_hash(recipe.tokenizer_identity())


def test_the_order_of_keys_and_the_name_do_not_matter(zoo):
    name = zoo.file(
        "mine.yaml",
        """
        decoder: {use: grid}
        train: {tokenizer: {lr: 0.001}}
        regularizers: {entropy: {weight: 0.1, use: entropy}, reconstruction: l2}
        quantizer: {dim: 4, codes: 64, use: vq}
        encoder: grid
        summary: another
        """,
    )
    assert identity(zoo.recipe(of=name)) == identity(zoo.recipe())


def test_a_default_written_out_is_the_same_recipe(zoo):
    assert identity(zoo.recipe("quantizer.warmup=0", "regularizers.reconstruction.weight=1")) == identity(zoo.recipe())


@pytest.mark.parametrize(
    "change",
    [
        "quantizer.codes=65",
        "encoder.stride=4",
        "decoder=deep-grid",
        "regularizers.entropy=null",
        "regularizers.entropy.start=5",
        "quantizer.revive={}",
        "train.tokenizer.lr=2e-3",
    ],
)
def test_every_change_is_another_recipe(zoo, change):
    assert identity(zoo.recipe(change)) != identity(zoo.recipe())


def test_the_ar_model_is_no_part_of_a_tokenizer(zoo):
    for change in ("ar=any", "ar=null", "train.ar.lr=1"):
        assert identity(zoo.recipe(change)) == identity(zoo.recipe())


def reload(zoo, *texts, **changed):
    from dataclasses import replace

    from tokzoo.recipes.load import Changes

    registry = replace(zoo.registry, components=zoo.make_catalogue(**changed))
    return load_recipe("base", registry, Changes.parse(texts).recipe)


@pytest.fixture
def zoo(zoo, make_catalogue):
    zoo.make_catalogue = make_catalogue
    return zoo


@pytest.mark.parametrize(
    ("texts", "component", "counts"),
    [
        ([], ("quantizer", "vq"), True),
        ([], ("regularizer", "entropy"), True),
        ([], ("quantizer", "fsq"), False),
        ([], ("teacher", "dino"), False),
        ([SEMANTIC], ("teacher", "dino"), True),
        ([SEMANTIC], ("teacher", "clip"), False),
        ([ENSEMBLE], ("teacher", "dino"), True),
        ([ENSEMBLE], ("teacher", "clip"), True),
        (["regularizers.e={use: ensemble, mixture: {main: {use: dino, model: x}}}"], ("teacher", "dino"), True),
        (["regularizers.e={use: ensemble, extra: {a: {use: dino, model: x}}}"], ("teacher", "dino"), True),
    ],
)
def test_a_changed_version_of_a_part_is_another_recipe(zoo, texts, component, counts):
    changed = reload(zoo, *texts, version={component: 2})
    assert (identity(changed) != identity(reload(zoo, *texts))) is counts


def test_code_under_development_makes_no_other_recipe(zoo):
    """What made a result is kept with it, and decides whether it is used again; a row stays the same row."""
    assert identity(reload(zoo, source={("quantizer", "vq"): "other text"})) == identity(zoo.recipe())


def test_a_field_called_version_does_not_hide_the_components(zoo):
    texts = [SEMANTIC, "regularizers.semantic.teacher.version='2'"]
    changed = reload(zoo, *texts, version={("teacher", "dino"): 7})
    (part,) = changed.regularizers["semantic"].parts()
    assert part.identity()["version"] == 7
    assert part.identity()["config"]["version"] == "2"


def test_the_parts_of_a_slot_are_listed(zoo):
    slot = zoo.recipe(ENSEMBLE).regularizers["e"]
    assert [(part.kind, part.use) for part in slot.parts()] == [
        ("teacher", "clip"),
        ("teacher", "dino"),
        ("teacher", "dino"),
    ]
    assert zoo.recipe().quantizer.parts() == []


def test_a_probe_is_identified_without_its_sampler(zoo):
    recipe = zoo.recipe()

    def probe(*texts):
        return content_hash(probe_of(recipe, zoo.track(*texts)).identity())

    assert probe("probe.sampler.temperature=0.5") == probe()
    for change in ("probe.ar.layers=9", "probe.train.lr=1", "probe.steps=51", "probe.batch=9"):
        assert probe(change) != probe()
