"""What was run, and which of it a name means."""

import os
import re

import pytest

from tokzoo.contracts.errors import TokzooError
from tokzoo.data.run_folder import RunFolder
from tokzoo.records.runs import FEW, MANY, Runs
from tokzoo.records.schema import Failure, MetricValue, Named
from tokzoo.records.store import RecordStore


@pytest.fixture
def write(tmp_path, record):
    """A function that writes a record a second later than the one before."""
    seconds = iter(range(1_000_000_000, 2_000_000_000))

    def write(**changes):
        made = record(**changes)
        path = RecordStore(tmp_path / "records").add(made)
        now = next(seconds)
        os.utime(path, (now, now))
        return made

    return write


def psnr(value):
    return {
        "reconstruction.psnr": MetricValue(
            value=value, label="PSNR", unit="dB", better="higher", digits=2, protocol="abc"
        )
    }


def told(out, name):
    with pytest.raises(TokzooError) as error:
        Runs(out).named(name)
    return str(error.value)


def test_six_records_of_one_name_are_told_apart(write, tmp_path):
    made = [write(metrics=psnr(21.5 + i)) for i in range(3)]
    made += [write(seed=1), write(track=Named(name="other@1", hash="o", content={}))]
    failure = Failure(stage="tokenizer", message="no")
    made.append(write(status="failed", metrics={}, protocols={}, failure=failure))
    first, *lines = told(tmp_path, "mine").splitlines()
    assert first == f"run 'mine' under {tmp_path}: 6 records, the newest last; name one by its id"
    assert [line.split()[0] for line in lines] == [each.id for each in made]
    assert len({line[20:39] for line in lines}) == 6, "each has its time"
    ends = [re.sub(r".*:\d\d  mine on ", "", line) for line in lines]
    assert ends == [
        *(f"toy@1, seed 0: ok, PSNR {value} dB" for value in ("21.50", "22.50", "23.50")),
        "toy@1, seed 1: ok, PSNR 21.50 dB",
        "other@1, seed 0: ok",
        "toy@1, seed 0: failed in tokenizer",
    ]
    assert Runs(tmp_path).named(made[2].id[:8]).record.id == made[2].id


def test_many_records_of_one_name_are_told_by_their_newest(write, tmp_path):
    made = [write(seed=seed) for seed in range(MANY + 3)]
    first, *lines = told(tmp_path, "mine").splitlines()
    assert first.endswith(f"{MANY + 3} records, the newest last; name one by its id; the newest {MANY} are")
    assert [line.split()[0] for line in lines] == [each.id for each in made[3:]]


def test_where_nothing_is_called_so_it_is_told_what_there_is(write, tmp_path):
    assert "there are no records; make some with tokzoo run, or name another --out" in told(tmp_path, "mine")
    for number in range(FEW + 2):
        write(recipe=Named(name=f"recipe {number}", hash="r", content={}))
    assert told(tmp_path, "recipe_3").endswith("no record, recipe or cell is called so; did you mean 'recipe 3'?")
    for name in ("other", ""):
        assert told(tmp_path, name).endswith(
            "called so; there is recipe 6, recipe 5, recipe 4, recipe 3, recipe 2 and 2 more (tokzoo runs list)"
        )


def test_a_run_is_found_by_its_cell_and_a_cell_without_a_record_is_told(write, tmp_path):
    write()
    RunFolder(tmp_path).cell("mine--s0").write({}, {"tokenizer": "k"})
    RunFolder(tmp_path).cell("mine--s1").write({}, {"tokenizer": "other"})
    runs = Runs(tmp_path)
    assert [folder.name for folder in runs.named("mine--s0").folders] == ["mine--s0"]
    assert runs.named(str(tmp_path / "cells" / "mine--s0")) is runs.named("mine")
    assert [cell.name for cell in runs.unfinished] == ["mine--s1"]
    assert "this cell has no record yet" in told(tmp_path, "mine--s1")
