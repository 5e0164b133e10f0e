"""On a terminal of any width every number is whole; what does not fit beside the rest comes in a second block."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from tokzoo.leaderboard.rows import build_tables
from tokzoo.leaderboard.terminal import print_tables


def printed(records, width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_tables(build_tables(records), console)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_a_number_is_never_cut_and_every_block_names_its_rows(seeds, width):
    text = printed([*seeds(20.0, 21.0, 22.0, name="a-name-of-some-length regularizers.l1.weight=0.5")], width)
    for whole in ("21.00 ± 2.48", "0.500", "160", "replicated", "[dB]"):
        assert whole in text
    assert "…" not in text
    blocks = [block for block in text.split("\n\n") if "───" in block]
    assert len(blocks) == {30: 5, 60: 2, 80: 1, 200: 1}[width]
    assert all("a-name-of-some-length" in block for block in blocks)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lines_are_no_longer_than_the_terminal(seeds, width):
    records = [*seeds(20.0, 21.0, name="x" * 90), *seeds(20.0, 20.4, name="b"), *seeds(9.0, name="c", protocol="q")]
    assert max(map(len, printed(records, width).splitlines())) <= width


def test_a_note_keeps_its_links_whole(record):
    from tokzoo.records.schema import Failure

    link = f"https://example.org/{'x' * 90}"
    failed = record().model_copy(update={"failure": Failure(stage="tokenizer", message=f"get it from {link} first")})
    assert link in printed([failed], 60)


def test_markup_in_names_is_text(record):
    evil = record(1.0, name="[red]x[/red] [link=http://a]y[/link]", seed=0)
    value = replace(evil.metrics["reconstruction.psnr"], label="[bold]PSNR", unit="[/x]")
    evil = evil.model_copy(update={"metrics": {"reconstruction.psnr": value}})
    evil = evil.model_copy(update={"track": evil.track.model_copy(update={"name": "[blink]toy"})})
    text = printed([evil], 200)
    for words in ("[red]x[/red] [link=http://a]y[/link]", "[bold]PSNR ↑ [[/x]]", "[blink]toy"):
        assert words in text


def test_tables_are_apart(record):
    other = record(1.0).track.model_copy(update={"name": "other@1"})
    text = printed([record(1.0), record(1.0).model_copy(update={"track": other})], 80)
    assert re.search(r"\n\ntoy@1", text)
