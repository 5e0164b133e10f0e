import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from tokzoo.leaderboard.render import heading, interval, number, rank, to_json, to_rich
from tokzoo.leaderboard.rows import build_tables


def printed(table):
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(to_rich(to_json(table)))
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(21.456, 2, "21.46"), (0.5, 3, "0.500"), (9999, 0, "9999"), (12345, 0, "12 k"), (1234567, 0, "1.23 M"),
     (-2345678, 0, "-2.35 M"), (12345.6, 1, "12345.6")],
)  # fmt: skip
def test_numbers_are_short(value, digits, text):
    assert number(value, digits) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        ({"mean": 21.456, "half_width": None}, "21.46"),
        ({"mean": 21.456, "half_width": 0.249}, "21.46 ± 0.25"),
        ({"mean": 3.0, "half_width": 0.0}, "3.00"),
    ],
)
def test_an_interval_is_shown_where_there_is_one(value, text):
    assert interval(value, 2) == text


def test_ranks_ties_and_none():
    assert [rank(span) for span in (None, [2, 2], [1, 3])] == ["·", "2", "1–3"]


@pytest.mark.parametrize(
    ("better", "variant", "text"),
    [("higher", 0, "PSNR ↑ [dB]"), ("lower", 1, "PSNR† ↓ [dB]"), (None, 2, "PSNR†† [dB]")],
)
def test_headings_say_unit_direction_and_protocol(better, variant, text):
    assert heading({"label": "PSNR", "unit": "dB", "better": better, "variant": variant}) == text


def test_a_table_on_a_terminal(seeds, record):
    (table,) = build_tables([*seeds(20.0, 21.0, 22.0, name="a"), *seeds(10.0, name="b"), record(name="broken")])
    lines = printed(table).splitlines()
    (first,) = [line for line in lines if " a " in line]
    assert [cell.strip() for cell in first.split("│")[1:-1]] == [
        "1",
        "a",
        "replicated",
        "3",
        "21.00 ± 2.48",
        "0.500",
        "160",
    ]
    (broken,) = [line for line in lines if "broken" in line]
    assert [cell.strip() for cell in broken.split("│")[1:-1]] == ["·", "broken", "failed", "0", "–", "–", "160"]
    assert "toy@1  (tttttttt)" in lines[0]


def test_markup_in_names_is_text(record):
    evil = record(1.0, name="[red]x[/red] [link=http://a]y[/link]", seed=0)
    value = replace(evil.metrics["reconstruction.psnr"], label="[bold]PSNR", unit="[/x]")
    evil = evil.model_copy(update={"metrics": {"reconstruction.psnr": value}})
    evil = evil.model_copy(update={"track": evil.track.model_copy(update={"name": "[blink]toy"})})
    (table,) = build_tables([evil])
    text = printed(table)
    for words in ("[red]x[/red] [link=http://a]y[/link]", "[bold]PSNR ↑ [[/x]]", "[blink]toy"):
        assert words in text


def test_a_table_for_machines(seeds, record):
    (table,) = build_tables([*seeds(20.0, 21.0, 22.0, name="a"), record(name="broken")])
    data = json.loads(json.dumps(to_json(table), allow_nan=False))
    assert (data["track"], data["main"]) == ("toy@1", "reconstruction.psnr")
    first, broken = data["rows"]
    assert first["rank"] == [1, 1]
    assert first["seeds"] == [0, 1, 2]
    assert first["evidence"] == "replicated"
    assert data["columns"][0] == {
        "metric": "reconstruction.psnr",
        "protocol": "p",
        "label": "PSNR",
        "unit": "dB",
        "better": "higher",
        "digits": 2,
        "variant": 0,
    }
    assert first["values"][0] == {
        "mean": 21.0,
        "n": 3,
        "deviation": 1.0,
        "half_width": pytest.approx(2.484, abs=1e-3),
    }
    assert broken["values"] == [None, None]
    assert broken["failures"] == ["broken, seed 0: failed in tokenizer: no such luck"]
    assert data["notes"] == broken["failures"]
