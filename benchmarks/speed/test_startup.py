"""How long the command line takes to start with fifty plugins installed, beside Python's own start, in one run.

    pytest benchmarks/speed/test_startup.py --import-mode=importlib

Look at the difference of the medians: it should stay below half a second.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from installing import install_quantizer

PLUGINS = 50
COMMANDS = {
    "python alone": ["-c", "pass"],
    "--help": ["-m", "tokzoo", "--help"],
    "list": ["-m", "tokzoo", "list"],
    "plugins list": ["-m", "tokzoo", "plugins", "list"],
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    for number in range(PLUGINS):
        install_quantizer(site, f"p{number}")
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    # As an installer does, so that no start has to compile.
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(site)], check=True)
    return {**os.environ, "PYTHONPATH": path}


@pytest.mark.parametrize("name", COMMANDS)
def test_start(benchmark, environment, name):
    benchmark.group = "start"
    command = [sys.executable, *COMMANDS[name]]
    options = {"check": True, "capture_output": True, "env": environment}
    done = benchmark.pedantic(subprocess.run, (command,), options, rounds=7, warmup_rounds=1)
    if "list" in name:
        assert done.stdout.count(b"third/p") == PLUGINS
