import pytest
import torch

import tokzoo

RAR = {"use": "strain/rar", "layers": 2, "heads": 2, "width": 16}


@pytest.fixture
def learned(lab):
    lab = lab("rar")
    return lab.ar(lab.tokenizer(quantizer={"use": "vq", "codes": 16, "dim": 4}), RAR)


def test_orders_are_annealed_to_raster_order(learned):
    config = learned.model.config
    randomness = [config.randomness(tokzoo.Progress(step, 100)) for step in (0, 49, 62, 75, 99)]
    assert randomness == pytest.approx([1, 1, 0.52, 0, 0])
    model = learned.model.train()
    losses = [model(learned.codes, None, tokzoo.Progress(step, 100)).loss for step in (0, 0, 99)]
    assert losses[0] != losses[1]
    assert losses[2] == model.eval()(learned.codes, None).loss


def test_it_is_exact_in_raster_order(learned):
    torch.manual_seed(0)
    first = learned.model.likelihood(learned.codes, None, torch.arange(12))
    torch.manual_seed(1)
    second = learned.model.likelihood(learned.codes, None, torch.arange(12) + 100)
    assert first.exact
    assert first.nats_per_token.equal(second.nats_per_token)


def test_it_keeps_to_the_kit(lab):
    assert not lab("rar").conformance("ar", "strain/rar")
