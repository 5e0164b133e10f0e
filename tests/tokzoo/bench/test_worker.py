"""A worker tells how it ended, whatever a component raises, and is not kept by what other processes do."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from conftest import in_process, write_small_fashion
from filelock import FileLock

from tokzoo.bench.job_file import JobFile, new_attempt
from tokzoo.bench.worker import Worker


class Odd(Exception):
    def __str__(self):
        raise ValueError("no words")


@pytest.fixture
def made(tmp_path):
    """A bench, a cell of it, and the job of that cell."""
    write_small_fashion(tmp_path / "fashion")
    bench, (cell,) = in_process(tmp_path)
    bench._describe(cell)
    return bench, cell, bench._prepare(cell, new_attempt(), {}, 1)


def events(job):
    return [json.loads(line) for line in (job.run / job.events).read_text().splitlines()]


def work(target, *arguments):
    """Have work done in a thread, where no signal raises KeyboardInterrupt."""
    thread = threading.Thread(target=target, args=arguments)
    thread.start()
    thread.join()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit("bye"), "SystemExit: bye"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (Odd(), "Odd: it cannot be printed (ValueError)"),
        (ValueError("\ud800"), r"ValueError: \ud800"),
    ],
    ids=["exits", "is interrupted", "cannot be printed", "half of a surrogate pair"],
)
def test_whatever_a_component_raises_is_a_failed_cell(made, monkeypatch, error, said):
    bench, cell, job = made

    def fail(worker):
        raise error

    monkeypatch.setattr(Worker, "_run", fail)
    work(bench._work, job, lambda event: None, threading.Event())
    end = events(job)[-1]
    assert (end["kind"], end["message"]) == ("failed", said)
    assert type(error).__name__ in (job.run / job.log).read_text()
    assert bench._end(cell, end, {}).record.failure.message.isprintable()


def test_one_that_waits_for_another_process_stops_when_it_is_asked(made):
    bench, cell, job = made
    answers = iter([False])  # before the stage begins
    stopping = SimpleNamespace(is_set=lambda: next(answers, True))
    worker = Worker(bench.run_folder, JobFile.read(job.run / job.instructions), bench.registry, stopping=stopping)
    folder = bench.folder(cell).run.stage("tokenizer", bench.folder(cell).read()["stages"]["tokenizer"])
    folder.mkdir(parents=True)
    with FileLock(folder / "lock"):
        work(worker.work)
    end = events(job)[-1]
    assert (end["kind"], end["stage"]) == ("interrupted", "tokenizer")
    assert f"stopped while another process had {folder / 'lock'}" in end["message"]


def test_one_that_still_loads_ends_at_once(made):
    _, _, job = made
    command = [sys.executable, "-m", "tokzoo.bench.worker", str(job.run), job.instructions]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=job.environment())
    while not (job.run / job.events).exists():
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == 130
    assert [event["kind"] for event in events(job)] == ["started", "interrupted"]
