"""One complete table of plain values: what is in it, and how rows and columns of it are chosen."""

import json

import pytest

from tokzoo.contracts.errors import TokzooError
from tokzoo.leaderboard.rows import build_tables
from tokzoo.leaderboard.values import choose, plain

PSNR, USAGE = "reconstruction.psnr", "codes.usage"


def chosen(records, **how):
    return [plain(table) for table in choose(build_tables(records), **how)]


def test_a_table_for_machines(seeds, record):
    ok = seeds(20.0, 21.0, 22.0, name="a")
    (data,) = chosen([*ok, record(name="broken")])
    assert data == json.loads(json.dumps(data, allow_nan=False))
    assert (data["track"], data["main"]) == ("toy@1", PSNR)
    first, broken = data["rows"]
    assert (first["rank"], first["seeds"], first["evidence"]) == ([1, 1], [0, 1, 2], "replicated")
    assert first["records"] == [each.id for each in ok]
    about = {
        "metric": PSNR,
        "protocol": "p",
        "label": "PSNR",
        "unit": "dB",
        "better": "higher",
        "digits": 2,
        "mark": "",
    }
    assert data["columns"][0] == about
    assert data["protocols"] == {"p": {}, "u": {}}
    assert first["values"][0] == {"mean": 21.0, "n": 3, "deviation": 1.0, "half_width": pytest.approx(2.484, abs=1e-3)}
    assert (broken["values"], broken["records"]) == ([None, None], [])
    assert broken["failures"] == ["broken, seed 0: failed in tokenizer: no such luck"]
    assert data["notes"] == broken["failures"]


def test_rows_are_chosen_by_name_and_keep_their_ranks(seeds):
    records = [*seeds(20.0, 20.1, name="a"), *seeds(15.0, 15.1, name="b"), *seeds(10.0, 10.1, name="big")]
    (data,) = chosen(records, recipe="b*")
    assert [(row["recipe"], row["rank"]) for row in data["rows"]] == [("b", [2, 2]), ("big", [3, 3])]
    assert data["notes"] == ["2 of 3 rows; ranks are among all of them."]
    with pytest.raises(TokzooError, match=r"--recipe bigg: no row of that name; did you mean 'big'\?"):
        chosen(records, recipe="bigg")


def test_columns_are_chosen_by_metric_in_the_order_wanted(record):
    records = [record(1.0, track={"columns": [PSNR]})]
    assert [column["metric"] for column in chosen(records)[0]["columns"]] == [PSNR]
    (data,) = chosen(records, columns=["codes.*", "*"])
    assert [column["metric"] for column in data["columns"]] == [USAGE, PSNR]
    (data,) = chosen(records, columns=[USAGE])
    assert data["notes"] == ["Sorted by PSNR (reconstruction.psnr), which is not shown."]


def test_columns_are_chosen_by_their_headings_too(seeds):
    records = [*seeds(20.0, name="a"), *seeds(19.0, name="b", protocol="q")]
    for names in (["usage", "psnr"], ["Codes.Usage", "PSNR ↑ [dB]"]):
        (data,) = chosen(records, columns=names)
        assert [column["metric"] for column in data["columns"]] == [USAGE, PSNR, PSNR]
    assert [column["protocol"] for column in chosen(records, columns=["PSNR†"])[0]["columns"]] == ["q"]
    for name, near in (("codes.usag", "codes.usage"), ("Usge", "usage"), ("PSNRR", "psnr")):
        with pytest.raises(TokzooError) as error:
            chosen(records, columns=[name])
        assert str(error.value) == (
            f"--columns {name}: nothing of that name was measured; a column is named by its metric id or its "
            f"heading; did you mean '{near}'?"
        )


def test_notes_say_what_a_rank_is_and_why_there_is_none(seeds):
    records = [*seeds(20.0, 21.0, name="a"), *seeds(20.2, 21.1, name="b"), *seeds(5.0, name="lone")]
    notes = chosen(records)[0]["notes"]
    assert any("one seed is sorted, not ranked" in note for note in notes)
    assert any("is a tie" in note for note in notes)


def test_what_is_ranked_by_another_protocol_than_the_first_is_told(seeds):
    records = [*seeds(20.0, 20.1, name="a"), *seeds(9.0, 9.1, name="b", protocol="q")]
    records += seeds(8.0, 8.1, name="c", protocol="q")
    assert "Ranked by PSNR†: most rows were measured under that protocol." in chosen(records)[0]["notes"]
