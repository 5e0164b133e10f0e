"""A tokenizer by the name of whatever it is part of."""

import os

import pytest

from tokzoo.contracts.errors import TokzooError
from tokzoo.data.run_folder import RunFolder
from tokzoo.records.finder import find_ar, find_tokenizer
from tokzoo.records.schema import make_record
from tokzoo.records.store import RecordStore


def trained(runs, key, age=0):
    """A finished tokenizer stage, so many seconds old."""
    RunFolder(runs).write_result("tokenizer", key, {})
    folder = RunFolder(runs).stage("tokenizer", key)
    os.utime(folder / "done.json", (1e9 - age, 1e9 - age))
    return folder


def cell(runs, name, key, **about):
    RunFolder(runs).cell(name).write(about, {"tokenizer": key})


def test_by_its_cell(tmp_path):
    runs = tmp_path / "runs"
    for name, key in (("tiny--s0", "abc"), ("tiny--s1", "def")):
        cell(runs, name, key)
    with pytest.raises(TokzooError, match=r"cell tiny--s0: its tokenizer is not in .*; run it"):
        find_tokenizer("tiny--s0", runs)
    folder = trained(runs, "abc")
    assert find_tokenizer("tiny--s0", runs) == folder
    assert find_tokenizer(str(runs / "cells" / "tiny--s0"), tmp_path / "elsewhere") == folder
    assert find_tokenizer(str(folder), runs) == folder
    with pytest.raises(TokzooError, match="did you mean 'tiny--s0'"):
        find_tokenizer("tiny-s0", runs)
    (runs / "cells" / "tiny--s1" / "cell.json").write_text("[")
    with pytest.raises(TokzooError, match="not a cell's description"):
        find_tokenizer("tiny--s1", runs)
    (folder / "done.json").write_text((folder / "done.json").read_text().replace("abc", "abd"))
    with pytest.raises(TokzooError, match=r"abc/done\.json: not the result of this stage .*; run the cell again"):
        find_tokenizer("tiny--s0", runs)


def test_an_ar_model_by_its_folder_or_its_cell(tmp_path):
    folder = tmp_path / "cache" / "ar" / "abc"
    RunFolder(tmp_path).cell("tiny--s0").write({}, {"tokenizer": "t", "ar": "abc"})
    with pytest.raises(TokzooError, match="cell tiny--s0: its AR model is not in"):
        find_ar("tiny--s0", tmp_path)
    RunFolder(tmp_path).write_result("ar", "abc", {})
    for name in ("tiny--s0", str(tmp_path / "cells" / "tiny--s0"), str(folder)):
        assert find_ar(name, tmp_path) == folder
    cell(tmp_path, "continuous--s0", "t")
    with pytest.raises(TokzooError, match="cell continuous--s0: has no AR model"):
        find_ar("continuous--s0", tmp_path)
    with pytest.raises(TokzooError, match="did you mean 'tiny--s0'"):
        find_ar("tiny-s0", tmp_path)


def test_by_its_recipe_the_newest_of_its_seeds(tmp_path):
    for seed, age in ((0, 10), (1, 5), (2, None)):
        cell(tmp_path, f"a--s{seed}", f"a{seed}", recipe={"name": "a"}, track_id="t@1", seed=seed)
        if age:
            trained(tmp_path, f"a{seed}", age)
    assert find_tokenizer("a", tmp_path).name == "a1"
    cell(tmp_path, "b--s0", "b0", recipe={"name": "b"}, track_id="t@1", seed=0)
    with pytest.raises(TokzooError, match="cell b--s0: its tokenizer is not in"):
        find_tokenizer("b", tmp_path)
    cell(tmp_path, "a--u", "other", recipe={"name": "a"}, track_id="u@1", seed=0)
    trained(tmp_path, "other")
    with pytest.raises(TokzooError, match=r"tokenizer 'a': .* more than their seed; name one: a--s1, a--u"):
        find_tokenizer("a", tmp_path)


def test_by_its_record(tmp_path):
    runs = tmp_path / "runs"
    folder = trained(runs, "abc")
    named = {"name": "x", "hash": "x", "content": {}}
    about = {"status": "ok", "track": named, "recipe": named, "probe": None, "shapes": {}, "versions": {}}
    rest = {"execution": {}, "not_applicable": [], "metrics": {}, "protocols": {}}
    ids = {}
    # More records than first letters: some share theirs.
    for seed in range(17):
        record = make_record(seed=seed, stages={"tokenizer": f"key{seed}" if seed else "abc"}, **about, **rest)
        RecordStore(runs / "records").add(record)
        ids.setdefault(record.id[0], []).append(record.id)
        if seed == 0:
            assert find_tokenizer(record.id, runs) == folder
            assert find_tokenizer(record.id[:6], runs) == folder
    with pytest.raises(TokzooError, match=f"record {record.id}: its tokenizer is not in"):
        find_tokenizer(record.id, runs)
    first, several = max(ids.items(), key=lambda item: len(item[1]))
    with pytest.raises(TokzooError, match=f"tokenizer '{first}': begins the ids of {', '.join(sorted(several))}"):
        find_tokenizer(first, runs)


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "{}", '{"stages": []}', '{"stages": {"tokenizer": []}, "recipe": []}', "[" * 9999]
)
def test_a_cell_that_cannot_be_read_hides_no_other(tmp_path, text):
    (tmp_path / "cells" / "bad").mkdir(parents=True)
    (tmp_path / "cells" / "bad" / "cell.json").write_text(text)
    cell(tmp_path, "a--s0", "a0", recipe={"name": "a"}, seed=0)
    trained(tmp_path, "a0")
    assert find_tokenizer("a", tmp_path).name == "a0"
    with pytest.raises(TokzooError, match="bad"):
        find_tokenizer("bad", tmp_path)
