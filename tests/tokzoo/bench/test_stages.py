"""The table of stages."""

from dataclasses import replace

import pytest

import tokzoo
from tests.conftest import RECIPES
from tokzoo.bench import stages
from tokzoo.bench.plan import Request, make_cells, make_plan
from tokzoo.bench.stages import STAGES, Stage, not_applicable, stages_of
from tokzoo.contracts.errors import TokzooError
from tokzoo.recipes.load import Changes
from tokzoo.registry.catalogue import Entry
from tokzoo.registry.component import import_target
from tokzoo.registry.plugins import load_registry


@pytest.fixture(scope="module")
def registry():
    return load_registry()


def cell_of(registry, *changes):
    request = Request((str(RECIPES / "tiny.yaml"),), Changes.parse(changes), str(RECIPES / "tiny@1.yaml"))
    (cell,) = make_cells(make_plan(request, registry), registry)
    return cell


def names(cell):
    return [stage.name for stage in stages_of(cell)]


def test_every_stage_comes_after_what_it_reads_and_its_work_can_be_imported():
    known = list(STAGES)
    for place, (name, stage) in enumerate(STAGES.items()):
        assert set(stage.upstream) <= set(known[:place])
        assert import_target(stage.target, name).__doc__


def test_a_stage_runs_where_it_applies_and_is_of_use(registry):
    assert names(cell_of(registry)) == list(STAGES)
    assert names(cell_of(registry, "track.metrics=[psnr]")) == ["tokenizer", "reconstruction", "codes", "ar"]
    without = cell_of(registry, "track.metrics=[psnr]", "track.probe=null")
    assert names(without) == ["tokenizer", "reconstruction"]
    assert not_applicable(without) == ["codes", "ar", "likelihood", "representation", "samples", "generation"]


def test_a_new_stage_is_a_row_and_a_function(registry, monkeypatch):
    row = Stage("histogram", "nowhere:histogram", ("codes",), lambda cell: {"bins": 10}, lambda cell: cell.seed == 0)
    monkeypatch.setitem(stages.STAGES, "histogram", row)
    *_, last = stages_of(cell_of(registry))
    assert (last.stage, last.upstream) == (row, ("codes",))


def keys(cell):
    return {stage.name: stage.key for stage in stages_of(cell)}


def test_another_seed_makes_everything_anew_and_what_draws_nothing_has_no_seed(registry):
    request = Request((str(RECIPES / "tiny.yaml"),), Changes(), str(RECIPES / "tiny@1.yaml"), seeds=(0, 1))
    cells = make_cells(make_plan(request, registry), registry)
    first, second = map(keys, cells)
    assert not {name for name in first if first[name] == second[name]}
    assert {stage.name: stage.seed for stage in stages_of(cells[1])} == {**dict.fromkeys(STAGES, 1), "codes": 0}


def test_which_codes_are_learned_makes_no_other_tokenizer_and_another_probe(registry):
    plain, live = cell_of(registry), cell_of(registry, "track.probe.codes=live")
    assert {name for name, key in keys(plain).items() if keys(live)[name] == key} == {"tokenizer", "reconstruction"}
    assert plain.probe.identity() != live.probe.identity()


def test_a_cell_s_folder_can_have_its_name_however_long_those_of_recipe_and_track_are(registry):
    cell = cell_of(registry)
    long = [replace(cell, recipe=cell.recipe.model_copy(update={"name": "x" * 300}), seed=seed) for seed in (0, 10**9)]
    ids = [each.id for each in long]
    assert [len(each.encode()) for each in ids] == [200, 200]
    assert ids[0].endswith(f"--s0--{ids[0][-8:]}")
    assert ids[0][-8:] != ids[1][-8:]
    track = cell.track.model_copy(update={"name": "é" * 300})
    assert len(replace(cell, track=track).id.encode()) in (199, 200)


def test_a_metric_of_a_stage_that_there_is_not_is_told_before_anything_runs(registry):
    class Config(tokzoo.MetricConfig):
        stage = "reconstructions"
        reports = (tokzoo.MetricInfo("reconstruction.blur", "blur"),)

        def protocol(self):
            return {}

    spec = tokzoo.ComponentSpec("metric", "blur", Config, "nowhere:Blur", "blur")
    registry.components.add(Entry(spec, "script"))
    with pytest.raises(TokzooError, match=r"metric 'blur': its stage 'reconstructions' .* did you mean 'reconstruct"):
        stages_of(cell_of(registry, "track.metrics=[psnr, blur]"))
