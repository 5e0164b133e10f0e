"""The body of a check in two processes of one distributed run, as training on two devices has them.

Each process finds the component as its parent did: by kind, name and fields among the installed plugins and the file
plugins, all written to a file. They meet through a file too, so that no port is needed. They are forked from a server
that has imported torch and nothing of the parent's, so that a second check does not wait for imports again.
"""

import dataclasses
import importlib
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
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


def on_ranks(body: Body, subject: Subject, count: int = RANKS) -> list[dict[str, Tensor]]:
    """What ``body`` returns in each process, in the order of ranks.

    Args:
        body: a function of a module, found there by name; ``torch.distributed`` is initialised when it is called.
        subject: the component, found again in each process.
        count: how many processes.

    Raises:
        AssertionError: a process fails or is stuck.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "task.json").write_text(json.dumps(_task(body, subject)))
        _run(place, count)
        return [torch.load(place / f"{rank}.pt", weights_only=True) for rank in range(count)]


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


def _run(folder: Path, count: int) -> None:
    """Start the processes and wait for all, or for the first that fails."""
    able = "forkserver" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if able else "spawn")
    context.set_forkserver_preload([__name__])
    processes = [context.Process(target=work, args=(rank, count, folder), daemon=True) for rank in range(count)]
    try:
        with _nothing_run_again():
            for process in processes:
                process.start()
        in_time = _wait(processes, SECONDS, lambda: any(process.exitcode for process in processes))
        assert in_time, f"{count} processes wait for each other: not done in {SECONDS} s"
        # One that failed may still be on its way out when another has already missed it.
        _wait(processes, GRACE, lambda: False)
        failed = [rank for rank, process in enumerate(processes) if process.exitcode != 0]
        assert not failed, _last_words(folder, failed, count)
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join()


@contextmanager
def _nothing_run_again() -> Iterator[None]:
    """Within, a new process does not run the script that its parent is running."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _wait(processes: Sequence[BaseProcess], seconds: float, enough: Callable[[], bool]) -> bool:
    """Wait until all processes have ended, or it is ``enough``; False if neither comes in time."""
    deadline = time.monotonic() + seconds
    while any(process.is_alive() for process in processes) and not enough():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _last_words(folder: Path, ranks: list[int], count: int) -> str:
    """What the process said that failed first, for want of which the others fail."""
    said = [(path.stat().st_mtime_ns, rank) for rank in ranks if (path := folder / f"{rank}.err").exists()]
    if not said:
        return f"process {ranks[0]} of {count} ended without a word"
    rank = min(said)[1]
    return f"in process {rank} of {count}: {(folder / f'{rank}.err').read_text(errors='replace')}"


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


def work(rank: int, count: int, folder: Path) -> None:
    """What one process does."""
    torch.set_num_threads(1)  # it shares the cores with the others and with whoever waits
    task = json.loads((folder / "task.json").read_text())
    try:
        dist.init_process_group("gloo", init_method=(folder / "meet").as_uri(), rank=rank, world_size=count)
        module, name = task["body"]
        body: Body = getattr(importlib.import_module(module), name)
        torch.save(body(find(task)), folder / f"{rank}.pt")
    # Whatever a component raises is told in one line, before the others learn that this process is gone.
    except Exception as error:
        (folder / f"{rank}.err").write_text(describe(error))
        sys.exit(1)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
