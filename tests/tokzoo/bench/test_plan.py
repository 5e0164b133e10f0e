"""What is asked for, as a plan and its cells."""

import pytest

import tokzoo
from tests.conftest import RECIPES
from tokzoo.bench.plan import Request, check_device, doubts, make_cells, make_plan, parse_seeds
from tokzoo.bench.stages import stage_metrics
from tokzoo.contracts.errors import Broken, TokzooError
from tokzoo.recipes.load import Axis, Changes, load_track, plan_recipes
from tokzoo.registry.plugins import load_registry

TINY, TRACK = str(RECIPES / "tiny.yaml"), str(RECIPES / "tiny@1.yaml")


@pytest.fixture(scope="module")
def registry():
    return load_registry()


@pytest.mark.parametrize(
    ("text", "seeds"), [("0", (0,)), ("0-2", (0, 1, 2)), ("0,3", (0, 3)), ("3, 0-1,0", (3, 0, 1)), ("7-7", (7,))]
)
def test_seeds_are_ranges_and_lists(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "-1", "2-1", "a", "0-", "1.5", "²", "0-999999999", "9" * 20, "0-" + "9" * 5000])
def test_other_seeds_are_refused(text):
    with pytest.raises(
        TokzooError, match=r"^--seeds .{0,300}: expected numbers such as 0, 0-2 or 0,3, at most 10000 of them"
    ):
        parse_seeds(text)


def test_names_become_a_plan(registry):
    axis = Axis("quantizer", ("vq", "fsq"))
    plan = make_plan(Request(("gigatok-2d-nano",), track="fashion-quick", seeds=(4,), axes=(axis,)), registry)
    assert (plan.recipes, plan.track, plan.seeds, plan.axes) == (("gigatok-2d-nano",), "fashion-quick", (4,), (axis,))
    assert make_plan(Request(("gigatok-2d-nano",), track="fashion-quick"), registry).seeds == (0,)


def test_a_suite_brings_its_track_and_seeds_unless_others_are_asked_for(registry, tmp_path):
    suite = tmp_path / "mine.yaml"
    suite.write_text("recipes: [gigatok-2d-nano]\ntrack: fashion-nano\nseeds: [1, 2]\ngrid: {quantizer: [vq, fsq]}\n")
    assert make_plan(Request((str(suite),)), registry).seeds == (1, 2)
    axis = Axis("train.tokenizer.lr", (1e-3,))
    plan = make_plan(Request((str(suite),), track="fashion-quick", seeds=(0,), axes=(axis,)), registry)
    assert (plan.track, plan.seeds, len(plan.axes)) == ("fashion-quick", (0,), 2)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (Request(()), "name a recipe or a suite; recipes: "),
        (Request(("quikstart",)), "recipe or suite 'quikstart': unknown; did you mean 'quickstart'"),
        (Request(("gigatok-2d-nano",)), "name a track with --track .in Python, track=….; tracks: "),
        (Request(("gigatok-2d-nan",), track="fashion-quick"), "did you mean 'gigatok-2d-nano'"),
    ],
)
def test_what_is_missing_is_told_with_what_there_is(registry, request_, told):
    with pytest.raises(TokzooError, match=told):
        make_cells(make_plan(request_, registry), registry)


def test_cells_are_made_for_each_recipe_member_and_seed(registry):
    axes = (Axis("quantizer.codes", (32, 64)),)
    cells = make_cells(make_plan(Request((TINY,), track=TRACK, seeds=(0, 1), axes=axes), registry), registry)
    assert [(cell.recipe.name, cell.seed) for cell in cells] == [
        (f"tiny quantizer.codes={codes}", seed) for codes in (32, 64) for seed in (0, 1)
    ]
    assert doubts(cells) == []


def test_everything_that_does_not_fit_is_told_at_once(registry):
    axes = (Axis("decoder.use", ("gigatok-vit", "gigatok-qformer")), Axis("quantizer.codes", (32, 64)))
    with pytest.raises(TokzooError) as error:
        make_cells(make_plan(Request((TINY,), track=TRACK, axes=axes), registry), registry)
    assert str(error.value).count("does not fit together") == 2


def test_a_cell_of_a_name_that_no_folder_has_is_called_a_recipe(registry):
    changes = Changes.parse(["name=模型"])
    (cell,) = make_cells(make_plan(Request((TINY,), changes, TRACK), registry), registry)
    assert cell.id.startswith("recipe--tiny@1+"), "no dash, by which an option would begin"


def test_a_doubt_is_told_once(registry):
    changes = Changes.parse(["regularizers.entropy.start=40"])
    cells = make_cells(make_plan(Request((TINY,), changes, TRACK, seeds=(0, 1)), registry), registry)
    (line,) = doubts(cells)
    assert "regularizers.entropy never acts" in line


