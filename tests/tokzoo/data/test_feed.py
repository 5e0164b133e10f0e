import gc
import threading
import time

import pytest
import torch

import tokzoo
from tokzoo.data.batches import Batches
from tokzoo.data.config import Augmentation, RandomCrop
from tokzoo.data.crops import central_crops
from tokzoo.data.feed import AHEAD, Ahead, DeviceFeed, training_batches
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


class Slow(Computed):
    """Notes what is fetched and by which thread; picture 7 is broken."""

    def __init__(self):
        self.asked = []

    def batch(self, indices):
        self.asked.append((indices.tolist(), threading.current_thread().name))
        if 7 in indices:
            raise tokzoo.TokzooError("picture 7 is broken")
        return super().batch(indices)

    def crop(self, indices, crops):
        self.asked.append((indices.tolist(), threading.current_thread().name))
        base = (crops.at[:, :1] * 200 + crops.short[:, None]).to(torch.uint8).view(-1, 1, 1, 1)
        return base.expand(-1, 1, crops.size, crops.size), indices * 10


def fetching_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("tokzoo-fetch")]


def ahead_of(split, count=20):
    return Ahead(DeviceFeed(split, "cpu"), lambda number: (torch.tensor([number, 0]), None), count)


def test_batches_fetched_ahead_are_the_batches():
    split = Slow()
    ahead = ahead_of(split, 6)
    for number in (0, 1, 2, 3, 4, 5, 2, 0, 5):
        images, labels = ahead.batch(number)
        expected = DeviceFeed(Computed(), "cpu").batch(torch.tensor([number, 0]))
        assert torch.equal(images, expected[0])
        assert torch.equal(labels, expected[1])
    assert all(name.startswith("tokzoo-fetch") for _, name in split.asked)
    assert max(indices[0] for indices, _ in split.asked) == 5


def test_the_next_batches_are_fetched_while_one_is_used():
    split = Slow()
    ahead = ahead_of(split)
    ahead.batch(0)
    for _ in range(1000):
        if len(split.asked) == 1 + AHEAD:
            break
        time.sleep(0.001)
    assert sorted(indices[0] for indices, _ in split.asked) == list(range(1 + AHEAD))


def test_an_error_is_raised_by_its_batch():
    ahead = ahead_of(Slow())
    for number in range(7):
        ahead.batch(number)
    for _ in range(2):
        with pytest.raises(tokzoo.TokzooError, match="picture 7 is broken"):
            ahead.batch(7)
    assert ahead.batch(8)[1].tolist() == [80, 0]


def test_threads_end_with_their_feed():
    before = fetching_threads()  # of feeds elsewhere, which may end meanwhile
    ahead = ahead_of(Slow())
    ahead.batch(0)
    own = [thread for thread in fetching_threads() if thread not in before]
    assert own
    del ahead
    gc.collect()
    for thread in own:
        thread.join(timeout=10)
    assert not any(thread.is_alive() for thread in own)


def test_a_split_in_memory_needs_no_threads():
    before = len(fetching_threads())
    ahead = ahead_of(in_memory())
    assert ahead.batch(3)[1].tolist() == [30, 0]
    assert len(fetching_threads()) == before


@pytest.mark.parametrize("split", [in_memory(), Computed()], ids=["memory", "computed"])
def test_in_order(split):
    found = list(DeviceFeed(split, "cpu").in_order(8))
    assert [len(images) for images, _ in found] == [8, 8, 4]
    assert torch.cat([labels for _, labels in found]).tolist() == [10 * i for i in range(20)]


def test_training_batches_are_cut_as_their_step_says():
    config = Augmentation(crop=RandomCrop(smallest=0.5))

    def walk(steps):
        ahead = training_batches(DeviceFeed(Slow(), "cpu"), Batches(20, 6, seed=3), config, 4, 9)
        return {step: ahead.batch(step) for step in steps}

    whole, resumed, other = walk(range(9)), walk(range(5, 9)), walk([8, 2])
    for part in (resumed, other):
        for step, (images, labels) in part.items():
            assert torch.equal(images, whole[step][0])
            assert torch.equal(labels, whole[step][1])
    assert len({tuple(images[:, 0, 0, 0].tolist()) for images, _ in whole.values()}) == 9
    assert whole[0][0].shape == (6, 1, 4, 4)
    plain = training_batches(DeviceFeed(Computed(), "cpu"), Batches(20, 6, seed=3), Augmentation(), 4, 9)
    assert all(torch.equal(plain.batch(step)[1], whole[step][1]) for step in range(9))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_split_in_memory_refuses_crops(device):
    with pytest.raises(tokzoo.TokzooError, match="cuts no crops"):
        DeviceFeed(in_memory(), device).batch(torch.tensor([0]), central_crops(1, 2))
