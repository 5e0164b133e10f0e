"""Executors: a process a cell, some at a time, or all cells in this process; their events in one stream."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokzoo.bench.worker import Job, Worker
from tokzoo.contracts.errors import TokzooError
from tokzoo.registry.plugins import Registry

GRACE_SECONDS = 60.0
"""How long stopped workers have to write their checkpoints."""

Events = Generator[tuple[str, dict[str, Any]], None, None]
"""Pairs of a cell's id and an event of it; closing it stops what runs."""


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

    def run(self, jobs: dict[str, tuple[Job, Path]]) -> Events:
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


class InProcess:
    """Runs jobs in this process, one after the other, with the components of ``registry``.

    Each runs in a thread that only moves while its next event is waited for: whoever handles events can use torch
    without changing what is trained. What a component prints is seen where the user's own output is; a traceback goes
    to the cell's log.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def run(self, jobs: dict[str, tuple[Job, Path]]) -> Events:
        """As :meth:`LocalExecutor.run`. Closed early, it has the running cell save and stop, and waits for that.

        Raises:
            TokzooError: another such run is under way.
        """
        if not jobs:
            return
        if not _ALONE.acquire(blocking=False):
            raise TokzooError("a run with components of this process is under way already; wait for its end")
        try:
            with _fresh_torch():
                for cell, (job, log) in jobs.items():
                    yield cell, {"kind": "started"}
                    for event in _in_thread(job, log, self.registry):
                        yield cell, event
        finally:
            _ALONE.release()


_ALONE = threading.Lock()
"""Cells of one process share torch's generators and settings."""


def _in_thread(job: Job, log: Path, registry: Registry) -> Iterator[dict[str, Any]]:
    """The events of a job that a thread runs; the thread waits at each until the next one is asked for."""
    events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    turn = threading.Semaphore(0)

    def emit(kind: str, **about: Any) -> None:
        events.put({"kind": kind, **about})
        if not worker.stopping.is_set():
            turn.acquire()

    def work() -> None:
        try:
            worker.work()
        finally:
            events.put(None)

    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        worker = Worker(job, emit, registry, file)
        thread = threading.Thread(target=work, name=f"tokzoo {log.parent.name}", daemon=True)
        thread.start()
        try:
            while (event := events.get()) is not None:
                yield event
                turn.release()
        finally:
            worker.stopping.set()
            turn.release()
            thread.join()


@contextmanager
def _fresh_torch() -> Iterator[None]:
    """Settings of torch as a new process has them; afterwards they and its generators are as they were."""
    import torch

    deterministic = torch.utils.deterministic
    enabled, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fill = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    threads, dtype, precision = torch.get_num_threads(), torch.get_default_dtype(), torch.get_float32_matmul_precision()
    cublas = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        try:
            torch.use_deterministic_algorithms(False)
            torch.set_default_dtype(torch.float32)
            torch.set_float32_matmul_precision("highest")
            # Of use where nothing has run on a GPU yet, see LocalExecutor.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            yield
        finally:
            torch.use_deterministic_algorithms(enabled, warn_only=warn)
            deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
            torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)
            torch.set_float32_matmul_precision(precision)
            if cublas is None:
                os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
