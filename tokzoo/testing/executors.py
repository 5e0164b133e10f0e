"""What an executor keeps to: every job runs, what its worker tells arrives, and one end is told of each."""

import json
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tokzoo.contracts.executors import ENDS, Event, Executor, Job
from tokzoo.data.event_file import EventFile
from tokzoo.testing.subject import Subject

STEPS = 3

FAILED = {"kind": "failed", "status": "failed", "stage": "tokenizer", "message": "no such luck"}

WORKER = """
import json, sys
path, *events = sys.argv[1:]
for event in events:
    with open(path, "a") as file:
        file.write(event + "\\n")
    if json.loads(event)["kind"] == "failed":
        sys.exit(1)
"""


@dataclass(frozen=True, slots=True)
class _Part(Job):
    """A job whose worker plays a part, and trains nothing."""

    told: tuple[str, ...] = ()

    def command(self, attached: bool = False) -> list[str]:
        """A worker that tells what is in the script."""
        return [sys.executable, "-c", WORKER, str(self.run / self.events), *self.told]


def _play(job: Job, observe: Callable[[Event], None], stopping: threading.Event) -> None:
    """The same part in this process."""
    assert isinstance(job, _Part)
    events = EventFile(job.run / job.events)
    for text in job.told:
        events.append(json.loads(text))
        observe(json.loads(text))


def _script(end: Event | None) -> list[Event]:
    steps: list[Event] = [{"kind": "step", "stage": "tokenizer", "step": step, "total": STEPS} for step in range(STEPS)]
    return [{"kind": "started"}, *steps, *([] if end is None else [end])]


GOOD, BAD, SILENT = _script({"kind": "finished"}), _script(FAILED), _script(None)


@contextmanager
def _jobs(scripts: Sequence[list[Event]]) -> Iterator[list[Job]]:
    with tempfile.TemporaryDirectory() as folder:
        jobs: list[Job] = []
        for number, script in enumerate(scripts):
            cell = f"cell{number}"
            (Path(folder) / cell).mkdir()
            told = tuple(map(json.dumps, script))
            files = (f"{cell}/job.json", f"{cell}/events.jsonl", f"{cell}/log.txt")
            jobs.append(_Part(Path(folder), cell, *files, threads=1, told=told))
        yield jobs


def _heard(subject: Subject, *scripts: list[Event]) -> dict[str, list[Event]]:
    """What the executor tells of jobs that play such parts, by cell."""
    executor: Executor = subject.build(len(scripts), "cpu")
    heard = defaultdict[str, list[Event]](list)
    with _jobs(scripts) as jobs:
        for cell, event in executor.run(jobs, _play):
            heard[cell].append(event)
    return dict(heard)


def threads_are_a_number(subject: Subject) -> None:
    """``threads`` is a whole number from 1 on, and the same for the same run."""
    found = [subject.build(4, "cpu").threads for _ in range(2)]
    assert type(found[0]) is int, f"threads is {found[0]!r}, not a whole number"
    assert found[0] >= 1, f"threads is {found[0]}: a cell cannot run"
    assert found[0] == found[1], f"threads is {found[0]} and then {found[1]}: no run would end as another"


def without_jobs_nothing_happens(subject: Subject) -> None:
    """Without jobs it tells nothing, and ends."""
    found = _heard(subject)
    assert not found, f"tells of {', '.join(found)} without a job"


def every_event_arrives_in_order(subject: Subject) -> None:
    """All that a worker tells arrives, once, in its order, under its cell's id."""
    found = _heard(subject, GOOD, GOOD, GOOD)
    assert found.keys() == {"cell0", "cell1", "cell2"}, f"tells of {', '.join(found)}, not of cell0, cell1, cell2"
    for cell, events in found.items():
        kinds = [event["kind"] for event in events]
        assert events == GOOD, f"{cell} told {len(GOOD)} events, and {len(events)} arrive: {', '.join(kinds)}"


def a_failed_job_stops_no_other(subject: Subject) -> None:
    """A job that fails is told as it was, and the others run."""
    found = _heard(subject, BAD, GOOD)
    assert found.get("cell0", [])[-1:] == [FAILED], f"a failure arrives as {found.get('cell0', [])[-1:]}"
    assert found.get("cell1", [])[-1:] == GOOD[-1:], "a job after one that failed does not finish"


def a_worker_that_dies_is_a_failed_job(subject: Subject) -> None:
    """A worker that ends without saying how is a failed job, with a stage and a message; the others run."""
    found = _heard(subject, SILENT, GOOD)
    ends = [event for event in found.get("cell0", []) if event["kind"] in ENDS]
    assert len(ends) == 1, f"of a worker that ends without a word, {len(ends)} ends are told"
    missing = {"status", "stage", "message"} - ends[0].keys()
    assert ends[0]["kind"] == "failed", f"a worker that ends without a word counts as {ends[0]['kind']}"
    assert not missing, f"of a worker that ends without a word, {', '.join(sorted(missing))} is not told"
    assert found.get("cell1", [])[-1:] == GOOD[-1:], "a job after one whose worker died does not finish"


CHECKS = (
    threads_are_a_number,
    without_jobs_nothing_happens,
    every_event_arrives_in_order,
    a_failed_job_stops_no_other,
    a_worker_that_dies_is_a_failed_job,
)
