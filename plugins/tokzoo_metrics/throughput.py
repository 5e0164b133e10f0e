"""Images encoded and decoded per second: the median of repeated batches, waiting for the device around each."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any, TypeVar

import torch
from torch import Tensor

import tokzoo

T = TypeVar("T")


class Throughput(tokzoo.Metric):
    """Times the tokenizer on one batch of the config's size, made of the probe's images in turn.

    The modules run as they come: in their own precision, and in eval mode as the runner hands them over.
    """

    def __init__(self, config: Any, chain: tokzoo.Chain) -> None:
        super().__init__(config, chain)
        self._rates: dict[str, float] = {}

    @torch.no_grad()
    def update(self, probe: tokzoo.EfficiencyProbe) -> None:
        """Time both directions."""
        tokenizer = probe.tokenizer
        turns = torch.arange(self.config.batch, device=probe.images.device) % len(probe.images)
        images = probe.images.index_select(0, turns)

        def encode() -> tokzoo.Quantized:
            return tokenizer.quantizer(tokenizer.encoder(images).latent)

        encoding, encoded = self._time(encode, images.device)

        seeds = torch.arange(len(images), device=images.device)

        def decode() -> Tensor:
            latent = encoded.latent if encoded.codes is None else tokenizer.quantizer.decode(encoded.codes)
            return tokenizer.decoder.decode(latent, seeds, tokenizer.sampler)

        decoding, _ = self._time(decode, images.device)
        self._rates = {
            "cost.encode_images_per_s": self.config.batch / encoding,
            "cost.decode_images_per_s": self.config.batch / decoding,
        }

    def compute(self) -> dict[str, float]:
        """The rates."""
        return self._rates

    def _time(self, work: Callable[[], T], device: torch.device) -> tuple[float, T]:
        """The median time of ``work`` in seconds, and what it gave last."""
        times = []
        for _ in range(self.config.warmup + self.config.repeats):
            _wait_for(device)
            start = time.perf_counter()
            result = work()
            _wait_for(device)
            times.append(time.perf_counter() - start)
        return median(times[self.config.warmup :]), result


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
