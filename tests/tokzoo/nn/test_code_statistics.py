import pytest
import torch

from tokzoo.nn.code_statistics import code_statistics


def test_by_hand():
    found = code_statistics(torch.tensor([[3, 3], [1, 0]]), 8)
    assert found["usage"] == 3 / 8
    # Shares 1/2, 1/4, 1/4: an entropy of 1.5 bits.
    assert found["perplexity"].item() == pytest.approx(2**1.5)


def test_extremes():
    assert code_statistics(torch.full((10,), 5), 16)["perplexity"] == 1
    spread = code_statistics(torch.arange(16), 16)
    assert spread["usage"] == 1
    assert spread["perplexity"].item() == pytest.approx(16)
