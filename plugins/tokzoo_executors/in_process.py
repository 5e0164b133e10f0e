"""One cell after the other in this process: what a script or a notebook defines can be built nowhere else."""

import os
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import tokzoo
from tokzoo.contracts.executors import ENDS, Event, Events, Work
from tokzoo_executors.cores import available_cores


class InProcess(tokzoo.Executor):
    """Runs each job in a thread that only moves while its next event is waited for.

    So whoever handles events can use torch without changing what is trained.
    """

    @property
    def threads(self) -> int:
        """All cores."""
        return available_cores()

    def run(self, jobs: Sequence[tokzoo.Job], work: Work) -> Events:
        """Run jobs. Closed early, it has the running cell save and stop, and waits for that.

        Raises:
            TokzooError: another such run is under way.
        """
        if not jobs:
            return
        if not _ALONE.acquire(blocking=False):
            raise tokzoo.TokzooError("a run with components of this process is under way already; wait for its end")
        try:
            with _fresh_torch():
                for job in jobs:
                    for event in _in_thread(job, work):
                        yield job.cell, event
        finally:
            _ALONE.release()


_ALONE = threading.Lock()
"""Cells of one process share torch's generators and settings."""


def _in_thread(job: tokzoo.Job, work: Work) -> Iterator[Event]:
    """The events of a job that a thread runs; the thread waits at each until the next one is asked for."""
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    turn, stopping = threading.Semaphore(0), threading.Event()
    last: Event = {"kind": ""}
    message = "its thread ended without a word"

    def observe(event: Event) -> None:
        events.put(event)
        if not stopping.is_set():
            turn.acquire()

    def run() -> None:
        nonlocal message
        try:
            work(job, observe, stopping)
        except OSError as error:  # such as a full disk: what it had to tell could not be written
            message = str(error)
        finally:
            events.put(None)

    thread = threading.Thread(target=run, name=f"tokzoo {job.cell}", daemon=True)
    thread.start()
    try:
        while (event := events.get()) is not None:
            last = event
            yield event
            turn.release()
        if last["kind"] not in ENDS:
            stage = last.get("stage", "start")
            yield {"kind": "failed", "status": "failed", "stage": stage, "message": message}
    finally:
        stopping.set()
        turn.release()
        thread.join()


@contextmanager
def _fresh_torch() -> Iterator[None]:
    """Settings of torch as a new process has them; afterwards they and its generators are as they were."""
    import torch

    deterministic = torch.utils.deterministic
    enabled, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fill = deterministic.fill_uninitialized_memory
    threads, dtype, precision = torch.get_num_threads(), torch.get_default_dtype(), torch.get_float32_matmul_precision()
    cublas = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        try:
            torch.use_deterministic_algorithms(False)
            torch.set_default_dtype(torch.float32)
            torch.set_float32_matmul_precision("highest")
            # Of use where nothing has run on a GPU yet; see Job.environment.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            yield
        finally:
            torch.use_deterministic_algorithms(enabled, warn_only=warn)
            deterministic.fill_uninitialized_memory = fill
            torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)
            torch.set_float32_matmul_precision(precision)
            if cublas is None:
                os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
