"""How many samples are of the class asked for, as the judge of Fashion-MNIST sees them."""

from typing import Any

import tokzoo
from tokzoo_metrics.fashion_judge.extractor import LOGITS, Sight
from tokzoo_metrics.mean import Mean


class SampleAccuracy(tokzoo.Metric):
    """The share of samples the judge gives the class they were asked to be; nothing where none was asked for.

    Raises:
        tokzoo.Refusal: the images or the classes are not those of Fashion-MNIST.
    """

    def __init__(self, config: Any, chain: tokzoo.Chain) -> None:
        super().__init__(config, chain)
        self._sight = Sight(LOGITS, chain, "generation.class_accuracy")
        self._mean = Mean()

    def update(self, batch: tokzoo.GenerationBatch) -> None:
        """Take in one batch."""
        if batch.labels is not None:
            self._mean.add(self._sight.of(batch.images).argmax(dim=1) == batch.labels)

    def compute(self) -> dict[str, float]:
        """The share, in [0, 1]."""
        return {"generation.class_accuracy": self._mean.value()} if self._mean.count else {}
