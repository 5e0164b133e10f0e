"""What the cache does with results that other code made."""

import os
import sys

import pytest
from installing import install

from tests.conftest import in_process, write_small_fashion
from tokzoo.bench.cache import Result, StageCache
from tokzoo.bench.provenance import check_loaded, code_of
from tokzoo.bench.stages import CellStage, Stage
from tokzoo.contracts.errors import TokzooError
from tokzoo.data.checked_json import read_checked, write_checked
from tokzoo.data.run_folder import DONE, RunFolder
from tokzoo.registry.source import Source


def source(stamp="a", version="0.1.0", in_development=False):
    return Source("lattice", version, in_development, lambda: stamp)


def stage(name="tokenizer", upstream=(), **about):
    return CellStage(Stage(name, "nowhere:work", upstream), "key", upstream, 0, {"lattice": source(**about)})


@pytest.fixture
def cache(tmp_path):
    return StageCache(RunFolder(tmp_path))


def finish(cache, stage, upstream=(), **about):
    identities = {parent.name: cache.result(parent).identity for parent in upstream}
    cache.finish(stage, Result(upstream=identities, code=code_of(stage.sources), **about), ())


def test_what_the_same_code_made_is_used(cache):
    assert cache.find(stage(), {}).result is None
    finish(cache, stage())
    found = cache.find(stage(version="0.2.0"), {})
    assert found.result is not None
    assert found.made_by == ()


@pytest.mark.parametrize("then", [False, True])
def test_code_under_development_that_changed_makes_its_results_anew(cache, then):
    finish(cache, stage(in_development=then))
    found = cache.find(stage("tokenizer", stamp="b", in_development=not then), {})
    assert (found.result, found.why) == (None, "its code changed")


def test_what_another_release_made_is_used_and_named_or_made_anew_when_asked(cache):
    finish(cache, stage())
    other = stage(stamp="b", version="0.2.0")
    assert cache.find(other, {}).made_by == ("lattice 0.1.0, here is 0.2.0",)
    assert cache.find(stage(stamp="b"), {}).made_by == ("lattice 0.1.0, here is other code of that version",)
    fresh = StageCache(cache.run, fresh=True)
    assert fresh.find(other, {}).result is None
    assert fresh.find(stage(), {}).result is not None


def test_what_was_made_from_another_result_is_made_anew(cache):
    tokenizer, codes = stage(), stage("codes", ("tokenizer",))
    finish(cache, tokenizer)
    finish(cache, codes, [tokenizer])
    assert all(found.result for found in cache.find_all([tokenizer, codes]).values())
    for other in ({"values": {"other": 1.0}}, {"execution": {"torch": "2.9", "threads": 2}}):
        finish(cache, tokenizer, **other)
        assert cache.find_all([tokenizer, codes])["codes"].why == "what it reads changed"
    cache.forget(tokenizer)
    assert cache.find_all([tokenizer, codes])["codes"].why == "what it reads is made anew"


def test_code_that_changed_while_it_was_loaded_is_refused():
    texts = iter(["a", "a", "b"])
    sources = {"lattice": Source("lattice", "0.1.0", True, lambda: next(texts))}
    code_of(sources)
    check_loaded(sources)
    with pytest.raises(TokzooError, match="the code of lattice changed while it was loaded; run it again"):
        check_loaded(sources)


METRIC = """
import tokzoo

class Config(tokzoo.MetricConfig):
    stage = "reconstruction"
    reports = (tokzoo.MetricInfo("reconstruction.mean", "mean"),)
    def protocol(self):
        return {}

class Mean(tokzoo.Metric):
    def update(self, batch):
        self.mean = batch.reconstructions.mean()
    def compute(self):
        return {"reconstruction.mean": self.mean}

@tokzoo.hookimpl
def tokzoo_components():
    return [tokzoo.ComponentSpec("metric", "me/mean", Config, Mean, "mean")]
"""
SHORT = ["track.probe=null", "track.metrics=[psnr, me/mean]", "track.tokenizer.steps=10"]


