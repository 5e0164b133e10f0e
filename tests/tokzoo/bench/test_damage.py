"""One byte of a run folder changed: whatever reads it ends in the same result, or says what is wrong."""

import json
import random
import shutil

import pytest
import torch

import tokzoo
from tests.conftest import in_process, write_small_fashion
from tests.tokzoo.bench.test_run import stop_at
from tokzoo.contracts.errors import TokzooError
from tokzoo.records.store import RecordStore
from tokzoo.training.checkpoint import Checkpoint

FLIPS = 4
"""Of each kind of file."""


class Runs:
    """A run folder as it was left, of which copies are damaged."""

    def __init__(self, folder, out):
        self.folder = folder
        self.out = out
        self.kinds = {}
        for path in sorted((folder / out).rglob("*")):
            if path.is_file() and path.stat().st_size:
                name = path.relative_to(folder / out)
                kind = (name.parts[1], name.name) if name.parts[0] == "cache" else (name.parts[0], name.suffix)
                self.kinds.setdefault(kind, []).append(name)

    def copies(self):
        """Copies with one byte changed, one after the other: which file it is in, and where."""
        for kind, names in self.kinds.items():
            draw = random.Random(f"{self.out} {kind}")
            for _ in range(FLIPS):
                shutil.rmtree(self.folder / "copy", ignore_errors=True)
                shutil.copytree(self.folder / self.out, self.folder / "copy")
                name = draw.choice(names)
                content = bytearray((self.folder / "copy" / name).read_bytes())
                at = draw.randrange(len(content))
                content[at] ^= draw.randrange(1, 256)
                (self.folder / "copy" / name).write_bytes(content)
                yield f"{name} byte {at}"


