"""Codebooks of several ranks stay one codebook: that of a single process which saw all their latents."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("ranks.py")
ALONE = runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """What two ranks came to, and the latents of both, ``[steps, batch, 8, 4]``."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.manual_seed(1)
    latents = 0.3 + 0.3 * torch.randn(6, 4, 8, 4)
    torch.save(latents, folder / "latents.pt")
    ranks = [subprocess.Popen([sys.executable, str(SCRIPT), str(rank), "2", str(folder)]) for rank in range(2)]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)], latents


@pytest.mark.parametrize("kind", ALONE["KINDS"])
def test_two_ranks_agree_with_each_other_and_with_one_process(states, kind):
    (first, second), latents = states
    alone = ALONE["run"](ALONE["KINDS"][kind], latents, rank=0)
    assert first[kind].keys() == alone.keys()
    for name, tensor in first[kind].items():
        assert torch.equal(tensor, second[kind][name]), name
        torch.testing.assert_close(tensor, alone[name].detach(), atol=1e-6, rtol=1e-6, msg=name)
    assert first[kind]["overwritten"].max() > 1, "something was revived, besides the k-means initialisation"
    halves = ALONE["run"](ALONE["KINDS"][kind], latents[:, :2], rank=0)
    assert not torch.allclose(halves["codebook"], alone["codebook"]), "one rank's latents alone give another codebook"
