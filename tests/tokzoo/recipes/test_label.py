"""A changed recipe never wears its parent's bare name."""

from pathlib import Path

import pytest

import tokzoo
from tokzoo.recipes.load import Axis, Changes, Plan, load_recipe, plan_recipes
from tokzoo.recipes.models import LONGEST_NAME
from tokzoo.recipes.resolve import resolve_recipe
from tokzoo.recipes.tree import Tree


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        ([], "base"),
        (["quantizer=fsq"], "base quantizer=fsq"),
        (["quantizer.use=fsq"], "base quantizer=fsq"),
        (["quantizer={use: fsq}", "quantizer.levels=[5, 5]"], "base quantizer=fsq quantizer.levels=[5, 5]"),
        (["quantizer.levels=[5, 5]", "quantizer.use=fsq"], "base quantizer=fsq quantizer.levels=[5, 5]"),
        (["quantizer={use: fsq, levels: [5, 5]}"], "base quantizer={use: fsq, levels: [5, 5]}"),
        (["quantizer={use: fsq, levels: [5, 5, 5, 5, 5]}"], "base quantizer={use: fsq, levels: [5, 5, 5, 5,…"),
        (["train.tokenizer.lr=2e-3", "quantizer.codes=128"], "base quantizer.codes=128 train.tokenizer.lr=0.002"),
        (["regularizers.entropy=null", "ar=null"], "base ar=null regularizers.entropy=null"),
        (["train.tokenizer.parts.regularizers.entropy.lr=1"], "base train.tokenizer.parts.regularizers.entropy.lr=1"),
        (["quantizer.codes=64", "quantizer=vq", "summary=of mine"], "base"),
        (["name=mine", "quantizer=fsq"], "mine"),
        (["name=base", "quantizer=fsq"], "base quantizer=fsq"),
    ],
)
def test_a_name_says_what_was_changed(zoo, texts, name):
    assert zoo.recipe(*texts).name == name
    assert zoo.recipe(*texts[::-1]).name == name


def test_many_changes_are_a_number_and_a_hash(zoo):
    texts = [f"train.tokenizer.{name}=0.5" for name in ("lr", "weight_decay", "final_lr", "clip", "ema")]
    name = zoo.recipe(*texts).name
    assert name.startswith("base 5 changes (")
    assert name == zoo.recipe(*texts[::-1]).name
    assert name != zoo.recipe(*texts[1:], "train.tokenizer.lr=0.25").name


def test_a_place_in_a_grid_is_always_said(zoo):
    axes = (Axis.parse("quantizer=[vq, {use: none}]"), Axis.parse("track.samples=[5]"))
    plan = Plan(("base",), "toy", axes=axes, changes=Changes.parse(["name=mine"]))
    names = [recipe.name for recipe, _ in plan_recipes(plan, zoo.registry)]
    assert names == ["mine quantizer=vq track.samples=5", "mine quantizer=none track.samples=5"]


def test_a_recipe_knows_its_changes(zoo):
    axis = (("encoder",), "grid")
    recipe = load_recipe("base", zoo.registry, Changes.parse(["quantizer.codes=64", "quantizer.dim=8"]).recipe, [axis])
    assert recipe.changes == {"quantizer.dim": 8, "encoder": "grid"}


def test_the_name_survives_another_process(zoo):
    recipe = zoo.recipe(f"name={'n' * LONGEST_NAME}"), zoo.recipe("quantizer=fsq")
    for each in recipe:
        assert resolve_recipe(Tree.from_data(each.dump(), "cell"), zoo.registry.components).name == each.name
    own = zoo.file("mine.yaml", f"extends: base\nname: {'n' * LONGEST_NAME}\n")
    name = zoo.recipe("quantizer=fsq", of=own).name
    assert name.endswith("… quantizer=fsq")
    assert len(name) <= LONGEST_NAME


def test_no_path_of_a_machine_is_in_a_name(zoo, with_component):
    class Judged(tokzoo.RegularizerConfig):
        contents = frozenset({"weights"})
        places = frozenset({"cache"})
        weights: str | None = None
        cache: Path | None = None

    with_component("regularizer", "judged", Judged)
    assert zoo.recipe(
        "regularizers.j=judged", "regularizers.j.weights=secret/net.pt", "regularizers.j.cache=secret"
    ).name == ("base regularizers.j=judged regularizers.j.weights=net.pt")
    told = zoo.recipe("regularizers.j={use: judged, weights: /secret/net.pt}").name
    assert told == "base regularizers.j={use: judged, weights: net.pt}"


@pytest.mark.parametrize("name", ["' '", '"\\e[31mred"', '"\\u202edesrever"', "n" * (LONGEST_NAME + 1)])
def test_a_name_is_visible(zoo, name):
    with pytest.raises(tokzoo.TokzooError, match="name: a name is 1 to 300 visible characters"):
        zoo.recipe(f"name={name}")
