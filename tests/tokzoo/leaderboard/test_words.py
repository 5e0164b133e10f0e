import pytest

from tokzoo.leaderboard.rows import build_tables
from tokzoo.leaderboard.values import plain
from tokzoo.leaderboard.words import heading, interval, number, rank, words


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
    ("better", "mark", "text"),
    [("higher", "", "PSNR ↑ [dB]"), ("lower", "†", "PSNR† ↓ [dB]"), (None, "††", "PSNR†† [dB]")],
)
def test_headings_say_unit_direction_and_protocol(better, mark, text):
    assert heading({"label": "PSNR", "unit": "dB", "better": better, "mark": mark}) == text


def test_a_row_says_its_rank_evidence_seeds_and_numbers(seeds, record):
    (table,) = build_tables([*seeds(20.0, 21.0, 22.0, name="a"), *seeds(10.0, name="b"), record(name="broken")])
    shown = words(plain(table))
    assert list(shown.headings) == ["rank", "recipe", "evidence", "seeds", "PSNR ↑ [dB]", "usage", "code bits"]
    assert shown.rows[0] == ["1", "a", "replicated", "3", "21.00 ± 2.48", "0.500", "160"]
    assert shown.rows[2] == ["·", "broken", "failed", "0", "–", "–", "160"]
