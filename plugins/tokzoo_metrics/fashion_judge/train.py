"""Trains the judge and takes its reference statistics, from the images of the ``fashion`` dataset.

    python -m tokzoo_metrics.fashion_judge.train --out FOLDER

Writes ``judge.safetensors`` (float16), ``reference.safetensors`` (float64: means and covariances of its features) and
``judge.json`` (hashes, accuracy, floor). One thread, one seed: on one machine the files are the same bytes each time.
"""

import argparse
import hashlib
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

from tokzoo.contracts.interfaces import Dataset
from tokzoo.data.augment import flip
from tokzoo.data.batches import Batches, in_order
from tokzoo.data.files import write_atomic, write_json
from tokzoo.data.pixels import to_unit
from tokzoo.data.provenance import made_with
from tokzoo.registry.component import load_config, load_target
from tokzoo.registry.plugins import load_registry
from tokzoo_metrics.fashion_judge.facts import FACTS, HERE, REFERENCE, WEIGHTS
from tokzoo_metrics.fashion_judge.network import Judge

SEED = 0
EPOCHS = 16
BATCH = 100
PEAK_LR = 4e-3
WEIGHT_DECAY = 0.05
SMOOTHING = 0.1
SHIFT = 2
"""Pixels an image is moved by at most, in training: as many as there are of margin."""
REFERENCE_IMAGES = 2000
Split = tuple[Tensor, Tensor]
"""Images uint8 ``[N, 1, 32, 32]`` and labels int64 ``[N]``."""


def load_fashion() -> tuple[Split, Split]:
    """The embedded training and test images with their labels, by way of the catalogue."""
    spec = load_registry().components.get("dataset", "fashion").spec
    dataset: Dataset = load_target(spec)(load_config(spec)())
    train, val = (split.batch(torch.arange(len(split))) for split in (dataset.train, dataset.val))
    return train, val


def vary(images: Tensor) -> Tensor:
    """Half of ``[B, C, H, W]`` mirrored, and each moved by up to ``SHIFT`` pixels, its border repeated."""
    count, _, height, width = images.shape
    images = torch.where(torch.rand(count, 1, 1, 1) < 0.5, flip(images), images)
    down, right = torch.randint(-SHIFT, SHIFT + 1, (2, count, 1))
    rows = (torch.arange(height) + down).clamp(0, height - 1)
    columns = (torch.arange(width) + right).clamp(0, width - 1)
    return images[torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def train(split: Split, epochs: int) -> Judge:
    """A trained judge in eval mode, its weights rounded to float16.

    AdamW with a one-cycle schedule (arXiv 1708.07120) on smoothed labels.
    """
    torch.manual_seed(SEED)
    images, labels = split
    judge = Judge().train()
    batches, steps = Batches(len(images), BATCH, SEED), epochs * len(images) // BATCH
    optimizer = torch.optim.AdamW(judge.parameters(), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=steps)
    for step in range(steps):
        chosen = batches.batch(step)
        _, logits = judge(vary(to_unit(images[chosen])))
        optimizer.zero_grad()
        F.cross_entropy(logits, labels[chosen], label_smoothing=SMOOTHING).backward()
        optimizer.step()
        schedule.step()
    judge.load_state_dict({name: value.half().float() for name, value in judge.state_dict().items()})
    return judge.eval()


@torch.no_grad()
def judge_all(judge: Judge, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features and logits of uint8 images."""
    parts = [judge(to_unit(images[indices])) for indices in in_order(len(images), 250)]
    features, logits = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return features, logits


def accuracy(judge: Judge, split: Split) -> float:
    """The share of images of which the judge knows the class."""
    _, logits = judge_all(judge, split[0])
    return float((logits.argmax(dim=1) == split[1]).double().mean())


def write(judge: Judge, train_split: Split, val_split: Split, folder: Path) -> None:
    """Write the weights, the reference and what is to be known of both."""
    weights = {name: value.half() for name, value in judge.state_dict().items() if value.is_floating_point()}
    statistics = {
        name: fid_features_to_statistics(judge_all(judge, images[:REFERENCE_IMAGES])[0].double())
        for name, images in (("train", train_split[0]), ("val", val_split[0]))
    }
    floor = fid_statistics_to_metric(statistics["train"], statistics["val"], verbose=False)[KEY_METRIC_FID]
    reference = {
        f"{name}.{key}": torch.from_numpy(value) for name, each in statistics.items() for key, value in each.items()
    }
    contents = {WEIGHTS.name: save(weights), REFERENCE.name: save(reference)}
    for name, content in contents.items():
        write_atomic(folder / name, partial(Path.write_bytes, data=content))
    write_json(
        folder / FACTS.name,
        {
            "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
            "accuracy": {"train": accuracy(judge, train_split), "val": accuracy(judge, val_split)},
            "floor": floor,
            "reference_images": REFERENCE_IMAGES,
            "made_with": made_with(),
        },
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tokzoo_metrics.fashion_judge.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: beside the script)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    train_split, val_split = load_fashion()
    write(train(train_split, EPOCHS), train_split, val_split, arguments.out)


if __name__ == "__main__":
    main()
