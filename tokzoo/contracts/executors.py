"""Executors: how and where cells are run. No torch here.

A job is run by a worker, ``python -m tokzoo.bench.worker``, on any machine that sees the run folder. The worker appends
what happens to a file of events there, so whoever follows it need not be who started it.
"""

import os
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Event = dict[str, Any]
"""What a worker tells: its ``kind``, and more by kind.

The kinds are ``started``, ``stage``, ``step``, ``note`` (a ``message`` for a person), and those of :data:`ENDS`.
"""

ENDS = frozenset({"finished", "failed", "interrupted"})
"""Kinds of a job's last event. ``failed`` has ``status``, ``stage`` and ``message``; ``interrupted`` can be resumed."""


@dataclass(frozen=True, slots=True)
class Job:
    """One cell to run.

    Attributes:
        run: the run folder, as this machine sees it. All other paths are relative to it.
        cell: the cell's id.
        instructions: the file that tells the worker all the rest. It holds no path of this machine but those of plugin
            files, which a worker compares by their hash, and what recipe and track name.
        events: the file the worker appends its events to, a JSON line each (``tokzoo.data.event_file``).
        log: the file that what the worker prints belongs in.
        threads: of the CPU.
    """

    run: Path
    cell: str
    instructions: str
    events: str
    log: str
    threads: int

    def command(self, attached: bool = False) -> list[str]:
        """The worker's command. Attached, it ends at once when its standard input is closed."""
        command = [sys.executable, "-m", "tokzoo.bench.worker", str(self.run), self.instructions]
        return [*command, "--attached"] if attached else command

    def environment(self) -> dict[str, str]:
        """The environment the worker must have: what is set here must be set before its process starts."""
        threads = str(self.threads)
        # Threads that spin while they wait take the cores others need: on a busy machine that costs a factor of ten.
        # And cuBLAS is deterministic only with a workspace of its own.
        ours = {"OMP_WAIT_POLICY": "PASSIVE", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
        # The log is UTF-8 wherever it is written, and no print of a component fails.
        log = {"PYTHONIOENCODING": "utf-8:backslashreplace"}
        return {**ours, **os.environ, **log, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}


Work = Callable[[Job, Callable[[Event], None], threading.Event], None]
"""Does a job in this process: it calls back with each event, and saves and stops once it is asked to."""

Events = Generator[tuple[str, Event], None, None]
"""Pairs of a cell's id and an event of it."""


class Executor(ABC):
    """Runs cells.

    Args:
        config: its config.
        cells: how many cells are asked for, done ones included: a resumed run divides the cores as the first one did.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    def __init__(self, config: Any, cells: int, device: str) -> None:
        self.config = config
        self.cells = cells
        self.device = device

    @property
    @abstractmethod
    def threads(self) -> int:
        """How many threads of the CPU each cell has. Their number decides the last bits of results."""

    @abstractmethod
    def run(self, jobs: Sequence[Job], work: Work) -> Events:
        """Run jobs, and yield what happens to them: of each job, last of all one event of :data:`ENDS`.

        A worker that dies without a word is a failed job, and stops no other. Closing the generator stops what must not
        outlive the command; an executor whose jobs may go on elsewhere leaves them be.

        Args:
            jobs: each of another cell.
            work: does a job in this process, for an executor that starts no worker.
        """
