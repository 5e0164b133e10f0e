"""The local executor: a process a cell, some at a time, their events in one stream."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokzoo.bench.worker import Job

GRACE_SECONDS = 60.0
"""How long stopped workers have to write their checkpoints."""


@dataclass(slots=True)
class Running:
    """A cell's process."""

    cell: str
    process: subprocess.Popen[str]
    last: dict[str, Any] = field(default_factory=dict)


class LocalExecutor:
    """Runs jobs in ``jobs`` processes. A process that dies is a failed cell; the others go on."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._events: queue.SimpleQueue[tuple[Running, dict[str, Any] | None]] = queue.SimpleQueue()
        self._running: list[Running] = []

    def run(self, jobs: dict[str, tuple[Job, Path]]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Run jobs (by cell id, with each cell's log file); yields (cell id, event).

        Every cell's last event is ``finished``, ``failed`` or ``interrupted``.
        """
        waiting = list(jobs.items())
        try:
            while waiting or self._running:
                while waiting and len(self._running) < self.jobs:
                    cell, (job, log) = waiting.pop(0)
                    self._running.append(self._start(cell, job, log))
                    yield cell, {"kind": "started"}
                running, event = self._events.get()
                if event is None:
                    event = self._ended(running)
                else:
                    running.last = event
                if event is not None:
                    yield running.cell, event
        finally:
            self._stop()

    def _start(self, cell: str, job: Job, log: Path) -> Running:
        log.parent.mkdir(parents=True, exist_ok=True)
        threads = str(job.threads)
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        # Threads that spin while they wait take the cores others need: on a busy machine that costs a factor of ten.
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        # What cuBLAS needs to be deterministic; it must be set before the process starts.
        environment.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        with log.open("a", encoding="utf-8") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "tokzoo.bench.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                text=True,
            )
        running = Running(cell, process)
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.write(job.dump() + "\n")
            process.stdin.flush()
        threading.Thread(target=self._listen, args=(running,), daemon=True).start()
        return running

    def _listen(self, running: Running) -> None:
        assert running.process.stdout is not None
        for line in running.process.stdout:
            with suppress(json.JSONDecodeError):
                self._events.put((running, json.loads(line)))
        running.process.wait()
        self._events.put((running, None))

    def _ended(self, running: Running) -> dict[str, Any] | None:
        """The end of a process: an event only if it ended without saying how."""
        self._running.remove(running)
        if running.last.get("kind") in {"finished", "failed", "interrupted"}:
            return None
        code = running.process.returncode
        how = f"was killed by signal {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        message = f"the worker process {how}"
        if code == -signal.SIGKILL:
            message += " (out of memory?)"
        return {"kind": "failed", "status": "failed", "stage": running.last.get("stage", "start"), "message": message}

    def _stop(self) -> None:
        """Ask what still runs to save and stop; then let it go."""
        for running in self._running:
            with suppress(ProcessLookupError):
                running.process.send_signal(signal.SIGINT)
        for running in self._running:
            try:
                running.process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                running.process.kill()
