"""Batches of a split on a device, fetched ahead of their step where that takes time."""

import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from tokzoo.contracts.interfaces import Crops, Split
from tokzoo.data.batches import Batches
from tokzoo.data.config import Augmentation
from tokzoo.data.crops import central_crops, random_crops
from tokzoo.data.pixels import to_unit
from tokzoo.data.seeding import derive_seed
from tokzoo.data.split import InMemorySplit

RESIDENT_BYTES = 4 << 30
"""Splits in memory up to this size move to the device whole: a batch is then a gather there."""
AHEAD = 4
"""How many batches are fetched before they are asked for."""
FETCHERS = 2
"""Threads that fetch: with one alone, the decoders would wait for the last picture of each batch."""

Batch = tuple[Tensor, Tensor | None]
Request = tuple[Tensor, Crops | None]
"""Which images, and the squares to cut from them (None: the images as they are judged)."""


class DeviceFeed:
    """Brings batches of ``split`` to ``device``, without waiting for it."""

    def __init__(self, split: Split, device: torch.device | str) -> None:
        self.split = split
        self.device = torch.device(device)
        if self.device.type == "cuda" and self.device.index is None:
            # Threads have a current device each; the one that is meant is this thread's.
            self.device = torch.device("cuda", torch.cuda.current_device())
        self._resident: Split = split
        # On the CPU a split in memory is where it is needed already.
        if isinstance(split, InMemorySplit) and self.device.type != "cpu" and split.images.nbytes <= RESIDENT_BYTES:
            labels = None if split.labels is None else split.labels.to(self.device)
            self._resident = InMemorySplit(split.images.to(self.device), labels)

    def batch(self, indices: Tensor, crops: Crops | None = None) -> Batch:
        """Images float32 ``[B, C, H, W]`` in [-1, 1] and labels int64 ``[B]`` (or None), on the device.

        Args:
            indices: int64 ``[B]`` on the CPU.
            crops: squares to cut, of a dataset that provides ``"crops"``; None: the images as they are judged.
        """
        if crops is not None or self._resident is self.split:
            return self.deliver(self.fetch(indices, crops))
        images, labels = self._resident.batch(self._move(indices))
        return to_unit(images), labels

    def in_order(self, batch: int, size: int | None = None) -> Iterator[Batch]:
        """The whole split in its order, in batches of at most ``batch``.

        Args:
            batch: how many images at a time.
            size: cut central squares of this size instead of the images as they are judged.
        """

        def request(number: int) -> Request:
            indices = torch.arange(number * batch, min((number + 1) * batch, len(self.split)))
            return indices, None if size is None else central_crops(len(indices), size)

        count = -(-len(self.split) // batch)
        ahead = Ahead(self, request, count)
        return (ahead.batch(number) for number in range(count))

    @property
    def is_slow(self) -> bool:
        """Whether batches are worth fetching ahead."""
        return not isinstance(self.split, InMemorySplit)

    def fetch(self, indices: Tensor, crops: Crops | None) -> Batch:
        """A batch on the CPU, uint8, where the device can copy it from; may be called from any thread."""
        found = self.split.batch(indices) if crops is None else self.split.crop(indices, crops)
        return self._pin(found[0]), None if found[1] is None else self._pin(found[1])

    def deliver(self, fetched: Batch) -> Batch:
        """What :meth:`fetch` gave, on the device."""
        images, labels = fetched
        return to_unit(self._copy(images)), None if labels is None else self._copy(labels)

    def _move(self, tensor: Tensor) -> Tensor:
        return self._copy(self._pin(tensor))

    def _copy(self, tensor: Tensor) -> Tensor:
        # Only a copy from pinned memory is asynchronous; its allocator keeps that memory until the copy is done.
        return tensor.to(self.device, non_blocking=self.device.type == "cuda")

    def _pin(self, tensor: Tensor) -> Tensor:
        if self.device.type != "cuda":
            return tensor
        # A new thread is on the first device, and would open it beside the one that is meant.
        with torch.cuda.device(self.device):
            return tensor.pin_memory()


class Ahead:
    """Batches by number, the next ones fetched in the background while one is used.

    What a batch holds depends on its number alone. An error is raised by the batch it belongs to, and again whenever
    that batch is asked for. Threads end when this is let go.

    Args:
        feed: where batches come from.
        request: what batch ``number`` holds; quick, and always called from the thread that asks.
        count: how many batches there are.
    """

    def __init__(self, feed: DeviceFeed, request: Callable[[int], Request], count: int) -> None:
        self._feed = feed
        self._request = request
        self._count = count
        self._pending: dict[int, Future[Batch]] = {}
        self._fetchers = ThreadPoolExecutor(FETCHERS, "tokzoo-fetch") if feed.is_slow else None
        if self._fetchers is not None:
            weakref.finalize(self, self._fetchers.shutdown, wait=False, cancel_futures=True)

    def batch(self, number: int) -> Batch:
        """Batch ``number``, on the device; in any order, but quickest in rising order."""
        if self._fetchers is None:
            return self._feed.batch(*self._request(number))
        wanted = [number, *range(number + 1, min(number + 1 + AHEAD, self._count))]
        for other in self._pending.keys() - set(wanted):
            self._pending.pop(other).cancel()
        for each in wanted:
            if each not in self._pending:
                self._pending[each] = self._fetchers.submit(self._feed.fetch, *self._request(each))
        return self._feed.deliver(self._pending.pop(number).result())


def training_batches(feed: DeviceFeed, batches: Batches, config: Augmentation, size: int, steps: int) -> Ahead:
    """The batches of a training of ``steps`` steps, cut from their pictures if the augmentation says so.

    Args:
        feed: where they come from.
        batches: their order; its seed also decides the crops, so that a resumed run sees the same.
        config: the augmentation. What it does on the device is not done yet.
        size: height and width of the images.
        steps: how many batches there are.
    """

    def request(step: int) -> Request:
        crops = None
        if config.crop is not None:
            crops = random_crops(config.crop, batches.size, size, derive_seed(batches.seed, "crops", step))
        return batches.batch(step), crops

    return Ahead(feed, request, steps)
