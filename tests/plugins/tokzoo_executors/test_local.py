"""Processes on this machine; what every executor keeps to is in the conformance kit."""

import json
import sys

import pytest

import tokzoo
from tokzoo.contracts.errors import TokzooError
from tokzoo_executors import local
from tokzoo_executors.configs import LocalConfig

WORKER = """
import json, signal, sys, time
stopping = []
signal.signal(signal.SIGINT, lambda *_: stopping.append(True))
def tell(kind):
    with open(sys.argv[1], "a") as file:
        file.write(json.dumps({"kind": kind, "stage": "ar", "message": "stopped"}) + "\\n")
tell("started")
while not stopping:
    time.sleep(0.01)
tell("interrupted")
"""


class Patient(tokzoo.Job):
    """Its worker waits until it is asked to stop."""

    def command(self, attached=False):
        return [sys.executable, "-c", WORKER, str(self.run / self.events)]


def patient(folder, number):
    return Patient(folder, f"cell{number}", "job.json", f"events{number}.jsonl", "log.txt", 1)


def test_closed_early_workers_are_asked_to_save_and_waited_for(tmp_path):
    jobs = [patient(tmp_path, number) for number in range(3)]
    events = local.Local(LocalConfig(jobs=2), 3, "cpu").run(jobs, None)
    started = {next(events)[0] for _ in range(2)}
    events.close()
    assert started == {"cell0", "cell1"}
    for number in range(2):
        lines = (tmp_path / f"events{number}.jsonl").read_text().splitlines()
        assert [json.loads(line)["kind"] for line in lines] == ["started", "interrupted"]
    assert not (tmp_path / "events2.jsonl").exists()


class Brief(tokzoo.Job):
    """Its worker does one thing and tells nothing."""

    does = "pass"

    def command(self, attached=False):
        return [sys.executable, "-c", f"import os; {self.does}"]


class ByNumber(Brief):
    does = "os.kill(os.getpid(), 39)"


class Missing(Brief):
    def command(self, attached=False):
        return [str(self.run / "no such program")]


def test_each_worker_that_ends_without_a_word_is_told_with_the_reason_and_the_next_one_runs(tmp_path):
    (tmp_path / "full").write_text("")  # nothing can be written below a file, as on a full disk
    jobs = [
        ByNumber(tmp_path, "signal", "job.json", "events", "log.txt", 1),
        Missing(tmp_path, "missing", "job.json", "events", "log.txt", 1),
        Brief(tmp_path, "full", "job.json", "full/events", "log.txt", 1),
        Brief(tmp_path, "unlogged", "job.json", "events", "full/log.txt", 1),
    ]
    events = dict(local.Local(LocalConfig(jobs=1), 4, "cpu").run(jobs, None))
    assert {event["kind"] for event in events.values()} == {"failed"}
    told = {cell: event["message"] for cell, event in events.items()}
    assert told["signal"] == "the worker process was killed by signal 39"
    assert "its worker process cannot be started: [Errno 2] No such file" in told["missing"]
    assert told["full"] == "the worker process ended with exit code 0"
    assert "its worker process cannot be started" in told["unlogged"]


@pytest.mark.parametrize(("jobs", "cells", "threads"), [(None, 1, 8), (None, 3, 2), (None, 20, 1), (9, 1, 1)])
def test_cores_are_divided_by_what_was_asked_for(monkeypatch, jobs, cells, threads):
    monkeypatch.setattr(local, "available_cores", lambda: 8)
    assert local.Local(LocalConfig(jobs=jobs), cells, "cpu").threads == threads


def test_a_plugin_file_that_is_another_by_now_fails_the_job(tmp_path):
    from tokzoo.bench.job_file import JobFile, new_attempt

    path = tmp_path / "mine.py"
    path.write_text("")
    job = JobFile("cell", {}, {}, {str(path): "0" * 64}, "cpu", 1, 30.0, 1, False, new_attempt())
    with pytest.raises(TokzooError, match=r"mine.py: not here as it was when this job was made"):
        job.registry()
