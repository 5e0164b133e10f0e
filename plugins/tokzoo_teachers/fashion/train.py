"""Trains the teacher on the training images of the ``fashion`` dataset, without labels.

    python -m tokzoo_teachers.fashion.train --out FOLDER

Two random views of an image should have like features, and views of other images unlike ones (SimCLR, arXiv 2002.05709,
equation 1): as a whole, and place by place where the views overlap (as the location-based matching of VICRegL does,
arXiv 2210.01571, section 3.2).

Writes ``teacher.safetensors`` (float16) and ``teacher.json``. One thread, one seed: on one machine the weights are the
same bytes each time.
"""

import argparse
import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from tokzoo.contracts.interfaces import Dataset
from tokzoo.data.batches import Batches
from tokzoo.data.files import write_atomic, write_json
from tokzoo.data.pixels import to_unit
from tokzoo.data.provenance import made_with
from tokzoo.registry.component import load_config, load_target
from tokzoo.registry.plugins import load_registry
from tokzoo_teachers.configs import FASHION_DIM
from tokzoo_teachers.fashion.network import Network
from tokzoo_teachers.fashion.teacher import FACTS, HERE, WEIGHTS
from tokzoo_teachers.fashion.views import random_view, shared_places

SEED = 0
EPOCHS = 16
BATCH = 128
PEAK_LR = 4e-3
WEIGHT_DECAY = 0.05
TEMPERATURE = 0.15
PLACES = 4
"""Places of an image that are compared in a step."""
LOCAL_SHARE = 0.25
"""Weight of the comparison by places; what is left is that of whole images."""


def load_images() -> Tensor:
    """The embedded training images, uint8 ``[N, 1, 32, 32]``, by way of the catalogue; of labels, none is kept."""
    spec = load_registry().components.get("dataset", "fashion").spec
    dataset: Dataset = load_target(spec)(load_config(spec)())
    images, _ = dataset.train.batch(torch.arange(len(dataset.train)))
    return images


def projection() -> nn.Module:
    """A head in which views are compared; it forgets what differs between views, so the features need not."""
    return nn.Sequential(
        nn.Linear(FASHION_DIM, 256, bias=False), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, FASHION_DIM)
    )


def contrast(first: Tensor, second: Tensor) -> Tensor:
    """The mean negative log-probability of each vector's partner among all others, for two ``[N, D]``."""
    vectors = F.normalize(torch.cat([first, second]), dim=1)
    similarity = vectors @ vectors.T / TEMPERATURE
    similarity = similarity.masked_fill(torch.eye(len(vectors), dtype=torch.bool), float("-inf"))
    return F.cross_entropy(similarity, torch.arange(len(vectors)).roll(len(first)))


class Learner(nn.Module):
    """The network and the heads it learns with."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network()
        self.whole, self.local = projection(), projection()

    def forward(self, images: Tensor) -> Tensor:
        """The loss of two random views of images ``[B, 1, 32, 32]`` in [-1, 1]."""
        first, second = random_view(images), random_view(images)
        maps = self.network(torch.cat([first.images, second.images]))
        whole = contrast(*self.whole(maps.mean(dim=(2, 3))).chunk(2))
        places = shared_places(first, second, PLACES)
        parts = [view.at(part, places).flatten(0, 1) for view, part in zip((first, second), maps.chunk(2), strict=True)]
        local = contrast(*self.local(torch.cat(parts)).chunk(2))
        return (1 - LOCAL_SHARE) * whole + LOCAL_SHARE * local


def train(images: Tensor, epochs: int) -> Network:
    """A network that learned from uint8 images and nothing else; in eval mode, its weights rounded to float16."""
    torch.manual_seed(SEED)
    learner = Learner().train()
    batches, steps = Batches(len(images), BATCH, SEED), epochs * len(images) // BATCH
    optimizer = torch.optim.AdamW(learner.parameters(), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=steps, pct_start=0.15)
    for step in range(steps):
        loss = learner(to_unit(images[batches.batch(step)]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network = learner.network
    network.load_state_dict({name: value.half().float() for name, value in network.state_dict().items()})
    return network.eval()


def write(network: Network, folder: Path) -> None:
    """Write the weights, and what is to be known of them."""
    content = save({name: value.half() for name, value in network.state_dict().items() if value.is_floating_point()})
    write_atomic(folder / WEIGHTS.name, lambda path: path.write_bytes(content))
    write_json(folder / FACTS.name, {"sha256": hashlib.sha256(content).hexdigest(), "made_with": made_with()})


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tokzoo_teachers.fashion.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: beside the script)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    write(train(load_images(), EPOCHS), arguments.out)


if __name__ == "__main__":
    main()
