"""A training pass of ``vq`` with the entropy term, ours in chunks against the plain one with whole M×K matrices.

    pytest benchmarks/speed/test_entropy.py --import-mode=importlib -n 0
    TOKZOO_ENTROPY_SIZE=16384 pytest …

The size is the number of tokens and of codes; at 16,384 the plain pass takes several GB. The table of times has the
ratio in parentheses; on a busy machine threads wait for each other, and the least times say most. Memory is measured in
a process of its own for each, on Linux: the growth of its highest resident set (``VmHWM``) over what it was once torch,
its kernels and the inputs were there.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tokzoo import LatentSpec
from tokzoo_losses.entropy import EPSILON, assignment_entropies
from tokzoo_quantizers.configs import VQConfig
from tokzoo_quantizers.vq import VectorQuantizer

SIZE = int(os.environ.get("TOKZOO_ENTROPY_SIZE", "4096"))
DIM, THREADS = 8, 2
SHARPNESS, WEIGHT = 100.0, 0.1


def inputs(size):
    torch.manual_seed(0)
    quantizer = VectorQuantizer(VQConfig(codes=size, dim=DIM), LatentSpec("sequence", (size,), DIM)).train()
    with torch.no_grad():
        quantizer.codebook.copy_(F.normalize(torch.randn(size, DIM), dim=-1))
    return quantizer, torch.randn(1, size, DIM, requires_grad=True)


def ours(quantizer, latent):
    losses = quantizer(latent).losses
    (factors,) = quantizer.assignment(latent)
    sample, codebook = assignment_entropies(factors.queries, factors.codes, SHARPNESS)
    return 0.25 * losses["commitment"] + losses["codebook"] + WEIGHT * (sample + codebook)


def plain(quantizer, latent):
    z, codebook = F.normalize(latent[0], dim=-1), F.normalize(quantizer.codebook, dim=-1)
    distances = z.square().sum(1, keepdim=True) + codebook.square().sum(1) - 2 * z @ codebook.T
    e = codebook[distances.argmin(1)]
    commitment, codebook_loss = F.mse_loss(z, e.detach()), F.mse_loss(e, z.detach())
    log_p = (-SHARPNESS * distances).log_softmax(1)
    p = log_p.exp()
    mean = p.mean(0)
    entropy = -(p * log_p).sum(1).mean() + (mean * (mean + EPSILON).log()).sum()
    return 0.25 * commitment + codebook_loss + WEIGHT * entropy


PASSES = {"plain": plain, "ours": ours}


def run(name, quantizer, latent):
    """The loss and both gradients."""
    loss = PASSES[name](quantizer, latent)
    return loss.detach(), *torch.autograd.grad(loss, (latent, quantizer.codebook))


@pytest.mark.parametrize("name", PASSES)
def test_time(benchmark, name):
    benchmark.group = f"{SIZE} tokens, {SIZE} codes, {THREADS} threads"
    torch.set_num_threads(THREADS)
    benchmark.pedantic(run, (name, *inputs(SIZE)), rounds=3, warmup_rounds=1)


def test_same_numbers_in_less_memory(tmp_path, capsys):
    grown, results = {}, {}
    for name in PASSES:
        command = [sys.executable, __file__, name, str(SIZE), str(tmp_path / name)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        grown[name], results[name] = json.loads(said), torch.load(tmp_path / name)
    apart = [(one - other).abs().max().item() for one, other in zip(results["ours"], results["plain"], strict=True)]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{SIZE} tokens, {SIZE} codes: MB over the inputs {grown}; "
            f"loss and gradients (latent, codebook) differ by {', '.join(f'{gap:.1e}' for gap in apart)}\n"
        )
    assert max(apart) < 1e-5
    assert grown["ours"] <= 400


def highest_resident_set():
    """In bytes. ``ru_maxrss`` would begin with that of the process this one was forked from."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main():
    """Write the results to a file, and the megabytes a pass takes to stdout."""
    name, size, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(THREADS)
    given = inputs(size)
    run(name, *inputs(64))  # loads kernels and starts threads
    before = highest_resident_set()
    results = run(name, *given)
    grown = highest_resident_set() - before
    torch.save(results, path)
    sys.stdout.write(json.dumps(round(grown / 1e6)))


if __name__ == "__main__":
    main()
