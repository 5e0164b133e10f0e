import subprocess
import sys

import torch

from tokzoo.nn.distributed import gather_batch, of_first_rank

RANK = """
import sys, torch, torch.distributed as dist
from tokzoo.nn.distributed import gather_batch, of_first_rank
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
rows = torch.arange(6.0).view(3, 2).T.requires_grad_() + 10 * rank  # not contiguous, and with a graph
codes = torch.full((1, 3), rank)
draw = of_first_rank(torch.full((2,), 5 + rank))
torch.save([gather_batch(rows), gather_batch(codes), draw], f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""


def test_one_process_keeps_its_tensor():
    tensor = torch.randn(3, 2)
    assert gather_batch(tensor) is tensor
    assert of_first_rank(tensor) is tensor


def test_two_processes_see_the_same(tmp_path):
    ranks = [subprocess.Popen([sys.executable, "-c", RANK, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    first = torch.tensor([[0.0, 2, 4], [1, 3, 5]])
    for rank in range(2):
        rows, codes, draw = torch.load(tmp_path / f"{rank}.pt")
        assert torch.equal(rows, torch.cat([first, first + 10]))
        assert not rows.requires_grad
        assert codes.tolist() == [[0, 0, 0], [1, 1, 1]]
        assert draw.tolist() == [5, 5]
