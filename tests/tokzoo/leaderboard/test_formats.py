"""The formats that leave the terminal: read back, each says the same as the plain table."""

import io
import json
import re

import pandas
import pytest

from tokzoo.leaderboard import formats
from tokzoo.leaderboard.rows import build_tables
from tokzoo.leaderboard.values import plain

EVIL = r"a_b|c & 100% #1 {x} $y$ \z [q](u) <b> ~^"


@pytest.fixture
def tables(seeds, record):
    """Two tables: one with a replicated row, one that is hard to write down, and one that failed."""
    records = [*seeds(20.0, 21.0, 22.0, name="a"), *seeds(-3.0, name=EVIL, protocol="q"), record(name="broken")]
    other = record(1.0).track.model_copy(update={"name": "other@1"})
    return [plain(table) for table in build_tables([*records, record(5.0).model_copy(update={"track": other})])]


def test_json_is_all_there_is(tables):
    assert json.loads(formats.json(tables)) == tables


def test_csv_is_read_back_by_pandas(tables):
    frame = pandas.read_csv(io.StringIO(formats.csv(tables)), dtype={"seed_ids": str})
    assert list(frame.track.unique()) == ["other@1", "toy@1"]
    (line,) = frame[(frame.recipe == "a") & (frame.metric == "reconstruction.psnr")].to_dict("records")
    row = tables[1]["rows"][0]
    assert (line["mean"], line["half_width"], line["n"]) == tuple(
        row["values"][0][k] for k in ("mean", "half_width", "n")
    )
    assert (line["label"], line["unit"], line["better"], line["protocol"]) == ("PSNR", "dB", "higher", "p")
    assert (line["rank_first"], line["seed_ids"], line["records"]) == (1, "0;1;2", ";".join(row["records"]))
    assert (line["code_bits"], line["deviation"]) == (160, 1)
    assert frame[frame.n == 1].deviation.isna().all(), "of one seed, which has no deviation, not 0"
    assert set(frame[frame.recipe == EVIL].protocol) == {"q", "u"}
    (failed,) = frame[frame.evidence == "failed"].to_dict("records")
    assert "no such luck" in failed["failures"]


def test_markdown_has_a_table_its_notes_its_protocols_and_its_records(tables):
    text = formats.markdown(tables)
    assert "### toy@1 (tttttttt)" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines[3:]} == {9}
    assert "| 1 | a | replicated | 3 | 21.00 ± 2.48 | – | 0.500 | 160 |" in lines
    assert r"a\_b\|c \& 100% \#1 \{x\} \$y\$ \\z \[q\](u) \<b\> \~^" in text
    assert "- PSNR†: reconstruction.psnr, protocol q:" in text
    assert "- † (PSNR): protocol q; without †: protocol p." in text
    assert f"- a: records {tables[1]['rows'][0]['records'][0]} (seed 0), " in text


def test_latex_escapes_what_means_something_to_it(tables):
    text = formats.latex(tables)
    assert r"a\_b\textbar{}c \& 100\% \#1 \{x\} \$y\$ \textbackslash{}z [q](u) \textless{}b\textgreater{} " in text
    assert r"1 & a & replicated & 3 & 21.00 $\pm$ 2.48 & -- & 0.500 & 160 \\" in text
    assert r"PSNR$^{\dagger}$ $\uparrow$ [dB]" in text
    assert "$-$3.00" in text
    assert f"% a: records {tables[1]['rows'][0]['records'][0]}" in text


def test_latex_is_balanced(tables):
    body = "\n".join(line for line in formats.latex(tables).splitlines() if not line.startswith("%"))
    depth = 0
    for sign in re.sub(r"\\[{}]", "", body):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0
    assert len(re.findall(r"(?<!\\)\$", body)) % 2 == 0
    for what in ("table", "tabular"):
        assert body.count(rf"\begin{{{what}}}") == body.count(rf"\end{{{what}}}") == 2
    columns = [len(match) for match in re.findall(r"\\begin\{tabular\}\{(\w+)\}", body)]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == set(columns)


@pytest.mark.parametrize("render", [formats.markdown, formats.csv, formats.latex, formats.json])
def test_no_text_of_others_moves_a_cursor(tables, render):
    tables[1]["protocols"]["p"] = {"\x1b[31m": "a\nb\u2028c\x07"}
    tables[1]["rows"][0]["failures"] = ["\x1b[2J"]
    text = render(tables)
    assert text.replace("\n", "").isprintable()
    assert "\nb" not in text
