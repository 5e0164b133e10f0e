"""Names and files to recipes, tracks and plans: what wins over what, and what is refused."""

import re

import pytest

from tokzoo.contracts.errors import TokzooError
from tokzoo.recipes.files import is_file
from tokzoo.recipes.load import Axis, Changes, Plan, grid, load_recipe, load_suite, load_track, plan_recipes
from tokzoo.registry.plugins import load_registry


def test_later_says_win_default_recipe_file_command_line(zoo):
    top = zoo.file("top.yaml", "extends: base\nquantizer: {codes: 128, warmup: 3}\n")
    own = zoo.file("mine.yaml", "extends: top.yaml\nquantizer: {warmup: 4, revive: {decay: 0.5}}\n")
    config = zoo.recipe("quantizer.revive.decay=0.25", of=own).quantizer.config
    assert (config.dim, config.codes, config.warmup, config.revive.decay) == (4, 128, 4, 0.25)
    assert config.revive.threshold == 0.01
    assert zoo.recipe(of=top).quantizer.config.warmup == 3


def test_a_file_may_swap_a_component_of_what_it_extends(zoo):
    for text in ("quantizer: fsq", "quantizer: {use: fsq, levels: [5, 5]}", "quantizer.use: fsq"):
        name = zoo.file("mine.yaml", f"extends: base\n{text}\n")
        if text.startswith("quantizer.use"):
            with pytest.raises(TokzooError, match=r"quantizer.use: unknown; did you mean 'quantizer'\?"):
                zoo.recipe(of=name)
        else:
            assert zoo.recipe(of=name).quantizer.use == "fsq"


def test_a_recipe_is_called_by_its_name_or_its_file(zoo):
    assert zoo.recipe().name == "base"
    assert zoo.recipe(of=zoo.file("my-own.yaml", "extends: base\n")).name == "my-own"
    assert zoo.recipe("name=other").name == "other"


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "b", "c"]])
@pytest.mark.parametrize("folder", ["", "../recipes/", "./"])
def test_recipes_in_a_circle_are_refused(zoo, names, folder):
    for name, above in zip(names, [*names[1:], names[0]], strict=True):
        zoo.file(f"recipes/{name}.yaml", f"extends: {folder}{above}.yaml\n")
    circle = " → ".join(f"{name}.yaml" for name in [*names, names[0]])
    with pytest.raises(TokzooError, match=f"extends: recipes extend each other in a circle, {circle} "):
        zoo.recipe(of="recipes/a.yaml")


def test_a_circle_through_a_plugins_recipe_is_refused(zoo):
    zoo.write("recipes", "one", "extends: two\n")
    zoo.write("recipes", "two", "extends: one\n")
    with pytest.raises(TokzooError, match=r"circle, one.yaml → two.yaml → one.yaml \(two.yaml:1\)"):
        zoo.recipe(of="one")


@pytest.mark.parametrize(
    ("above", "said"),
    [
        ("bsae", "extends: recipe 'bsae': unknown; did you mean 'base'? (mine.yaml:2)"),
        ("bsae.yaml", "extends: bsae.yaml: cannot be read (No such file or directory) (mine.yaml:2)"),
        ("5", "extends: recipe '5': unknown; known: base (mine.yaml:2)"),
    ],
)
def test_what_is_extended_must_be_there(zoo, above, said):
    name = zoo.file("mine.yaml", f"summary: mine\nextends: {above}\n")
    with pytest.raises(TokzooError, match=f"^{re.escape(said)}$"):
        zoo.recipe(of=name)


def test_an_unknown_recipe_gets_the_nearest(zoo):
    with pytest.raises(TokzooError, match=r"^recipe 'baze': unknown; did you mean 'base'\?$"):
        zoo.recipe(of="baze")
    with pytest.raises(TokzooError, match=r"^baze.yaml: cannot be read \(No such file or directory\)$"):
        zoo.recipe(of="baze.yaml")


def test_overrides_are_told_apart_by_what_they_change():
    changes = Changes.parse(["quantizer.codes=64", "track.tokenizer.steps=5", "ar=null"])
    assert changes.recipe == ((("quantizer", "codes"), 64), (("ar",), None))
    assert changes.track == ((("tokenizer", "steps"), 5),)