def test_an_edited_plugin_file_makes_its_stage_anew_and_a_comment_does_not(tokzoo):
    path = tokzoo.folder / "mean.py"
    command = [*tokzoo.tiny, *SHORT, "--plugin", "mean.py"]
    path.write_text(METRIC)
    tokzoo(*command)
    path.write_text(f"# The mean.\n{METRIC}")
    assert "1 found done" in tokzoo(*command).stdout
    path.write_text(METRIC.replace(".mean()", ".mean() + 1"))
    text = tokzoo(*command).stdout
    assert "reconstruction running (its code changed)" in text
    assert "tokenizer cached" in text
    old, new = sorted(record["metrics"]["reconstruction.mean"]["value"] for record in tokzoo.records())
    assert new == pytest.approx(old + 1, abs=1e-6)


def test_another_release_of_an_installed_plugin_is_named_until_fresh_results_are_asked_for(tokzoo):
    site = tokzoo.folder / "site"
    site.mkdir()
    install(site, "mean", METRIC)
    path = {"PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
    tokzoo(*tokzoo.tiny, *SHORT, env=path)
    install(site, "mean", METRIC.replace(".mean()", ".mean() + 1"), version="2.0")
    said = "mean 1.0, here is 2.0"
    assert said in tokzoo(*tokzoo.tiny, *SHORT, "--dry-run", env=path).stdout
    done = tokzoo(*tokzoo.tiny, *SHORT, env=path)
    assert "1 found done" in done.stdout
    assert f"warning: reconstruction: made by {said}; --fresh" in done.stderr
    done = tokzoo(*tokzoo.tiny, *SHORT, "--fresh", env=path)
    assert "1 cell run" in done.stdout
    made = [record["provenance"]["code"]["mean"] for record in tokzoo.records()]
    assert sorted(code["version"] for (code,) in made) == ["1.0", "2.0"]
    assert [code["stages"] for (code,) in made] == [["reconstruction"]] * 2


LAZY = METRIC.replace("Config, Mean", 'Config, "lazy_mean:Mean"')
PLUGIN, TARGET = LAZY[: LAZY.index("class Mean")] + LAZY[LAZY.index("@tokzoo") :], LAZY[: LAZY.index("@tokzoo")]


def test_code_that_is_edited_while_a_cell_waits_for_its_turn_is_not_said_to_have_made_its_result(tmp_path, monkeypatch):
    write_small_fashion(tmp_path / "fashion")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mean.py").write_text(PLUGIN)
    (tmp_path / "lazy_mean.py").write_text(TARGET)
    wait = StageCache.lock

    def edited(cache, stage):
        (tmp_path / "lazy_mean.py").write_text(TARGET.replace(".mean()", ".mean() + 9"))
        return wait(cache, stage)

    monkeypatch.setattr(StageCache, "lock", edited)
    bench, cells = in_process(tmp_path, *SHORT, plugins=[tmp_path / "mean.py"])
    (outcome,) = bench.run(cells)
    assert outcome.record.metrics["reconstruction.mean"].value < 1
    bench, cells = in_process(tmp_path, *SHORT, plugins=[tmp_path / "mean.py"])
    found = bench.find(cells[0])
    assert (found["tokenizer"].why, found["reconstruction"].why) == ("", "its code changed")


@pytest.mark.parametrize(("moment", "told"), [("tokenizer", "made its tokenizer anew"), ("reconstruction", "is gone")])
def test_a_result_that_another_run_replaced_is_not_taken_for_ones_own(tmp_path, moment, told):
    write_small_fashion(tmp_path / "fashion")
    bench, cells = in_process(tmp_path, "track.probe=null", "track.metrics=[psnr]", "track.tokenizer.steps=10")

    def replace(cell, event):
        if event.get("stage") == moment and event.get("state") == "done":
            (done,) = (tmp_path / "runs").glob(f"cache/tokenizer/*/{DONE}")
            write_checked(done, {**read_checked(done), "count": 7})

    (outcome,) = bench.run(cells, replace)
    assert outcome.record.status == "failed"
    assert told in outcome.record.failure.message
