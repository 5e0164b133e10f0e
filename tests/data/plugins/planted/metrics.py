"""Small metrics: good ones, and others that are each broken in one way."""

import itertools
from typing import Any, ClassVar

import torch

import tokzoo
from planted.offering import offered

COUNTER = itertools.count()


class ErrorConfig(tokzoo.MetricConfig):
    """Mean absolute error."""

    stage: ClassVar = "reconstruction"
    reports: ClassVar = (tokzoo.MetricInfo("reconstruction.mae", "MAE", better="lower"),)

    def protocol(self) -> dict[str, Any]:
        return {"averaging": "per image"}


@offered("metric", "good-metric", ErrorConfig)
class Error(tokzoo.Metric):
    """Mean absolute error, per image."""

    def __init__(self, config, chain):
        super().__init__(config, chain)
        self.total, self.count = torch.zeros((), dtype=torch.float64), 0

    def update(self, batch):
        errors = (batch.images - batch.reconstructions).double().abs().flatten(1).mean(1)
        self.total = self.total + errors.sum()
        self.count += len(errors)

    def compute(self):
        return {"reconstruction.mae": float(self.total) / self.count}


@offered("metric", "mean-of-batches", ErrorConfig)
class MeanOfBatches(Error):
    def update(self, batch):
        self.total = self.total + (batch.images - batch.reconstructions).double().abs().mean()
        self.count += 1


@offered("metric", "first-image-counts-twice", ErrorConfig)
class FirstCountsTwice(Error):
    def update(self, batch):
        if not self.count:
            self.total = self.total + (batch.images[0] - batch.reconstructions[0]).double().abs().mean()
        super().update(batch)


@offered("metric", "undeclared-number", ErrorConfig)
class Undeclared(Error):
    def compute(self):
        return {**super().compute(), "reconstruction.count": float(self.count)}


@offered("metric", "tensor-for-a-number", ErrorConfig)
class TensorForNumber(Error):
    def compute(self):
        return {"reconstruction.mae": self.total / self.count}


@offered("metric", "infinite", ErrorConfig)
class Infinite(Error):
    def compute(self):
        return {"reconstruction.mae": float("inf")}


@offered("metric", "begins-anew-when-asked", ErrorConfig)
class BeginsAnew(Error):
    def compute(self):
        found = super().compute()
        self.total = self.total * 0
        return found


@offered("metric", "one-sum-for-all", ErrorConfig)
class OneSum(Error):
    sums: ClassVar = []

    def update(self, batch):
        super().update(batch)
        self.sums.append((self.total, self.count))

    def compute(self):
        return {"reconstruction.mae": float(sum(total / count for total, count in self.sums)) / len(self.sums)}


@offered("metric", "writes-into-the-batch", ErrorConfig)
class WritesBatch(Error):
    def update(self, batch):
        super().update(tokzoo.ReconstructionBatch(batch.images.mul_(0.5), batch.reconstructions.mul_(0.5), None, None))


@offered("metric", "needs-labels", ErrorConfig)
class NeedsLabels(Error):
    def update(self, batch):
        super().update(batch)
        self.classes = int(batch.labels.max())


class LateRefusalConfig(ErrorConfig):
    pass


@offered("metric", "refuses-every-tokenizer", LateRefusalConfig)
class RefusesTokenizer(Error):
    def __init__(self, config, chain):
        raise tokzoo.Refusal("judges music")


class SetProtocolConfig(ErrorConfig):
    def protocol(self):
        return {"channels": {1, 3}}


@offered("metric", "protocol-of-sets", SetProtocolConfig)
class ProtocolOfSets(Error):
    pass


class RestlessProtocolConfig(ErrorConfig):
    def protocol(self):
        return {"run": next(COUNTER)}


@offered("metric", "restless-protocol", RestlessProtocolConfig)
class RestlessProtocol(Error):
    pass


class UpwardsConfig(ErrorConfig):
    reports: ClassVar = (tokzoo.MetricInfo("reconstruction.mae", "MAE", better="up"),)


@offered("metric", "better-is-up", UpwardsConfig)
class Upwards(Error):
    pass


class UngroupedConfig(ErrorConfig):
    reports: ClassVar = (tokzoo.MetricInfo("mae", "MAE", better="lower"),)


@offered("metric", "id-without-a-group", UngroupedConfig)
class Ungrouped(Error):
    def compute(self):
        return {"mae": super().compute()["reconstruction.mae"]}


class TwiceConfig(ErrorConfig):
    reports: ClassVar = (*ErrorConfig.reports, *ErrorConfig.reports)


@offered("metric", "one-id-twice", TwiceConfig)
class Twice(Error):
    pass


class TableConfig(ErrorConfig):
    reports: ClassVar = (tokzoo.MetricInfo("codes.largest", "largest"),)


@offered("metric", "thinks-of-one-level-of-codes", TableConfig)
class OneLevelOfCodes(tokzoo.Metric):
    largest = 0

    def update(self, batch):
        if batch.codes is not None:
            _images, _places = batch.codes.shape
            self.largest = max(self.largest, int(batch.codes.max()))

    def compute(self):
        return {"codes.largest": float(self.largest)}