@pytest.mark.parametrize(
    ("text", "said"), [("track=toy", "name a track with --track"), ("extends=base", "only a recipe file")]
)
def test_an_override_that_would_do_nothing_is_refused(text, said):
    with pytest.raises(TokzooError, match=said):
        Changes.parse([text])
    with pytest.raises(TokzooError, match=said):
        grid([Axis.parse(text.replace("=", "=[") + "]")])


def test_a_track_has_its_official_id_until_it_is_changed(zoo):
    assert zoo.track().id == zoo.track(of="toy@1").id == "toy@1"
    changed = zoo.track("tokenizer.steps=7")
    assert re.fullmatch(r"toy@1\+[0-9a-f]{8}", changed.id)
    assert zoo.track("tokenizer.steps=7").id == changed.id
    assert len({changed.id, zoo.track("tokenizer.steps=8").id, zoo.track("tokenizer.batch=7").id}) == 3


def test_the_order_of_changes_does_not_change_a_track(zoo):
    one, two = "tokenizer.steps=7", "probe.steps=9"
    assert zoo.track(one, two).id == zoo.track(two, one).id


def test_a_track_of_ones_own_is_never_official(zoo):
    own = zoo.file("toy@1.yaml", zoo.registry.tracks["toy@1"].read_text())
    assert zoo.track(of=own).id.startswith("toy@1+")
    assert zoo.track(of=own).id == zoo.track("summary=the same otherwise").id


def test_a_track_without_version_is_its_highest(zoo):
    text = zoo.registry.tracks["toy@1"].read_text()
    for version in (2, 10):
        zoo.write("tracks", f"toy@{version}", text.replace("version: 1", f"version: {version}"))
    zoo.write("tracks", "toy@draft", text)
    assert zoo.track().id == "toy@10"
    assert zoo.track(of="toy@2").id == "toy@2"
    with pytest.raises(TokzooError, match=r"track 'toys': unknown; did you mean 'toy@"):
        zoo.track(of="toys")


def test_a_shipped_track_must_be_named_by_its_id(zoo):
    zoo.write("tracks", "toy@2", zoo.registry.tracks["toy@1"].read_text())
    with pytest.raises(TokzooError, match=r"track toy@1: its file is named toy@2.yaml"):
        zoo.track(of="toy@2")
    with pytest.raises(TokzooError, match=r"track toy@9\+.*: its file is named toy@1.yaml"):
        zoo.track("version=9", of="toy@1")


def test_brackets_make_axes_and_lists_stay_values(zoo):
    assert Axis.parse("quantizer = [vq, fsq]") == Axis("quantizer", ("vq", "fsq"))
    assert Axis.parse("quantizer.levels=[[8, 8], [5, 5, 5]]").values == ([8, 8], [5, 5, 5])
    assert Changes.parse(["quantizer.levels=[8, 8]"]).recipe == ((("quantizer", "levels"), [8, 8]),)


@pytest.mark.parametrize("text", ["quantizer=vq", "quantizer=[]", "quantizer", "=[1, 2]", "a..b=[1]", "x={a: [1]}"])
def test_an_axis_without_values_is_refused(text):
    with pytest.raises(TokzooError, match=r"--grid .* expected key=\[value, value\]"):
        Axis.parse(text)


def test_a_grid_is_every_combination():
    axes = [Axis.parse("quantizer=[vq, fsq]"), Axis.parse("track.tokenizer.steps=[1, 2]")]
    assert grid(axes) == [
        ((("quantizer",), quantizer), (("track", "tokenizer", "steps"), steps))
        for quantizer in ("vq", "fsq")
        for steps in (1, 2)
    ]
    assert grid([]) == [()]


def test_an_axis_and_an_override_of_one_key_contradict_each_other(zoo):
    for override in ("quantizer=vq", "quantizer.use=vq"):
        plan = Plan(("base",), "toy", axes=(Axis.parse("quantizer=[fsq, none]"),), changes=Changes.parse([override]))
        with pytest.raises(TokzooError, match="quantizer: given twice"):
            plan_recipes(plan, zoo.registry)


