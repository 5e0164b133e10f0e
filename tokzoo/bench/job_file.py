"""What a worker is told, as a file in the run folder. No torch here."""

import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.executors import Job
from tokzoo.data.checked_json import read_checked, write_checked
from tokzoo.data.files import file_hash, reading
from tokzoo.data.run_folder import RunFolder
from tokzoo.registry.plugins import Registry, load_registry


@dataclass(frozen=True, slots=True)
class JobFile:
    """One attempt at a cell.

    Attributes:
        cell: the cell's id.
        attempt: tells this attempt from others at the same cell, earlier ones and those of other commands.
        content: the dumped cell.
        stages: the keys of its stages, by name.
        plugins: file plugins to load, by path, with the SHA-256 of each.
        device: ``cpu``, ``cuda``, or ``auto``: the accelerator if there is one.
        threads: of the CPU, for this cell.
        accumulate: how many micro-batches a training batch is cut into.
        fresh: use nothing that other releases of the code made.
    """

    cell: str
    content: dict[str, Any]
    stages: dict[str, str]
    plugins: dict[str, str]
    device: str
    threads: int
    checkpoint_seconds: float
    accumulate: int
    fresh: bool
    attempt: str

    def write(self, run: RunFolder) -> Job:
        """Write it into the run folder."""
        cell = run.cell(self.cell)
        place = cell.instructions(self.attempt)
        write_checked(place, asdict(self))
        files = (place, cell.events(self.attempt), cell.log)
        instructions, events, log = (path.relative_to(run.path).as_posix() for path in files)
        return Job(run.path.absolute(), self.cell, instructions, events, log, self.threads)

    @classmethod
    def read(cls, path: Path) -> "JobFile":
        """Read what :meth:`write` wrote.

        Raises:
            TokzooError: it is gone or damaged.
        """
        with reading(path, "what a worker is told", ValueError, TypeError):
            return cls(**read_checked(path))

    def registry(self) -> Registry:
        """The plugins of this machine and the job's files.

        Raises:
            TokzooError: a file is not here, or is another than the one the job was made with.
        """
        for name, digest in self.plugins.items():
            path = Path(name)
            if not path.is_file() or file_hash(path) != digest:
                raise TokzooError(f"--plugin {path}: not here as it was when this job was made; run it again")
        return load_registry(map(Path, self.plugins))


def new_attempt() -> str:
    """A name that sorts by time and is nobody else's."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
