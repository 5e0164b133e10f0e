"""A run killed at any moment, and run again, ends as if nothing had happened. Real processes, real SIGKILL."""

import json
import os
import signal
import subprocess
import time

import pytest

EAGER = ("--checkpoint-every", "0")
"""A checkpoint at every log interval."""


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < end, "the run never came so far"
        time.sleep(0.005)


def steps(folder, stage):
    """The last step logged in a stage."""
    lines = [line for log in folder.glob(f"runs/cache/{stage}/*/events.jsonl") for line in log.read_text().splitlines()]
    return json.loads(lines[-1])["step"] if lines and lines[-1].endswith("}") else 0


@pytest.mark.parametrize("stage", ["tokenizer", "ar"])
def test_kill_in_the_middle_of_training(tokzoo, finished, stage):
    process = tokzoo.start(*tokzoo.tiny, *EAGER)
    wait_for(lambda: list(tokzoo.folder.glob(f"runs/cache/{stage}/*/checkpoint.safetensors")), process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # The worker must end with its parent, or it would go on training unseen.
    time.sleep(1.0)
    reached = steps(tokzoo.folder, stage)
    time.sleep(1.0)
    assert steps(tokzoo.folder, stage) == reached
    assert not tokzoo.records()
    assert not list(tokzoo.folder.glob(f"runs/cache/{stage}/*/done.json"))

    again = tokzoo(*tokzoo.tiny)
    assert f"{stage} goes on from step" in again.stdout
    assert [record["id"] for record in tokzoo.records()] == [record["id"] for record in finished.records()]


def test_kill_everything_at_many_moments(tokzoo, finished):
    """The whole process group, a little later each time, until a run gets through."""
    kills = 0
    for moment in (0.4, 2.2, 2.6, 3.0, 3.4, 3.8, 4.4):
        process = tokzoo.start(*tokzoo.tiny, *EAGER)
        time.sleep(moment)
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills >= 3
    tokzoo(*tokzoo.tiny)
    assert [record["id"] for record in tokzoo.records()] == [record["id"] for record in finished.records()]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, *(pytest.param(each, marks=pytest.mark.slow) for each in (signal.SIGTERM, signal.SIGHUP))]
)
def test_interrupt_saves_and_says_how_to_go_on(tokzoo, number):
    # Long enough that it cannot end by itself before the signal is seen.
    longer = (*tokzoo.tiny, "track.tokenizer.steps=300")
    process = tokzoo.start(*longer, stderr=subprocess.PIPE)
    wait_for(lambda: steps(tokzoo.folder, "tokenizer") >= 10, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"run the same command again" in errors
    assert b"Traceback" not in errors
    assert list(tokzoo.folder.glob("runs/cache/tokenizer/*/checkpoint.safetensors"))
    assert "tokenizer goes on from step" in tokzoo(*longer).stdout
    assert [record["status"] for record in tokzoo.records()] == ["ok"]


def test_a_damaged_cached_file_is_made_again(tokzoo, finished):
    tokzoo(*tokzoo.tiny)
    (weights,) = tokzoo.folder.glob("runs/cache/tokenizer/*/tokenizer.safetensors")
    content = weights.read_bytes()
    weights.write_bytes(content[:-100])
    # Another evaluation batch: the tokenizer is needed again, to be judged anew.
    tokzoo(*tokzoo.tiny, "track.evaluation_batch=500")
    assert weights.read_bytes() == content
