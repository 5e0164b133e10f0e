"""Sampling codes from a trained AR model, classes in turn, each sample from a seed of its own."""

import torch

from tokzoo.contracts.configs import Config
from tokzoo.contracts.interfaces import ARModel
from tokzoo.contracts.specs import Chain
from tokzoo.data.batches import in_order
from tokzoo.data.codes import CodeSet, storage_type
from tokzoo.evaluation.seeds import image_seeds


@torch.no_grad()
def sample_codes(
    model: ARModel, sampler: Config, chain: Chain, count: int, seed: int, batch: int, device: torch.device
) -> CodeSet:
    """The codes of ``count`` samples, on the CPU, ``batch`` at a time; sample i has the class ``i % classes``.

    Sample i can be made again alone, from its class and its seed.
    """
    assert chain.codes is not None
    codes, labels = [], []
    for indices in in_order(count, batch):
        wanted = None if chain.classes is None else indices % chain.classes
        seeds = image_seeds(seed, "samples", indices)
        drawn = model.sample(None if wanted is None else wanted.to(device), sampler, seeds)
        codes.append(drawn.to(storage_type(chain.codes)).cpu())
        if wanted is not None:
            labels.append(wanted)
    return CodeSet(torch.cat(codes)[None], torch.cat(labels) if labels else None)
