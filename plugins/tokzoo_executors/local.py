"""One process per cell on this machine, some at a time."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import tokzoo
from tokzoo.contracts.executors import ENDS, Event, Events, Work
from tokzoo.data.event_file import EventFile
from tokzoo_executors.cores import available_cores

GRACE_SECONDS = 60.0
"""How long stopped workers have to write their checkpoints."""

POLL_SECONDS = 0.05
"""How often workers are looked after."""


@dataclass(slots=True)
class _Running:
    """A cell's process, and what was heard of it last."""

    cell: str
    process: subprocess.Popen[bytes]
    events: EventFile
    kind: str = ""
    stage: str = "start"

    def heard(self) -> list[Event]:
        """Its new events."""
        events = self.events.read()
        for event in events:
            self.kind, self.stage = event["kind"], event.get("stage", self.stage)
        return events


class Local(tokzoo.Executor):
    """Runs jobs in processes of their own, which end with this one. One that dies is a failed cell; others go on."""

    @property
    def threads(self) -> int:
        """The cores, divided among the cells that run at a time."""
        return max(1, available_cores() // self._at_a_time)

    @property
    def _at_a_time(self) -> int:
        cores = 1 if shutil.which("nvidia-smi") and self.device != "cpu" else available_cores()
        jobs: int | None = self.config.jobs
        return jobs or max(1, min(self.cells, cores))

    def run(self, jobs: Sequence[tokzoo.Job], work: Work) -> Events:
        """Run jobs. Closed early, it has those that run save and stop, and waits for that."""
        waiting, running = list(jobs), list[_Running]()
        try:
            while waiting or running:
                while waiting and len(running) < self._at_a_time:
                    job = waiting.pop(0)
                    try:
                        running.append(_start(job))
                    except OSError as error:
                        yield job.cell, _failed("start", f"its worker process cannot be started: {error}")
                quiet = True
                for each in list(running):
                    ended = each.process.poll() is not None  # before its last events are read
                    for event in each.heard():
                        quiet = False
                        yield each.cell, event
                    if ended:
                        quiet = False
                        running.remove(each)
                        yield from _last_words(each)
                if quiet:
                    time.sleep(POLL_SECONDS)
        finally:
            _stop(running)


def _start(job: tokzoo.Job) -> _Running:
    log = job.run / job.log
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            job.command(attached=True),
            stdin=subprocess.PIPE,  # never written to; it closes when this process ends, however it does
            stdout=output,
            stderr=output,
            env=job.environment(),
        )
    return _Running(job.cell, process, EventFile(job.run / job.events))


def _last_words(running: _Running) -> Iterator[tuple[str, Event]]:
    """The end of a process: an event only if it ended without saying how."""
    if running.kind in ENDS:
        return
    code = running.process.returncode
    how = f"was killed by signal {_name_of(-code)}" if code < 0 else f"ended with exit code {code}"
    message = f"the worker process {how}"
    if code == -signal.SIGKILL:
        message += " (out of memory?)"
    event = _failed(running.stage, message)
    with suppress(OSError):  # the disk may be full, which may be why it ended
        running.events.append(event)
    yield running.cell, event


def _failed(stage: str, message: str) -> Event:
    return {"kind": "failed", "status": "failed", "stage": stage, "message": message}


def _name_of(number: int) -> str:
    """Of a signal; those for real time have numbers alone."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _stop(running: Sequence[_Running]) -> None:
    """Ask what still runs to save and stop; then let it go."""
    for each in running:
        with suppress(ProcessLookupError):
            each.process.send_signal(signal.SIGINT)
    for each in running:
        try:
            each.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            each.process.kill()
