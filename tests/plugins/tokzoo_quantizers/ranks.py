"""Some steps of quantizers whose codebooks no gradient moves, on one rank's part of the latents.

    python ranks.py RANK RANKS FOLDER

reads ``latents.pt`` in the folder and writes ``RANK.pt``. Imported, it gives ``run`` for one process.
"""

import sys

import torch
import torch.distributed as dist

from tokzoo import LatentSpec, Progress, StepContext
from tokzoo.nn.distributed import gather_batch
from tokzoo_quantizers.configs import VQConfig
from tokzoo_quantizers.vq import VectorQuantizer

KINDS = {
    "l2": {"ema": {"decay": 0.9}, "warmup": 2, "kmeans": True, "revive": {"threshold": 0.6, "decay": 0.8}},
    "plain": {"ema": {"decay": 0.9}, "l2_norm": False, "revive": {"threshold": 0.6, "decay": 0.8}},
}


def run(fields, latents, rank):
    """The state after as many steps as there are latents, and how often rows were overwritten."""
    torch.manual_seed(0)
    config = VQConfig(codes=24, dim=4, **fields)
    quantizer = VectorQuantizer(config, LatentSpec("sequence", (8,), 4)).train()
    overwritten = torch.zeros(24, dtype=torch.int64)
    for step, latent in enumerate(latents):
        # What ranks draw in a step before this differs, so that their generators do too.
        torch.manual_seed(100 * rank + step)
        quantizer.before_step(StepContext(Progress(step, len(latents))))
        codes = quantizer(latent).codes
        context = StepContext(
            Progress(step, len(latents)), gather_batch(latent), None if codes is None else gather_batch(codes)
        )
        for change in quantizer.after_step(context):
            overwritten += change.rows
    return {**dict(quantizer.named_parameters()), **dict(quantizer.named_buffers()), "overwritten": overwritten}


def main():
    rank, ranks, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=ranks)
    mine = torch.load(f"{folder}/latents.pt").chunk(ranks, dim=1)[rank]
    torch.save({kind: run(fields, mine, rank) for kind, fields in KINDS.items()}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