def test_a_plan_is_recipes_by_grid_with_the_changes(zoo):
    zoo.write("recipes", "other", "extends: base\nsummary: another\n")
    axes = (Axis.parse("quantizer=[vq, fsq]"), Axis.parse("track.tokenizer.steps=[7]"))
    plan = Plan(("base", "other"), "toy", axes=axes, changes=Changes.parse(["encoder=line", "track.seeds=1"]))
    pairs = plan_recipes(plan, zoo.registry)
    assert [(recipe.name, recipe.quantizer.use) for recipe, _ in pairs] == [
        (f"{name} encoder=line quantizer={quantizer} track.tokenizer.steps=7", quantizer)
        for name in ("base", "other")
        for quantizer in ("vq", "fsq")
    ]
    assert {recipe.encoder.use for recipe, _ in pairs} == {"line"}
    assert {(track.tokenizer.steps, track.seeds) for _, track in pairs} == {(7, 1)}
    assert [track for _, track in pairs[:2]] == [track for _, track in pairs[2:]]


SUITE = """
summary: a suite
recipes: [base, mine.yaml]
track: toy
seeds: [0, 1]
grid:
  quantizer: [vq, {use: fsq, levels: [5, 5]}]
  regularizers.entropy.weight: [0.1, 1]
"""


def test_a_suite_is_a_plan(zoo):
    zoo.file("suites/mine.yaml", "extends: base\n")
    zoo.write("suites", "quick", SUITE)
    for plan in (load_suite("quick", zoo.registry), load_suite("suites/quick.yaml", zoo.registry)):
        assert plan.recipes[0] == "base"
        assert plan.track == "toy"
        assert plan.seeds == (0, 1)
        assert len(plan_recipes(plan, zoo.registry)) == 8


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("seeds: [0, 1]", "sedes: [0]", "sedes: unknown; did you mean 'seeds'? (mine.yaml:5)"),
        ("seeds: [0, 1]", "seeds: 3", "seeds: input should be a valid tuple, not 3 (mine.yaml:5)"),
        ("seeds: [0, 1]", "seeds: [0, -1]", "seeds.1: input should be greater than or equal to 0, not -1 (mine"),
        ("track: toy\n", "", "track: missing (mine.yaml)"),
        ("[vq, {use: fsq, levels: [5, 5]}]", "vq", "grid.quantizer: input should be a valid tuple, not 'vq' (mine.ya"),
        ("[0.1, 1]", "[]", "grid.regularizers.entropy.weight: tuple should have at least 1 item"),
        ("[base, mine.yaml]", "[]", "recipes: tuple should have at least 1 item"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_suite_is_told_with_its_line(zoo, before, after, said):
    name = zoo.file("mine.yaml", SUITE.replace(before, after))
    with pytest.raises(TokzooError) as error:
        load_suite(name, zoo.registry)
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_an_unknown_suite_gets_the_nearest(zoo):
    zoo.write("suites", "quick", SUITE)
    with pytest.raises(TokzooError, match=r"suite 'quik': unknown; did you mean 'quick'\?"):
        load_suite("quik", zoo.registry)


def test_the_shipped_tracks_are_right():
    from tokzoo.registry.plugins import load_registry

    registry = load_registry(strict=True)
    assert registry.tracks
    for name in registry.tracks:
        assert load_track(name, registry).id == name


def test_a_track_of_data_from_elsewhere_stays_itself_when_told_where_they_are():
    registry = load_registry()
    told = load_track("imagenet256-probe", registry, [(("dataset", "root"), "somewhere")])
    assert told.id == "imagenet256-probe@1"
    assert told.identity() == load_track("imagenet256-probe", registry).identity()
    for change in ((("tokenizer", "batch"), 128), (("dataset", "size"), 128)):
        assert load_track("imagenet256-probe", registry, [change]).id.startswith("imagenet256-probe@1+")
    # The embedded dataset has another content at its root.
    with pytest.raises(TokzooError, match="somewhere holds neither"):
        _ = load_track("fashion-quick", registry, [(("dataset", "root"), "somewhere")]).id


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("labels=false", "labels: unknown; did you mean track.dataset.labels? (command line)"),
        ("track.labels=false", "track.labels: unknown; did you mean track.dataset.labels? (command line)"),
        ("codes=64", "codes: unknown; did you mean quantizer.codes or track.probe.codes? (command line)"),
        ("lr=1", "lr: unknown; did you mean train.tokenizer.lr? (command line)"),
        ("temperature=1", "temperature: unknown; did you mean regularizers.entropy.temperature? (command line)"),
        ("track.steps=5", "track.steps: unknown; did you mean track.tokenizer.steps or track.probe.steps? (command"),
        ("seed=0,1", "seed: no field of a recipe; give it as --seeds 0,1"),
        ("seeds=[0, 1]", "seeds: no field of a recipe; give it as --seeds 0,1"),
        ("data=photos", "data: no field of a recipe; give it as --data photos"),
        ("quantizer=vq,fsq", "did you mean 'fsq'? (command line); to run each of them: --grid 'quantizer=[vq, fsq]'"),
        ("quantizer.codes=64, 128", "to run each of them: --grid 'quantizer.codes=[64, 128]'"),
        (
            "quantizer=[vq, fsq]",
            "found ['vq', 'fsq'] (command line); to run each of them: --grid 'quantizer=[vq, fsq]'",
        ),
        ("quantizer.codes=[64, 128]", "to run each of them: --grid 'quantizer.codes=[64, 128]'"),
        (
            "regularizers.entropy=null,regularizers.l1=null",
            "; each override is an argument of its own, with a space between them: "
            "regularizers.entropy=null regularizers.l1=null",
        ),
        ("track.samples=5,6", "to run each of them: --grid 'track.samples=[5, 6]'"),
    ],
)
def test_what_stands_in_the_wrong_place_is_told_where_it_belongs(zoo, with_component, text, said):
    class Folder(zoo.registry.components.get("dataset", "toys").config):
        labels: bool = True

    with_component("dataset", "folder", Folder)
    plan = Plan(("base",), "toy", changes=Changes.parse([text, "track.dataset=folder"]))
    with pytest.raises(TokzooError, match=re.escape(said)):
        plan_recipes(plan, zoo.registry)
    if "labels" in text:
        plan = Plan(("base",), "toy", changes=Changes.parse([text]))
        with pytest.raises(TokzooError, match=r"labels: unknown; known: .*summary"):
            plan_recipes(plan, zoo.registry)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed=[0, 1]", "seed: no field of a recipe; give it as --seeds 0,1"),
        ("codes=[64, 128]", "codes: unknown; did you mean quantizer.codes or track.probe.codes?"),
    ],
)
def test_an_axis_in_the_wrong_place_is_told_where_it_belongs(zoo, text, said):
    with pytest.raises(TokzooError, match=re.escape(said)):
        plan_recipes(Plan(("base",), "toy", axes=(Axis.parse(text),)), zoo.registry)


