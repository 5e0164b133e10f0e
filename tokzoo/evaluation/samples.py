"""Sampling codes from a trained AR model, classes in turn, each sample from a seed of its own."""

import torch

from tokzoo.contracts.configs import Config
from tokzoo.contracts.interfaces import ARModel
from tokzoo.data.batches import in_order
from tokzoo.data.codes import CodeSet
from tokzoo.data.seeding import derive_seed

BATCH = 250


@torch.no_grad()
def sample_codes(
    model: ARModel, sampler: Config, count: int, classes: int | None, seed: int, device: torch.device
) -> CodeSet:
    """The codes of ``count`` samples, int32 on the CPU; sample i has the class ``i % classes``.

    Sample i can be made again alone, from its class and ``derive_seed(seed, i)``.
    """
    codes, labels = [], []
    for indices in in_order(count, BATCH):
        wanted = None if classes is None else indices % classes
        seeds = torch.tensor([derive_seed(seed, int(i)) for i in indices])
        codes.append(model.sample(None if wanted is None else wanted.to(device), sampler, seeds).int().cpu())
        if wanted is not None:
            labels.append(wanted)
    return CodeSet(torch.cat(codes)[None], torch.cat(labels) if labels else None)
