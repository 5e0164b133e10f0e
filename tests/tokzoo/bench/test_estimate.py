"""How long stages will take comes from the same stages of other seeds, and nothing else is guessed."""

from dataclasses import replace

import pytest

from tests.conftest import in_process, write_small_fashion
from tokzoo.bench.cache import Result
from tokzoo.bench.estimate import Estimates
from tokzoo.bench.stages import stages_of


@pytest.fixture
def bench_and_cell(tmp_path):
    write_small_fashion(tmp_path / "fashion")
    bench, (cell,) = in_process(tmp_path)
    return bench, cell


def ran(bench, cell, seed, seconds, device="cpu", **observed):
    """Have the cell's tokenizer done with a seed."""
    stage = next(stage for stage in stages_of(replace(cell, seed=seed)) if stage.name == "tokenizer")
    bench.cache.path(stage).mkdir(parents=True)
    bench.cache.finish(stage, Result(execution={"device": device}, observed={"seconds": seconds, **observed}), [])


def test_it_is_the_median_of_the_seeds(bench_and_cell):
    bench, cell = bench_and_cell
    for seed, seconds in ((1, 10.0), (2, 12.0), (99, 50.0)):
        ran(bench, cell, seed, seconds)
    found = Estimates(bench.cache, "auto", [0]).of(cell)
    assert {name: took.seconds for name, took in found.items()} == {"tokenizer": 11.0}
    assert found["tokenizer"].devices == {"cpu"}
    assert Estimates(bench.cache, "auto", [99]).of(cell)["tokenizer"].seconds == 12.0


def test_what_ran_elsewhere_or_in_parts_or_was_other_work_tells_nothing(bench_and_cell, tmp_path):
    bench, cell = bench_and_cell
    ran(bench, cell, 1, 10.0, device="cuda")
    ran(bench, cell, 2, 10.0, resumed=True)
    assert Estimates(bench.cache, "cpu", [0]).of(cell) == {}
    ran(bench, cell, 3, 10.0)
    _, (other,) = in_process(tmp_path, "quantizer.codes=32")
    assert Estimates(bench.cache, "cpu", [0]).of(other) == {}