def test_a_path_that_is_no_recipe_is_told_why(zoo, tmp_path):
    zoo.file("mine.txt", "extends: base\n")
    with pytest.raises(TokzooError, match=r"^mine.txt: the file of a recipe ends in .yaml or .yml; rename it so$"):
        zoo.recipe(of="mine.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TokzooError, match=r"^empty: a folder without tokenizer.json; name a recipe, its file, or"):
        zoo.recipe(of="empty")


@pytest.mark.parametrize("text", ["regularizers.entropi=null", "regularizers={entropi: null}"])
def test_dropping_what_is_not_there_is_refused(zoo, text):
    said = r"^regularizers.entropi: there is none to drop; did you mean 'entropy'\? "
    with pytest.raises(TokzooError, match=said + r"\(command line\)$"):
        zoo.recipe(text)
    own = zoo.file("mine.yaml", "extends: base\nregularizers:\n  entropi: null\n")
    with pytest.raises(TokzooError, match=said + r"\(mine.yaml:3\)$"):
        zoo.recipe(of=own)
    assert "entropy" not in zoo.recipe("regularizers.entropy=null").regularizers


@pytest.mark.parametrize("name", ["n" * 9999, "a\0b", "x" * 300 + "/y"])
def test_a_name_that_no_path_can_be_is_unknown_like_others(name):
    assert not is_file(name)
    with pytest.raises(TokzooError, match="unknown"):
        load_recipe(name, load_registry())
