"""Small datasets: good ones, and others that are each broken in one way."""

import itertools
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field

import tokzoo
from planted.offering import offered
from tokzoo.data.split import InMemorySplit

COUNTER = itertools.count()


class DotsConfig(tokzoo.DatasetConfig):
    """Grey noise."""

    provides: ClassVar = frozenset({"crops"})

    seed: int = Field(0, description="of the noise")

    def image_spec(self):
        return tokzoo.ImageSpec(1, (8, 8))

    def class_names(self):
        return ("dark", "bright", "neither")

    def fingerprint(self):
        return f"dots {self.seed}"


class DotsSplit(InMemorySplit):
    """Noise, cut out of four times as much."""

    def __init__(self, seed, count):
        generator = torch.Generator().manual_seed(seed)
        self.large = torch.randint(0, 256, (count, 1, 16, 16), generator=generator, dtype=torch.uint8)
        super().__init__(self.large[..., 4:12, 4:12].clone(), torch.arange(count) % 3)

    def crop(self, indices, crops):
        images = F.interpolate(self.large[indices].float(), int(crops.short[0])).to(torch.uint8)
        room = images.shape[-1] - crops.size
        squares = []
        for image, (down, right) in zip(images, (crops.at * room).long().tolist(), strict=True):
            squares.append(image[:, down : down + crops.size, right : right + crops.size])
        return torch.stack(squares), self.labels[indices]


@offered("dataset", "good-dataset", DotsConfig)
class Dots(tokzoo.Dataset):
    """Noise."""

    def __init__(self, config):
        super().__init__(config)
        self.train, self.val = DotsSplit(2 * config.seed, 70), DotsSplit(2 * config.seed + 1, 30)
        for split in (self.train, self.val):
            self.spoil(split)

    def spoil(self, split):
        pass


@offered("dataset", "float-images", DotsConfig)
class FloatImages(Dots):
    def spoil(self, split):
        split.images = split.images.float()


@offered("dataset", "images-of-another-size", DotsConfig)
class OtherSize(Dots):
    def spoil(self, split):
        split.images = split.images[..., 1:]


@offered("dataset", "empty-split", DotsConfig)
class EmptySplit(Dots):
    def __init__(self, config):
        super().__init__(config)
        self.val = DotsSplit(0, 0)


@offered("dataset", "one-class-too-many", DotsConfig)
class OneClassTooMany(Dots):
    def spoil(self, split):
        split.labels = split.labels + 1


@offered("dataset", "small-labels", DotsConfig)
class SmallLabels(Dots):
    def spoil(self, split):
        split.labels = split.labels.int()


class NamelessConfig(DotsConfig):
    def class_names(self):
        return None


@offered("dataset", "labels-without-names", NamelessConfig)
class LabelsWithoutNames(Dots):
    pass


class ListedConfig(DotsConfig):
    def class_names(self):
        return list(super().class_names())


@offered("dataset", "listed-names", ListedConfig)
class ListedNames(Dots):
    pass


@offered("dataset", "sorts-what-is-asked", DotsConfig)
class SortsAsked(Dots):
    def spoil(self, split):
        right = split.batch
        split.batch = lambda indices: right(indices.sort().values)


@offered("dataset", "augments-itself", DotsConfig)
class AugmentsItself(Dots):
    def spoil(self, split):
        right = split.batch
        split.batch = lambda indices: (right(indices)[0].flip(-1) if torch.rand(()) < 2 else None, right(indices)[1])


@offered("dataset", "judged-by-what-is-learned", DotsConfig)
class JudgedByLearned(Dots):
    def __init__(self, config):
        super().__init__(config)
        self.val = self.train


class RestlessConfig(DotsConfig):
    def fingerprint(self):
        return f"dots {next(COUNTER)}"


@offered("dataset", "restless-fingerprint", RestlessConfig)
class Restless(Dots):
    pass


class NumberedConfig(DotsConfig):
    def fingerprint(self):
        return 7


@offered("dataset", "number-for-a-fingerprint", NumberedConfig)
class Numbered(Dots):
    pass


@offered("dataset", "crops-from-one-corner", DotsConfig)
class OneCorner(Dots):
    def spoil(self, split):
        right = split.crop
        split.crop = lambda indices, crops: right(indices, tokzoo.Crops(crops.size, crops.short, crops.at * 0))


@offered("dataset", "crops-too-large", DotsConfig)
class TooLarge(Dots):
    def spoil(self, split):
        right = split.crop
        split.crop = lambda indices, crops: right(indices, tokzoo.Crops(crops.size + 1, crops.short, crops.at))
