import json

import pytest

from tokzoo.training.events import EventLog, read_lines


@pytest.fixture
def log_file(tmp_path):
    path = tmp_path / "events.jsonl"
    log = EventLog(path, 0)
    for step in (10, 20, 30):
        log.append({"step": step, "loss": 1 / step})
    return path


def steps(path):
    return [line["step"] for line in read_lines(path)]


def test_lines_are_json(log_file):
    assert [json.loads(line) for line in log_file.read_text().splitlines()] == read_lines(log_file)
    assert read_lines(log_file)[1] == {"step": 20, "loss": 0.05}


@pytest.mark.parametrize(("resumed_at", "kept"), [(0, []), (10, [10]), (20, [10, 20]), (30, [10, 20, 30])])
def test_continued_from_a_checkpoint(log_file, resumed_at, kept):
    EventLog(log_file, resumed_at).append({"step": resumed_at + 10})
    assert steps(log_file) == [*kept, resumed_at + 10]


@pytest.mark.parametrize("end", ['{"step": 40, "lo', "\0\0\0", '{"step": 40, "loss": "\udcff'])
def test_a_line_cut_short_is_dropped(log_file, end):
    with log_file.open("ab") as file:
        file.write(end.encode(errors="surrogateescape"))
    assert steps(log_file) == [10, 20, 30]
    EventLog(log_file, 30).append({"step": 40})
    assert steps(log_file) == [10, 20, 30, 40]


def test_no_file(tmp_path):
    assert read_lines(tmp_path / "none") == []
