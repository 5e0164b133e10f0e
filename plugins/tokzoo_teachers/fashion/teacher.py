"""The teacher of Fashion-MNIST, frozen. It was trained by :mod:`tokzoo_teachers.fashion.train`, without labels.

A teacher that had seen labels would hand them to every tokenizer that aligns with it, and class metrics would then
measure the teacher.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

import tokzoo
from tokzoo.data.files import file_hash
from tokzoo.nn.pretrained import check_started
from tokzoo_teachers.fashion.network import Network

HERE = Path(__file__).parent
WEIGHTS = HERE / "teacher.safetensors"
FACTS = HERE / "teacher.json"


class FashionTeacher(tokzoo.Teacher):
    """Images ``[B, 1, 32, 32]`` to features ``[B, 16, 128]``, row-major, each channel of about mean 0 and variance 1.

    Raises:
        tokzoo.Refusal: other images.
    """

    def __init__(self, config: Any, image: tokzoo.ImageSpec) -> None:
        super().__init__(config, image)
        config.hidden_spec(image)
        with torch.device("meta"):
            self.network = Network()

    def start(self) -> None:
        """Read the weights.

        Raises:
            tokzoo.TokzooError: they are not those whose hash stands beside them.
        """
        self.network = load_network(WEIGHTS).eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """The features; images are taken in [-1, 1], as they are."""
        check_started(self, self.network, images)
        return self.network(images).flatten(2).transpose(1, 2)


def load_network(path: Path) -> Network:
    """The network with stored weights, in float32.

    Raises:
        tokzoo.TokzooError: the weights are not those whose hash was noted, or do not fit.
    """
    if file_hash(path) != json.loads(FACTS.read_text())["sha256"]:
        raise tokzoo.TokzooError(f"{path} is not the file noted in {FACTS.name}; reinstall tokzoo")
    network = Network()
    # Batch counters are of no use to a frozen network, and are not stored.
    missing, unexpected = network.load_state_dict(load_file(path), strict=False)
    wrong = [*unexpected, *(name for name in missing if not name.endswith("num_batches_tracked"))]
    if wrong:
        raise tokzoo.TokzooError(f"{path} does not fit the teacher's network: {', '.join(wrong)}")
    return network
