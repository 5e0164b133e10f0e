import pytest
import torch
from torch import nn

from tokzoo import Overwritten
from tokzoo.training.ema import WeightAverage


@pytest.fixture
def weights():
    return {"a": nn.Parameter(torch.tensor([[1.0], [2.0]])), "b": nn.Parameter(torch.tensor(3.0))}


def test_average_by_hand(weights):
    average = WeightAverage(weights, 0.5)
    expected = torch.tensor([[1.0], [2.0]])
    for step, decay in enumerate([1 / 10, 2 / 11, 3 / 12, 4 / 13, 5 / 14, 6 / 15, 7 / 16, 8 / 17, 0.5, 0.5]):
        weights["a"].data += 1
        average.update(step)
        expected = decay * expected + (1 - decay) * weights["a"].detach()
        torch.testing.assert_close(average.average["a"], expected)
    assert average.average["b"] == 3


def test_restart_takes_over_the_overwritten_rows_alone(weights):
    average = WeightAverage(weights, 0.5)
    weights["a"].data += 7
    average.restart([Overwritten(weights["a"], torch.tensor([False, True]))])
    assert average.average["a"].tolist() == [[1.0], [9.0]]
    average.restart([Overwritten(nn.Parameter(torch.zeros(2, 1)), torch.tensor([True, True]))])  # somebody else's
    assert average.average["a"].tolist() == [[1.0], [9.0]]


def test_copy_to_weights(weights):
    average = WeightAverage(weights, 0.5)
    weights["a"].data += 7
    average.copy_to_weights()
    assert weights["a"].tolist() == [[1.0], [2.0]]
    weights["a"].data += 1
    assert average.average["a"].tolist() == [[1.0], [2.0]]  # not the same memory
