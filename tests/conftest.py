"""What tests share: running the command line as a user does, on few but real images."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
RECIPES = Path(__file__).parent / "data" / "recipes"
# Before torch is imported: test processes share the cores, and threads that wait for each other would spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# No test fetches weights; without this, each of them would wait for a network that may not be there.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# What tests and benchmarks share beside this file is imported by its bare name.
sys.path.append(str(Path(__file__).parent))

FASHION = ROOT / "plugins" / "tokzoo_data" / "fashion"


def write_small_fashion(folder: Path) -> None:
    """The first images of the embedded Fashion-MNIST as original idx files: 400 to learn from, 100 to judge by."""
    folder.mkdir(parents=True)
    for source, name, count in (("train", "train", 400), ("val", "t10k", 100)):
        with np.load(FASHION / f"{source}.npz") as arrays:
            for array, kind in ((arrays["images"][:count], "images-idx3"), (arrays["labels"][:count], "labels-idx1")):
                header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
                (folder / f"{name}-{kind}-ubyte").write_bytes(header + array.tobytes())


class CommandLine:
    """Runs ``python -m tokzoo`` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_small_fashion(folder / "fashion")
        track = ["--track", str(RECIPES / "tiny@1.yaml"), "track.dataset.root=fashion"]
        self.tiny = ["run", str(RECIPES / "tiny.yaml"), *track, "--device", "cpu", "--jobs", "2"]
        """The arguments of a run that goes through every stage in seconds."""

    def __call__(self, *arguments: str, code: int = 0, env: dict[str, str] | None = None):
        done = subprocess.run(
            [sys.executable, "-m", "tokzoo", *arguments],
            cwd=self.folder,
            env={**os.environ, "COLUMNS": "200", **(env or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stdout + done.stderr
        return done

    def start(self, *arguments: str, **options):
        """The command as a running process, in a session of its own."""
        command = [sys.executable, "-m", "tokzoo", *arguments]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, cwd=self.folder, start_new_session=True, **{**quiet, **options})

    def records(self, out: str = "runs"):
        """The records under an output folder, as JSON."""
        return [json.loads(path.read_text()) for path in sorted((self.folder / out / "records").glob("*.json"))]


def in_process(folder, *changes, out="runs", plugins=(), **options):
    """A bench that runs in this process, and the cells of the tiny recipe."""
    from tokzoo.bench.plan import Request, make_cells, make_plan
    from tokzoo.bench.run import Bench, Options
    from tokzoo.recipes.load import Changes
    from tokzoo.registry.plugins import load_registry

    registry = load_registry(plugins)
    given = Changes.parse([f"track.dataset.root={folder / 'fashion'}", *changes])
    request = Request((str(RECIPES / "tiny.yaml"),), given, str(RECIPES / "tiny@1.yaml"))
    cells = make_cells(make_plan(request, registry), registry)
    return Bench(Options(folder / out, device="cpu", executor="in-process", **options), registry), cells


def told_offline(folder: Path, imports: str, statement: str) -> str:
    """The one line of the TokzooError that a statement raises where no weights are at hand, nor a network."""
    script = f"from tokzoo import TokzooError\n{imports}"
    script += f"try:\n    {statement}\nexcept TokzooError as error:\n    print(error)\n"
    caches = dict.fromkeys(("HF_HOME", "HF_HUB_CACHE", "TORCH_HOME"), str(folder))
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **caches, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    return line


@pytest.fixture
def tokzoo(tmp_path):
    return CommandLine(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of the tiny recipe, which tests may look at but not change."""
    line = CommandLine(tmp_path_factory.mktemp("finished"))
    line.output = line(*line.tiny).stdout
    return line
