import pytest
import torch

GUMBEL = {"use": "strain/gumbel", "codes": 16, "dim": 5}


def test_its_temperature_falls_with_progress(lab):
    lab = lab("gumbel")
    tokenizer = lab.tokenizer(quantizer={**GUMBEL, "anneal": 0.7}, regularizers={"entropy": "entropy"})
    assert tokenizer.chain.quantized.channels == 5
    # The mean over steps 0, 1 and 2, of which the last is past 70 % of the budget.
    assert lab.events[-1]["quantizer.temperature"] == pytest.approx((1 + (1 + 1 / 16) / 2 + 1 / 16) / 3)


def test_its_assignment_is_its_softmax(lab):
    lab = lab("gumbel")
    quantizer = lab.tokenizer(quantizer=GUMBEL).quantizer
    latent = torch.randn(2, 16, quantizer.logits.in_features)
    (factor,) = quantizer.assignment(latent)
    logits = -factor.scale * torch.cdist(factor.queries, factor.codes).square() + factor.bias
    torch.testing.assert_close(logits.softmax(-1), quantizer.logits(latent).softmax(-1).flatten(0, 1))


def test_it_keeps_to_the_kit(lab):
    assert not lab("gumbel").conformance("quantizer", "strain/gumbel")
