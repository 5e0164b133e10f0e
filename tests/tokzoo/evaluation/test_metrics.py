import math
from dataclasses import replace
from typing import ClassVar

import pytest
import torch

import tokzoo
from tokzoo.assembly.build import build_ar
from tokzoo.data.codes import CodeSet
from tokzoo.data.pixels import to_unit
from tokzoo.evaluation import metrics
from tokzoo.recipes.slots import Slot
from tokzoo.registry.catalogue import Entry

CPU = torch.device("cpu")
BATCHES = []


class SeenConfig(tokzoo.MetricConfig):
    stage: ClassVar = "reconstruction"
    reports: ClassVar = (tokzoo.MetricInfo("test.count", "count"),)

    def protocol(self):
        return {}


class Seen(tokzoo.Metric):
    def update(self, batch):
        BATCHES.append(batch)

    def compute(self):
        return {"test.count": torch.tensor(float(len(BATCHES)))}


@pytest.fixture
def seen():
    BATCHES.clear()
    config = SeenConfig()
    spec = tokzoo.ComponentSpec("metric", "seen", SeenConfig, Seen, summary="for tests")
    return Slot("metric", Entry(spec, "test"), config)


@pytest.fixture
def metric(catalogue):
    def slot(name):
        entry = catalogue.get("metric", name)
        return Slot("metric", entry, entry.config())

    return slot


@pytest.fixture
def model(catalogue, tokenizer):
    entry = catalogue.get("ar", "gpt")
    config = entry.config(size=None, layers=1, heads=1, width=8, ffn_multiple=8)
    torch.manual_seed(0)
    model = build_ar(Slot("ar", entry, config), replace(tokenizer.chain.tokens, classes=14))
    for layer in (model.head, model.starts):  # so that labels matter
        torch.nn.init.normal_(layer.weight)
    return model.eval()


def test_reconstruction_passes_the_split_once(tokenizer, split, seen):
    assert metrics.reconstruction(tokenizer, split, [seen], 0, 3, CPU) == {"test.count": 3.0}
    assert [len(batch.images) for batch in BATCHES] == [3, 3, 1]
    assert torch.equal(torch.cat([batch.images for batch in BATCHES]), to_unit(split.images))
    assert torch.equal(torch.cat([batch.labels for batch in BATCHES]), split.labels)
    for batch in BATCHES:
        assert torch.equal(batch.codes, tokenizer.encode(batch.images))
        assert torch.equal(batch.reconstructions, tokenizer.decode(batch.codes))


def test_all_metrics_of_a_stage_share_the_pass(tokenizer, split, seen, metric):
    found = metrics.reconstruction(tokenizer, split, [metric("psnr"), seen, metric("codebook")], 0, 3, CPU)
    assert found.keys() == {"reconstruction.psnr", "codes.usage", "codes.perplexity", "test.count"}
    assert all(type(value) is float for value in found.values())
    assert len(BATCHES) == 3


@pytest.mark.parametrize("batch", [1, 3, 7, 100])
def test_every_image_counts_the_same(tokenizer, split, metric, batch):
    found = metrics.reconstruction(tokenizer, split, [metric("psnr")], 0, batch, CPU)["reconstruction.psnr"]
    images = to_unit(split.images)
    pixels = [((x.clamp(-1, 1) + 1) * 127.5).round().double() for x in (images, tokenizer.reconstruct(images)[0])]
    errors = (pixels[0] - pixels[1]).square().flatten(1).mean(1)
    assert found == pytest.approx((10 * (255**2 / errors).log10()).mean().item(), rel=1e-4)


@pytest.mark.parametrize("batch", [2, 7, 100])
def test_likelihood_by_hand(tokenizer, model, metric, batch):
    codes = torch.randint(0, 512, (2, 7, 16), dtype=torch.int32, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(7) * 2
    found = metrics.likelihood(model, CodeSet(codes, labels), tokenizer.chain, [metric("ar-loss")], 0, batch, CPU)
    with torch.no_grad():
        first = codes[0].long()
        logs = model.logits(first, labels).log_softmax(-1).gather(-1, first[..., None])
    nats = -logs.mean().item()
    assert found == pytest.approx({"ar.nats_per_token": nats, "ar.bits_per_image": nats * 16 / math.log(2)}, rel=1e-5)
    blind = metrics.likelihood(model, CodeSet(codes, None), tokenizer.chain, [metric("ar-loss")], 0, batch, CPU)
    assert blind["ar.nats_per_token"] != pytest.approx(nats, rel=1e-4)


def test_likelihood_passes_the_codes_once(tokenizer, model, seen):
    codes = CodeSet(torch.zeros(1, 7, 16, dtype=torch.int32), None)
    metrics.likelihood(model, codes, tokenizer.chain, [seen], 0, 3, CPU)
    assert [len(batch.loss.nats_per_token) for batch in BATCHES] == [3, 3, 1]
    assert all(batch.codes is tokenizer.chain.codes for batch in BATCHES)


def test_efficiency_looks_at_one_real_batch(tokenizer, model, split, seen, metric):
    found = metrics.efficiency(tokenizer, model, split, [seen, metric("cost")], 3, CPU)
    (probe,) = BATCHES
    assert probe.tokenizer is tokenizer
    assert probe.ar is model
    assert torch.equal(probe.images, to_unit(split.images[:3]))
    assert found["cost.params_ar"] == sum(parameter.numel() for parameter in model.parameters())
    assert "cost.params_ar" not in metrics.efficiency(tokenizer, None, split, [metric("cost")], 100, CPU)


def test_nothing_learns(tokenizer, split, seen):
    metrics.reconstruction(tokenizer, split, [seen], 0, 3, CPU)
    assert not any(batch.reconstructions.requires_grad for batch in BATCHES)


def test_what_is_drawn_for_an_image_depends_on_its_place_and_the_cell_s_seed_alone(
    tokenizer, model, split, seen, monkeypatch
):
    given = {}

    def note(stage, found):
        def call(first, *rest):
            given.setdefault(stage, []).extend(rest[-1].tolist())
            return found(first, *rest)

        return call

    monkeypatch.setattr(tokenizer, "reconstruct", note("reconstruction", tokenizer.reconstruct))
    monkeypatch.setattr(tokenizer, "decode", note("generation", tokenizer.decode))
    monkeypatch.setattr(model, "likelihood", note("likelihood", model.likelihood))
    codes = CodeSet(torch.zeros(1, 7, 16, dtype=torch.int16), None)

    def run(seed, batch):
        given.clear()
        metrics.reconstruction(tokenizer, split, [seen], seed, batch, CPU)
        metrics.likelihood(model, codes, tokenizer.chain, [seen], seed, batch, CPU)
        metrics.generation(tokenizer, codes, [seen], seed, batch, CPU)
        return dict(given)

    whole = run(0, 100)
    assert run(0, 3) == whole
    other = run(1, 100)
    drawn = [seed for seeds in (*whole.values(), *other.values()) for seed in seeds]
    assert len(set(drawn)) == len(drawn) == 2 * 3 * 7