def test_a_warm_up_as_long_as_the_budget_is_doubted(registry):
    changes = Changes.parse(["quantizer.warmup=40"])
    (line,) = doubts(make_cells(make_plan(Request((TINY,), changes, TRACK), registry), registry))
    assert line.startswith("tiny quantizer.warmup=40 on tiny@1+")
    assert "(40 steps): quantizer never quantizes in training, and is judged quantized: its warm-up lasts 40" in line


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            ["regularizers.entropy.start=10", "regularizers.entropy.stop=5"],
            ["never acts: it starts at step 10 and"],
        ),
        (
            ["encoder.start=0.7", "encoder.stop=0.2"],
            ["encoder is never trained: it starts at step 28 and"],
        ),
        (["decoder.start=9999"], ["decoder is never trained: it starts at step 9999"]),
        (["encoder.stop=0"], []),
        (["encoder.stop=0", "quantizer.stop=0", "decoder.start=5"], ["no part of the tokenizer is trained at step 0"]),
        (["encoder.stop=5", "quantizer.stop=0.2", "decoder.stop=5"], ["no part of the tokenizer is trained at step 8"]),
    ],
    ids=str,
)
def test_parts_and_terms_that_rest_without_that_being_said_are_doubted(registry, changes, told):
    written = [each if each.startswith("regularizers") else f"train.tokenizer.parts.{each}" for each in changes]
    lines = doubts(make_cells(make_plan(Request((TINY,), Changes.parse(written), TRACK), registry), registry))
    assert len(lines) == len(told)
    assert all(words in line for words, line in zip(told, lines, strict=True))


def test_metrics_that_a_tokenizer_cannot_have_are_told(registry):
    (cell,) = make_cells(
        make_plan(Request((TINY,), Changes.parse(["track.metrics+=[prefix-psnr]"]), TRACK), registry), registry
    )
    (line,) = doubts([cell])
    assert line.endswith("not measured on tiny, which does not provide prefix_decoding: prefix-psnr")
    assert "prefix-psnr" not in [slot.use for slot in stage_metrics(cell, "reconstruction")]


def test_a_component_that_cannot_say_its_doubts_is_named(registry, monkeypatch):
    cells = make_cells(make_plan(Request((TINY,), track=TRACK), registry), registry)
    monkeypatch.setattr(type(cells[0].recipe.quantizer.config), "warnings", lambda config, steps: None)
    with pytest.raises(Broken, match=r"quantizer 'vq' \(plugin quantizers\) raised TypeError"):
        doubts(cells)


def test_a_device_is_one_of_three():
    check_device("cpu")
    with pytest.raises(TokzooError, match="device 'gpu': unknown; did you mean 'cuda'"):
        check_device("gpu")


class BlurConfig(tokzoo.MetricConfig):
    stage = "reconstruction"
    reports = (tokzoo.MetricInfo("reconstruction.blur", "blur"), tokzoo.MetricInfo("cost.blur", "s", observed=True))

    def protocol(self):
        return {}


BLUR = tokzoo.ComponentSpec("metric", "blur", BlurConfig, "nowhere:Blur", "blur")


@pytest.fixture
def with_blur():
    from tokzoo.registry.catalogue import Entry

    registry = load_registry()
    registry.components.add(Entry(BLUR, "script"))
    return registry


def measured(request, registry):
    ((_, track),) = plan_recipes(make_plan(request, registry), registry)
    return track, [slot.use for slot in track.metrics]


def test_a_metric_is_measured_and_shown_beside_those_of_the_track(with_blur):
    official = load_track("fashion-quick", with_blur)
    track, names = measured(Request(("gigatok-2d-nano",), track="fashion-quick", metrics=(BLUR,)), with_blur)
    assert names == [*(slot.use for slot in official.metrics), "blur"]
    assert [slot.config for slot in track.metrics[:-1]] == [slot.config for slot in official.metrics]
    assert track.columns == (*official.columns, "reconstruction.blur")
    assert track.id.startswith(f"{official.id}+")
    same, _ = measured(Request(("gigatok-2d-nano",), track="fashion-quick"), with_blur)
    assert same.id == official.id


def test_who_says_what_is_measured_and_shown_is_obeyed(with_blur):
    changes = Changes.parse(["track.metrics=[psnr]"])
    track, names = measured(Request((TINY,), changes, TRACK, metrics=(BLUR,)), with_blur)
    assert names == ["psnr"]
    assert "reconstruction.blur" not in track.columns
    columns = Changes.parse(["track.columns=[reconstruction.psnr]"])
    track, names = measured(Request((TINY,), columns, TRACK, metrics=(BLUR,)), with_blur)
    assert "blur" in names
    assert track.columns == ("reconstruction.psnr",)
    axes = (Axis("track.metrics", (["psnr"],)),)
    assert measured(Request((TINY,), track=TRACK, axes=axes, metrics=(BLUR,)), with_blur)[1] == ["psnr"]
