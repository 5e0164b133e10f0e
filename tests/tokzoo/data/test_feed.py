import pytest
import torch

import tokzoo
from tokzoo.data.feed import DeviceFeed
from tokzoo.data.pixels import to_uint8
from tokzoo.data.split import InMemorySplit


class Computed(tokzoo.Split):
    """A split that is not held in memory."""

    def __len__(self):
        return 20

    def batch(self, indices):
        return indices.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2), indices * 10


def in_memory(labelled=True):
    images, labels = Computed().batch(torch.arange(20))
    return InMemorySplit(images.contiguous(), labels if labelled else None)


@pytest.mark.parametrize("split", [in_memory(), Computed()], ids=["memory", "computed"])
def test_batch(split):
    images, labels = DeviceFeed(split, "cpu").batch(torch.tensor([3, 19, 3]))
    assert images.dtype == torch.float32
    assert images.shape == (3, 1, 2, 2)
    assert to_uint8(images)[:, 0, 1, 0].tolist() == [3, 19, 3]
    assert images.min() >= -1
    assert labels.tolist() == [30, 190, 30]


def test_without_labels():
    assert DeviceFeed(in_memory(labelled=False), "cpu").batch(torch.tensor([1]))[1] is None


def test_the_split_is_not_written_to():
    split = in_memory()
    before = split.images.clone()
    images, _ = DeviceFeed(split, "cpu").batch(torch.arange(20))
    images.zero_()
    assert torch.equal(split.images, before)


def test_in_memory_split():
    split = in_memory()
    assert len(split) == 20
    images, labels = split.batch(torch.tensor([5]))
    assert images.dtype == torch.uint8
    assert images.flatten().tolist() == [5] * 4
    assert labels.tolist() == [50]


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(2, 1, 4, 4), None),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), None),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.uint8)),
    ],
)
def test_wrong_tensors(images, labels):
    with pytest.raises(ValueError, match="must be"):
        InMemorySplit(images, labels)


@pytest.mark.parametrize("split", [in_memory(), Computed()], ids=["memory", "computed"])
def test_meta_device_stands_for_an_accelerator(split):
    # Without one at hand, this at least shows that everything goes to the device asked for.
    images, labels = DeviceFeed(split, "meta").batch(torch.tensor([1, 2]))
    assert images.device.type == labels.device.type == "meta"
    assert images.shape == (2, 1, 2, 2)
