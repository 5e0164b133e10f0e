import torch

from tokzoo.nn.reservoir import Reservoir


def test_keeps_the_most_recent():
    reservoir = Reservoir(10, 1)
    reservoir.put(torch.arange(4.0)[:, None])
    assert reservoir.contents().flatten().tolist() == [0, 1, 2, 3]
    assert set(reservoir.draw(200).flatten().tolist()) == {0, 1, 2, 3}, "never a place not yet filled"
    reservoir.put(torch.arange(4.0, 13.0)[:, None])
    assert set(reservoir.contents().flatten().tolist()) == set(range(3, 13))
    assert set(reservoir.draw(500).flatten().tolist()) == set(range(3, 13))


def test_thins_what_does_not_fit():
    reservoir = Reservoir(10, 1)
    reservoir.put(torch.arange(25.0)[:, None])
    assert reservoir.contents().flatten().tolist() == [0, 3, 6, 9, 12, 15, 18, 21, 24]
