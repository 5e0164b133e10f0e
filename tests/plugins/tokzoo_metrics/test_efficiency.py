from types import SimpleNamespace

import pytest
import torch
from torch import nn

import tokzoo
from tokzoo_metrics.configs import CostConfig, ThroughputConfig
from tokzoo_metrics.cost import Cost
from tokzoo_metrics.throughput import Throughput


class Stub(nn.Module):
    """A tokenizer whose parts note what they are given."""

    def __init__(self, continuous=False):
        super().__init__()
        self.encoder, self.quantizer, self.decoder = nn.Linear(2, 3), nn.Linear(3, 3, bias=False), nn.Linear(3, 2)
        self.quantizer.register_buffer("statistics", torch.zeros(100))
        self.quantizer.weight.requires_grad_(False)
        self.encoder.forward = self.encode
        self.quantizer.forward = self.quantize
        self.quantizer.decode = lambda codes: self.note("look up", codes)
        self.decoder.decode = lambda latent, seeds, sampler: self.note("decode", latent)
        self.calls, self.continuous, self.sampler = [], continuous, None

    def note(self, name, tensor):
        assert not torch.is_grad_enabled()
        self.calls.append((name, len(tensor)))
        return tensor

    def encode(self, images):
        return tokzoo.Encoded(self.note("encode", images))

    def quantize(self, latent):
        return tokzoo.Quantized(self.note("quantize", latent), None if self.continuous else latent)


def measure(metric, tokenizer, ar=None, images=3):
    metric.update(tokzoo.EfficiencyProbe(tokenizer, ar, torch.zeros(images, 1)))
    return metric.compute()


def test_parameters():
    tokenizer = Stub()
    expected = {"cost.params": 9.0 + 9.0 + 8.0, "cost.params_encoder": 9.0, "cost.params_decoder": 8.0}
    assert measure(Cost(CostConfig(), None), tokenizer) == expected
    assert measure(Cost(CostConfig(), None), tokenizer, nn.Linear(4, 1)) == expected | {"cost.params_ar": 5.0}


def test_shared_parameters_count_once():
    tokenizer = Stub()
    tokenizer.decoder.weight = nn.Parameter(torch.zeros(2, 3))
    tokenizer.decoder.tied = tokenizer.quantizer.weight
    assert measure(Cost(CostConfig(), None), tokenizer)["cost.params"] == 9.0 + 9.0 + 8.0


@pytest.fixture
def clock(monkeypatch):
    """Every timed batch takes the next of these seconds."""
    seconds = iter([50, 1, 8, 2, 50, 1, 16, 4])
    now, running = [0.0], [False]

    def perf_counter():
        if running[0]:
            now[0] += next(seconds)
        running[0] = not running[0]
        return now[0]

    monkeypatch.setattr("tokzoo_metrics.throughput.time", SimpleNamespace(perf_counter=perf_counter))


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("continuous", [False, True])
def test_median_of_repeats_after_warmup(continuous):
    tokenizer = Stub(continuous)
    metric = Throughput(ThroughputConfig(batch=8, repeats=3, warmup=1), None)
    assert measure(metric, tokenizer) == {"cost.encode_images_per_s": 8 / 2, "cost.decode_images_per_s": 8 / 4}
    encoding = [("encode", 8), ("quantize", 8)]
    decoding = [("decode", 8)] if continuous else [("look up", 8), ("decode", 8)]
    assert tokenizer.calls == encoding * 4 + decoding * 4


def test_batch_is_cut_from_more_images():
    tokenizer = Stub()
    measured = measure(Throughput(ThroughputConfig(batch=2, repeats=1, warmup=0), None), tokenizer, images=5)
    assert all(rate > 0 for rate in measured.values())
    assert {count for _, count in tokenizer.calls} == {2}
