"""The judge as a feature extractor of torch-fidelity, under the name ``fashion-judge``.

>>> torch_fidelity.calculate_metrics(input1=…, input2=…, fid=True, feature_extractor="fashion-judge")
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import register_feature_extractor
from torch_fidelity.utils import create_feature_extractor

import tokzoo
from tokzoo.data.pixels import to_uint8, to_unit
from tokzoo_metrics.fashion_judge.network import CLASSES, load_judge

NAME = "fashion-judge"
POOL, LOGITS = "pool", "logits"
IMAGE = tokzoo.ImageSpec(1, (32, 32))


class FashionJudgeExtractor(FeatureExtractorBase):
    """Images uint8 ``[B, 1, 32, 32]`` to "pool" ``[B, D]`` and "logits" ``[B, 10]``, those of them asked for."""

    def __init__(self, name: str, features_list: Sequence[str], **kwargs: Any) -> None:
        super().__init__(name, features_list)
        self.judge = load_judge()

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        """The names of the features."""
        return (POOL, LOGITS)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        """What one of torch-fidelity's metrics reads."""
        return LOGITS if metric == "isc" else POOL

    @staticmethod
    def can_be_compiled() -> bool:
        """Whether torch.compile may wrap it."""
        return True

    @staticmethod
    def get_dummy_input_for_compile() -> Tensor:
        """A black image."""
        return torch.zeros(1, IMAGE.channels, *IMAGE.size, dtype=torch.uint8)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The features asked for, in that order."""
        # TF32 would give another distance on a GPU than on a CPU, and another one on an older GPU.
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            features, logits = self.judge(to_unit(images))
        found = {POOL: features, LOGITS: logits}
        return tuple(found[name] for name in self.features_list)


register_feature_extractor(NAME, FashionJudgeExtractor)


class Sight:
    """One feature of what the judge sees in the images a metric is given.

    Args:
        feature: "pool" or "logits".
        chain: of the tokenizer under test.
        metric: the id it reports under, for messages.

    Raises:
        tokzoo.Refusal: the images or the classes are not those of Fashion-MNIST.
    """

    def __init__(self, feature: str, chain: tokzoo.Chain, metric: str) -> None:
        if chain.image != IMAGE:
            raise tokzoo.Refusal(
                f"metric '{metric}' judges a {IMAGE}, not a {chain.image}; leave it out of this track's metrics"
            )
        if chain.classes not in (None, CLASSES):
            raise tokzoo.Refusal(
                f"metric '{metric}' knows the {CLASSES} classes of Fashion-MNIST, and here are {chain.classes}; "
                "leave it out of this track's metrics"
            )
        self._extractor = create_feature_extractor(NAME, [feature], cuda=False, verbose=False)

    def of(self, images: Tensor) -> Tensor:
        """The feature ``[B, …]`` of images ``[B, 1, 32, 32]`` in [-1, 1], as an 8-bit file would hold them."""
        (found,) = self._extractor.to(images.device)(to_uint8(images))
        return found
