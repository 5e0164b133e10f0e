import copy
import dataclasses

import pytest
import torch

from tokzoo import TokzooError
from tokzoo.data.config import Augmentation
from tokzoo.data.pixels import to_unit
from tokzoo.data.split import InMemorySplit
from tokzoo.evaluation.codes import extract_codes

CPU = torch.device("cpu")


def test_views_are_the_codes_of_the_augmented_images(tokenizer, split):
    found = extract_codes(tokenizer, split, Augmentation(flip=True), 3, CPU)
    assert found.codes.shape == (2, 7, 16)
    assert found.codes.dtype == torch.int32
    images = to_unit(split.images)
    plain = torch.cat([tokenizer.encode(part) for part in images.split(3)])
    flipped = torch.cat([tokenizer.encode(part.flip(-1)) for part in images.split(3)])
    assert torch.equal(found.codes[0].long(), plain)
    assert torch.equal(found.codes[1].long(), flipped)
    assert not torch.equal(plain, flipped)
    assert len({tuple(row) for row in plain.tolist()}) == 7
    assert torch.equal(found.labels, split.labels)


def test_without_augmentation_or_labels(tokenizer, split):
    found = extract_codes(tokenizer, InMemorySplit(split.images), Augmentation(), 100, CPU)
    assert found.codes.shape == (1, 7, 16)
    assert found.labels is None
    assert torch.equal(found.codes[0].long(), tokenizer.encode(to_unit(split.images)))


def test_continuous(tokenizer, split):
    continuous = copy.copy(tokenizer)
    continuous.chain = dataclasses.replace(tokenizer.chain, codes=None)
    with pytest.raises(TokzooError, match="continuous"):
        extract_codes(continuous, split, Augmentation(), 3, CPU)
