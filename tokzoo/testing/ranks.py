"""The body of a check in two processes of one distributed run, as training on two devices has them.

Each process finds the component as its parent did: by kind, name and fields among the installed plugins and the file
plugins, all written to a file. They meet through a file too, so that no port is needed.
"""

import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from tokzoo.contracts.errors import describe
from tokzoo.contracts.specs import CodeSpec, ImageSpec, LatentSpec
from tokzoo.registry.plugins import load_registry
from tokzoo.testing.subject import Subject

RANKS = 2
SECONDS = 120
"""How long the processes may take before they count as stuck, waiting for each other."""

GRACE = 5
"""How long the others may take once one has failed."""

Body = Callable[[Subject], dict[str, Tensor]]


def on_ranks(body: Body, subject: Subject) -> list[dict[str, Tensor]]:
    """What ``body`` returns in each process, in the order of ranks.

    Args:
        body: a function of a module, found there by name; ``torch.distributed`` is initialised when it is called.
        subject: the component, found again in each process.

    Raises:
        AssertionError: a process fails or is stuck.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "task.json").write_text(json.dumps(_task(body, subject)))
        _run(place)
        return [torch.load(place / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


def _task(body: Body, subject: Subject) -> dict[str, Any]:
    fields = subject.slot.dump()
    return {
        "body": [body.__module__, body.__name__],
        "kind": subject.kind,
        "name": fields.pop("use"),
        "fields": fields,
        "files": [str(Path(file).resolve()) for file in subject.files],
        "image": dataclasses.asdict(subject.image),
        "latents": [dataclasses.asdict(latent) for latent in subject.latents],
        "codes": dataclasses.asdict(subject.codes),
    }


def _run(folder: Path) -> None:
    """Start the processes and wait for all, or for the first that fails."""
    # One thread each: they share the cores with each other and with whoever waits.
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processes = []
    for rank in range(RANKS):
        command = [sys.executable, "-m", "tokzoo.testing.ranks", str(rank), str(folder)]
        with (folder / f"{rank}.err").open("wb") as errors:
            processes.append(subprocess.Popen(command, stdout=errors, stderr=errors, env=surroundings))
    try:
        in_time = _wait(processes, SECONDS, lambda: any(process.returncode for process in processes))
        assert in_time, f"{RANKS} processes wait for each other: not done in {SECONDS} s"
        # One that failed may still be on its way out when another has already missed it.
        _wait(processes, GRACE, lambda: False)
        failed = [rank for rank, process in enumerate(processes) if process.returncode]
        assert not failed, _last_words(folder, failed)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _wait(processes: list[subprocess.Popen[bytes]], seconds: float, enough: Callable[[], bool]) -> bool:
    """Wait until all processes have ended, or it is ``enough``; False if neither comes in time."""
    deadline = time.monotonic() + seconds
    while None in [process.poll() for process in processes] and not enough():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _last_words(folder: Path, ranks: list[int]) -> str:
    """The last line of the process that failed first, for want of which the others fail."""
    rank = min(ranks, key=lambda rank: (folder / f"{rank}.err").stat().st_mtime_ns)
    lines = (folder / f"{rank}.err").read_text(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "ended without a word")
    return f"in process {rank} of {RANKS}: {last}"


def find(task: dict[str, Any]) -> Subject:
    """The subject a task describes.

    Raises:
        TokzooError: it is not among the installed plugins and the files.
    """
    files = tuple(Path(file) for file in task["files"])
    registry = load_registry(files)
    latents = tuple(LatentSpec(v["layout"], tuple(v["shape"]), v["channels"]) for v in task["latents"])
    image = ImageSpec(task["image"]["channels"], tuple(task["image"]["size"]))
    told = task["codes"]
    segments = told["segments"] and tuple(map(tuple, told["segments"]))
    codes = CodeSpec(tuple(told["shape"]), tuple(told["vocab"]), segments, told["vocab_by"])
    entry = registry.components.get(task["kind"], task["name"])
    shapes = {"image": image, "latents": latents, "codes": codes}
    return Subject.of(entry, registry.components, task["fields"], files=files, **shapes)


def main(rank: int, folder: Path) -> None:
    """One process: ``python -m tokzoo.testing.ranks RANK FOLDER``."""
    task = json.loads((folder / "task.json").read_text())
    module, name = task["body"]
    body: Body = getattr(importlib.import_module(module), name)
    dist.init_process_group("gloo", init_method=(folder / "meet").as_uri(), rank=rank, world_size=RANKS)
    try:
        torch.save(body(find(task)), folder / f"{rank}.pt")
    # Whatever a component raises is told in one line, before the others learn that this process is gone.
    except Exception as error:
        sys.stderr.write(f"{describe(error)}\n")
        sys.stderr.flush()
        sys.exit(1)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
