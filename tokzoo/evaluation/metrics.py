"""Running metrics: one pass over the data feeds all metrics of a stage."""

from collections.abc import Sequence
from functools import partial

import torch

from tokzoo.assembly.answers import expected
from tokzoo.assembly.build import build_metric
from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.contracts.interfaces import (
    ARModel,
    EfficiencyProbe,
    GenerationBatch,
    LikelihoodBatch,
    Metric,
    ReconstructionBatch,
    RepresentationProbe,
    Split,
)
from tokzoo.contracts.outputs import ARLoss
from tokzoo.contracts.specs import Chain
from tokzoo.data.batches import in_order
from tokzoo.data.codes import CodeSet
from tokzoo.data.feed import DeviceFeed
from tokzoo.evaluation.seeds import image_seeds
from tokzoo.recipes.slots import Slot


def _results(metrics: Sequence[Metric]) -> dict[str, float]:
    found = [expected(metric.compute(), dict, type(metric).__name__, "compute") for metric in metrics]
    return {name: float(value) for values in found for name, value in values.items()}


@torch.inference_mode()
def reconstruction(
    tokenizer: Tokenizer, split: Split, metrics: Sequence[Slot], seed: int, batch: int, device: torch.device
) -> dict[str, float]:
    """Encode, decode and measure a split; image i is decoded from ``seed`` and i."""
    feed = DeviceFeed(split, device)
    built = [build_metric(slot, tokenizer.chain) for slot in metrics]
    for indices, (images, labels) in zip(in_order(len(split), batch), feed.in_order(batch), strict=True):
        seeds = image_seeds(seed, "reconstruction", indices)
        reconstructions, codes = tokenizer.reconstruct(images, seeds)
        ordered = codes is not None and len(tokenizer.prefixes) > 1
        from_prefix = partial(tokenizer.from_prefix, codes, seeds=seeds) if codes is not None and ordered else None
        for metric in built:
            metric.update(ReconstructionBatch(images, reconstructions, codes, labels, from_prefix))
    return _results(built)


@torch.inference_mode()
def likelihood(
    model: ARModel, codes: CodeSet, chain: Chain, metrics: Sequence[Slot], seed: int, batch: int, device: torch.device
) -> dict[str, float]:
    """The AR model's loss on the codes of held-out images (their first view), given their true labels.

    A loss that is drawn at random is drawn, for image i, from ``seed`` and i.
    """
    assert chain.codes is not None
    built = [build_metric(slot, chain) for slot in metrics]
    for indices in in_order(len(codes), batch):
        labels = None if codes.labels is None else codes.labels[indices].to(device)
        seeds = image_seeds(seed, "likelihood", indices)
        answer = model.likelihood(codes.codes[0, indices].long().to(device), labels, seeds)
        loss = expected(answer, ARLoss, type(model).__name__, "likelihood")
        for metric in built:
            metric.update(LikelihoodBatch(loss, chain.codes))
    return _results(built)


def representation(
    model: ARModel,
    train: CodeSet,
    val: CodeSet,
    chain: Chain,
    metrics: Sequence[Slot],
    batch: int,
    device: torch.device,
) -> dict[str, float]:
    """What the AR model's hidden states tell of the classes: probes learn on ``train`` and are judged on ``val``."""
    assert chain.classes is not None
    assert train.labels is not None
    assert val.labels is not None
    built = [build_metric(slot, chain) for slot in metrics]
    codes = [split.codes[0].long() for split in (train, val)]
    probe = RepresentationProbe(
        model, codes[0], train.labels, codes[1], val.labels, chain.classes, batch=batch, device=device
    )
    for metric in built:
        metric.update(probe)
    return _results(built)


@torch.inference_mode()
def generation(
    tokenizer: Tokenizer, samples: CodeSet, metrics: Sequence[Slot], seed: int, batch: int, device: torch.device
) -> dict[str, float]:
    """Decode sampled codes and judge the images, a batch at a time; sample i is decoded from ``seed`` and i."""
    built = [build_metric(slot, tokenizer.chain) for slot in metrics]
    for indices in in_order(len(samples), batch):
        labels = None if samples.labels is None else samples.labels[indices].to(device)
        seeds = image_seeds(seed, "generation", indices)
        images = tokenizer.decode(samples.codes[0, indices].long().to(device), seeds)
        for metric in built:
            metric.update(GenerationBatch(images, labels))
    return _results(built)


@torch.inference_mode()
def efficiency(
    tokenizer: Tokenizer, model: ARModel | None, split: Split, metrics: Sequence[Slot], batch: int, device: torch.device
) -> dict[str, float]:
    """What the trained modules cost, on one batch of real images."""
    images, _ = DeviceFeed(split, device).batch(next(in_order(len(split), batch)))
    built = [build_metric(slot, tokenizer.chain) for slot in metrics]
    for metric in built:
        metric.update(EfficiencyProbe(tokenizer, model, images))
    return _results(built)
