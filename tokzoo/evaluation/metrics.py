"""Running metrics: one pass over the data feeds all metrics of a stage."""

from collections.abc import Sequence
from functools import partial

import torch

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
from tokzoo.contracts.specs import Chain
from tokzoo.data.batches import in_order
from tokzoo.data.codes import CodeSet
from tokzoo.data.feed import DeviceFeed
from tokzoo.recipes.slots import Slot


def _results(metrics: Sequence[Metric]) -> dict[str, float]:
    return {name: float(value) for metric in metrics for name, value in metric.compute().items()}


@torch.inference_mode()
def reconstruction(
    tokenizer: Tokenizer, split: Split, metrics: Sequence[Slot], batch: int, device: torch.device
) -> dict[str, float]:
    """Encode, decode and measure a split."""
    feed = DeviceFeed(split, device)
    built = [build_metric(slot, tokenizer.chain) for slot in metrics]
    for images, labels in feed.in_order(batch):
        reconstructions, codes = tokenizer.reconstruct(images)
        ordered = codes is not None and len(tokenizer.prefixes) > 1
        from_prefix = partial(tokenizer.from_prefix, codes) if codes is not None and ordered else None
        for metric in built:
            metric.update(ReconstructionBatch(images, reconstructions, codes, labels, from_prefix))
    return _results(built)


@torch.inference_mode()
def likelihood(
    model: ARModel, codes: CodeSet, chain: Chain, metrics: Sequence[Slot], batch: int, device: torch.device
) -> dict[str, float]:
    """The AR model's loss on the codes of held-out images (their first view), given their true labels."""
    assert chain.codes is not None
    built = [build_metric(slot, chain) for slot in metrics]
    for indices in in_order(len(codes), batch):
        labels = None if codes.labels is None else codes.labels[indices].to(device)
        loss = model(codes.codes[0, indices].long().to(device), labels)
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
    tokenizer: Tokenizer, samples: CodeSet, metrics: Sequence[Slot], batch: int, device: torch.device
) -> dict[str, float]:
    """Decode sampled codes and judge the images, a batch at a time."""
    built = [build_metric(slot, tokenizer.chain) for slot in metrics]
    for indices in in_order(len(samples), batch):
        labels = None if samples.labels is None else samples.labels[indices].to(device)
        images = tokenizer.decode(samples.codes[0, indices].long().to(device))
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
