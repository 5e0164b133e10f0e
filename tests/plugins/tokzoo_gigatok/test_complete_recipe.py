"""The complete published training, small, on real images: every term, resumed after a kill, bit for bit."""

import json
import math
import os
import signal
import time

import pytest

RECIPE = "gigatok-1d-nano-complete"
SOONER = ("quantizer.warmup=5", "train.tokenizer.warmup=5", "track.probe=null", "track.metrics=[psnr, codebook]")
STEPS = 40


def arguments(line):
    """The tiny run of this recipe."""
    return [RECIPE if argument.endswith("tiny.yaml") else argument for argument in line.tiny] + list(SOONER)


@pytest.fixture(scope="module")
def trained(finished):
    finished(*arguments(finished), "--out", "complete")
    return finished


def events(line, out):
    (log,) = (line.folder / out / "cache" / "tokenizer").glob("*/events.jsonl")
    return [json.loads(text) for text in log.read_text().splitlines()]


def test_every_term_is_logged_by_itself_and_finite(trained):
    found = events(trained, "complete")
    assert found[-1]["step"] == STEPS
    for event in found:
        assert all(math.isfinite(value) for value in event.values() if isinstance(value, float))
    always = {"l1", "l2", "perceptual", "semantic", "loss", "grad_norm"}
    quantized = {"quantizer.commitment", "quantizer.codebook", "entropy.sample", "entropy.codebook"}
    statistics = {"quantizer.usage", "quantizer.perplexity", "quantizer.dead"}
    for event in found:
        assert always | quantized | statistics <= set(event)


def test_gates_open_and_close_the_terms(trained):
    first, *_, last = events(trained, "complete")
    shortcut = {"shortcut.feature", "l1.shortcut", "l2.shortcut", "perceptual.shortcut"}
    adversary = {"adversarial", "adversarial.adversary.loss", "adversarial.adversary.grad_norm"}
    assert shortcut <= set(first)
    assert not shortcut & set(last)
    assert adversary <= set(last)
    assert not adversary & set(first)


def test_a_killed_run_ends_as_if_nothing_had_happened(trained):
    process = trained.start(*arguments(trained), "--out", "killed", "--checkpoint-every", "0")
    cache = trained.folder / "killed" / "cache" / "tokenizer"

    def reached():
        return sum(len(log.read_text().splitlines()) for log in cache.glob("*/events.jsonl"))

    end = time.monotonic() + 120
    while reached() < 3:  # the adversary has begun
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not trained.records("killed")
    assert "tokenizer goes on from step" in trained(*arguments(trained), "--out", "killed").stdout
    assert [record["id"] for record in trained.records("killed")] == [
        record["id"] for record in trained.records("complete")
    ]
    weights = [
        next((trained.folder / out / "cache" / "tokenizer").glob(f"*/{name}")).read_bytes()
        for name in ("tokenizer.safetensors", "regularizers.safetensors")
        for out in ("killed", "complete")
    ]
    assert weights[0] == weights[1]
    assert weights[2] == weights[3]