SHORT = ("track.probe=null", "track.metrics=[psnr]", "track.tokenizer.steps=20")


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A folder with a run that is finished, and one that was stopped; and the record they have to end in."""
    folder = tmp_path_factory.mktemp("short")
    write_small_fashion(folder / "fashion")
    bench, cells = in_process(folder, *SHORT, out="done")
    (outcome,) = bench.run(cells)
    bench, cells = in_process(folder, *SHORT, out="stopped")
    stop_at(bench, cells, 10)
    return folder, outcome.record.id


def again(short, out, observe=lambda event: None):
    """The outcome of running a damaged copy again, and what is told meanwhile."""
    folder, _ = short
    bench, cells = in_process(folder, *SHORT, out=out)
    told = []

    def hear(cell, event):
        told.append(event)
        observe(event)

    (outcome,) = bench.run(cells, hear)
    notes = [f"{event['stage']} {event['message']}" for event in told if event["kind"] == "note"]
    return outcome, [event["why"] for event in told if event.get("why")], notes


@pytest.fixture
def copy(short):
    """Copies a run folder, and gives what is found in it by a pattern."""
    folder, _ = short

    def copied(out, pattern):
        shutil.rmtree(folder / "copy", ignore_errors=True)
        shutil.copytree(folder / out, folder / "copy")
        (path,) = (folder / "copy").glob(pattern)
        return path

    return copied


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_an_edited_result_is_no_result(short, copy):
    path = copy("done", "cache/reconstruction/*/done.json")
    content = json.loads(path.read_text())
    content["values"]["reconstruction.psnr"] = 99.0
    path.write_text(json.dumps(content))
    outcome, why, _ = again(short, "copy")
    assert why == ["its result is damaged"]
    assert outcome.record.id == short[1]


def test_another_stage_s_result_is_none_of_this_one(short, copy):
    path = copy("done", "cache/reconstruction/*/done.json")
    path.rename(path.parent.with_name("0123456789abcdef"))
    (path.parent.parent / "0123456789abcdef").rename(path.parent / "x")
    tokenizer = next(path.parents[2].glob("tokenizer/*/done.json"))
    shutil.copy(tokenizer, path)
    outcome, why, _ = again(short, "copy")
    assert why == ["its result is damaged"]
    assert outcome.record.id == short[1]


def test_a_damaged_file_of_a_stage_is_told_and_made_again(short, copy):
    flip(copy("done", "cache/tokenizer/*/tokenizer.safetensors"), -1)
    next((short[0] / "copy" / "cache").glob("reconstruction/*/done.json")).unlink()
    outcome, _, (note,) = again(short, "copy")
    assert note.startswith("tokenizer its files in ")
    assert note.endswith("are damaged: it is run again")
    assert outcome.record.id == short[1]


def test_a_damaged_tokenizer_is_refused_with_what_mends_it(short, copy):
    path = copy("done", "cache/tokenizer/*/tokenizer.safetensors")
    flip(path, -1)
    for name in ("tiny", short[1]):
        with pytest.raises(
            TokzooError, match=r"its tokenizer is damaged: .*safetensors is not what was written"
        ) as error:
            tokzoo.load(name, out=short[0] / "copy")
        assert f"delete {path.parent}, and run it again" in str(error.value)
    with pytest.raises(TokzooError, match=r"not a whole file of weights \(it is not what was written\)"):
        tokzoo.load(path.parent)
    shutil.rmtree(path.parent)
    assert again(short, "copy")[0].record.id == short[1]
    tokzoo.load("tiny", out=short[0] / "copy")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("checkpoint.safetensors", "not a whole checkpoint (it is not what was written)"),
        ("execution.json", "it is not what was written"),
    ],
)
def test_a_damaged_checkpoint_is_told_and_never_gone_on_from(short, copy, name, told):
    path = copy("stopped", f"cache/tokenizer/*/{name}")
    if name == "execution.json":
        path.write_text(path.read_text().replace('"accumulate": 1', '"accumulate": 2'))
    else:
        flip(path, -1)
    outcome, _, (note,) = again(short, "copy")
    assert note == f"tokenizer begins anew: {path}: {told}"
    assert outcome.record.id == short[1]


def test_another_cells_checkpoint_is_never_gone_on_from(short, copy):
    path = copy("stopped", "cache/tokenizer/*/checkpoint.safetensors")
    checkpoint = Checkpoint.load(path)
    assert checkpoint.of == f"tokenizer/{path.parent.name}"
    checkpoint.of = "tokenizer/another"
    checkpoint.save(path)
    outcome, _, (note,) = again(short, "copy")
    assert note == f"tokenizer begins anew: {path}: another result's checkpoint"
    assert outcome.record.id == short[1]


def test_damaged_records_and_descriptions_are_written_again(short, copy):
    record = copy("done", "records/*.json")
    (cell,) = record.parents[1].glob("cells/*/cell.json")
    whole = [path.read_bytes() for path in (record, cell)]
    record.write_text(record.read_text().replace('"seed": 0', '"seed": 1'))
    flip(cell, 5)
    with pytest.raises(TokzooError, match=r"not a cell's description .*; run the cell again with tokzoo run"):
        tokzoo.load(str(cell.parent))
    again(short, "copy")
    assert [path.read_bytes() for path in (record, cell)] == whole


def blocked(short, path):
    """The failure of a cell, with a file in the way of a folder that it writes into."""
    shutil.rmtree(path)
    path.write_text("in the way")
    outcome, _, _ = again(short, "copy")
    assert outcome.record.status == "failed"
    assert "cannot be written" in outcome.record.failure.message
    return outcome.record.failure


def test_a_record_that_cannot_be_written_is_a_failed_cell_and_the_next_run_writes_it(short, copy):
    records = copy("done", "records")
    failure = blocked(short, records)
    assert failure.stage == "record"
    assert "run it again: all its stages are done" in failure.message
    records.unlink()
    assert again(short, "copy")[0].record.id == short[1]


def test_a_cell_that_cannot_be_described_is_a_failed_cell(short, copy):
    assert blocked(short, copy("stopped", "cells/*")).stage == "start"


def test_data_that_changes_while_a_cell_waits_fails_the_cell(short, copy):
    copy("stopped", "cells")
    images = short[0] / "fashion" / "train-images-idx3-ubyte"
    whole = images.read_bytes()

    def change(event):
        if event["kind"] == "started":
            flip(images, -1)

    try:
        outcome, _, _ = again(short, "copy", change)
    finally:
        images.write_bytes(whole)
    assert outcome.record.status == "failed"
    assert "a component or the data changed meanwhile; run it again" in outcome.record.failure.message


def test_an_error_of_letters_that_cannot_be_encoded_is_a_failed_cell(short, copy, monkeypatch):
    from tokzoo.bench import work

    copy("done", "cache/reconstruction/*/done.json").unlink()

    def fail(bench):
        raise ValueError("not a name: \udcff")

    monkeypatch.setattr(work, "reconstruction", fail)
    outcome, _, _ = again(short, "copy")
    assert outcome.record.failure.message == r"ValueError: not a name: \udcff"
    assert r"\udcff" in next((short[0] / "copy" / "cells").glob("*/log.txt")).read_text()


def run(folder, out, step=None):
    """The outcome of the tiny cell, or None where it is stopped at a step of the AR model's training."""
    bench, cells = in_process(folder, out=out)
    if step is not None:
        stop_at(bench, cells, step, "ar")
        return None
    (outcome,) = bench.run(cells)
    return outcome


def codes(folder, out):
    """Those of some images by the cell's tokenizer; None where it is refused."""
    images = torch.linspace(-1, 1, 8 * 32 * 32).view(8, 1, 32, 32)
    try:
        return tokzoo.load("tiny", out=folder / out).encode(images).tolist()
    except TokzooError:
        return None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a finished run, its record and its codes."""
    folder = tmp_path_factory.mktemp("damage")
    write_small_fashion(folder / "fashion")
    record = run(folder, "whole").record
    found = codes(folder, "whole")
    assert found is not None
    return folder, record, found


@pytest.mark.slow
@pytest.mark.parametrize("left", ["finished", "interrupted"])
def test_a_flipped_byte_anywhere_ends_in_the_same_record_and_codes_or_in_a_refusal(whole, left):
    folder, record, right = whole
    out = "whole" if left == "finished" else "half"
    if left == "interrupted":
        run(folder, out, step=20)
    flips = 0
    for where in Runs(folder, out).copies():
        flips += 1
        assert codes(folder, "copy") in (right, None), where
        assert run(folder, "copy").record.id == record.id, where
        (found,), problems = RecordStore(folder / "copy" / "records").read()
        assert (found.id, problems) == (record.id, []), where
        assert codes(folder, "copy") in (right, None), where
    assert flips >= {"finished": 100, "interrupted": 50}[left]
