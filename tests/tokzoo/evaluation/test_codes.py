import copy
import dataclasses

import pytest
import torch
from torchvision.transforms import functional as reference

from tokzoo import TokzooError
from tokzoo.data.augment import flip, identity
from tokzoo.data.pixels import to_unit
from tokzoo.data.split import InMemorySplit
from tokzoo.evaluation.codes import extract_codes, extract_ten_crops

CPU = torch.device("cpu")


def test_views_are_the_codes_of_the_augmented_images(tokenizer, split):
    found = extract_codes(tokenizer, split, [identity, flip], 3, CPU)
    assert found.codes.shape == (2, 7, 16)
    assert found.codes.dtype == torch.int16
    images = to_unit(split.images)
    plain = torch.cat([tokenizer.encode(part) for part in images.split(3)])
    flipped = torch.cat([tokenizer.encode(part.flip(-1)) for part in images.split(3)])
    assert torch.equal(found.codes[0].long(), plain)
    assert torch.equal(found.codes[1].long(), flipped)
    assert not torch.equal(plain, flipped)
    assert len({tuple(row) for row in plain.tolist()}) == 7
    assert torch.equal(found.labels, split.labels)


def test_without_augmentation_or_labels(tokenizer, split):
    found = extract_codes(tokenizer, InMemorySplit(split.images), [identity], 100, CPU)
    assert found.codes.shape == (1, 7, 16)
    assert found.labels is None
    assert torch.equal(found.codes[0].long(), tokenizer.encode(to_unit(split.images)))


def test_continuous(tokenizer, split):
    continuous = copy.copy(tokenizer)
    continuous.chain = dataclasses.replace(tokenizer.chain, codes=None)
    with pytest.raises(TokzooError, match="continuous"):
        extract_codes(continuous, split, [identity], 3, CPU)


@pytest.mark.parametrize(
    ("vocabulary", "dtype"), [(2**15, torch.int16), (2**15 + 1, torch.int32), (2**36, torch.int64)]
)
def test_codes_take_no_more_room_than_they_need(tokenizer, split, vocabulary, dtype):
    large = copy.copy(tokenizer)
    spec = dataclasses.replace(tokenizer.chain.codes, vocab=(vocabulary,))
    large.chain = dataclasses.replace(tokenizer.chain, codes=spec)
    large.codes_of = lambda images: torch.full((len(images), 16), vocabulary - 1)
    found = extract_codes(large, split, [identity], 3, CPU)
    assert found.codes.dtype == dtype
    assert (found.codes.long() == vocabulary - 1).all()


class Cropping(InMemorySplit):
    """Cuts larger images from the middle of images of 12 pixels."""

    def crop(self, indices, crops):
        assert crops.short.tolist() == [crops.size] * len(indices)
        assert crops.at.tolist() == [[0.5, 0.5]] * len(indices)
        return self.images[indices][..., : crops.size, : crops.size], self.labels[indices]


def test_ten_crops(tokenizer, monkeypatch):
    monkeypatch.setattr("tokzoo.evaluation.codes.larger_for_ten_crops", lambda size: size + 3)
    images = torch.randint(0, 256, (7, 1, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    split = Cropping(images, torch.arange(7))
    found = extract_ten_crops(tokenizer, split, 3, CPU)
    assert found.codes.shape == (10, 7, 16)
    assert found.labels.tolist() == list(range(7))
    for view, crop in zip(found.codes, reference.ten_crop(to_unit(images[..., :11, :11]), [8, 8]), strict=True):
        assert torch.equal(view.long(), torch.cat([tokenizer.encode(part) for part in crop.split(3)]))


def test_ten_crops_of_images_of_one_size(tokenizer, split):
    with pytest.raises(TokzooError, match="cuts no crops"):
        extract_ten_crops(tokenizer, split, 3, CPU)
