"""How long the command line takes to start, beside Python's own start, in one run.

    pytest benchmarks/speed/test_startup.py --import-mode=importlib

Look at the difference of the medians: it should stay well below half a second.
"""

import subprocess
import sys

import pytest

COMMANDS = {
    "python alone": ["-c", "pass"],
    "--help": ["-m", "tokzoo", "--help"],
    "list": ["-m", "tokzoo", "list"],
    "plugins list": ["-m", "tokzoo", "plugins", "list"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_start(benchmark, name):
    benchmark.group = "start"
    command = [sys.executable, *COMMANDS[name]]
    benchmark.pedantic(subprocess.run, (command,), {"check": True, "capture_output": True}, rounds=7, warmup_rounds=1)
