import pytest
import torch

from tokzoo.data.batches import Batches, in_order


@pytest.mark.parametrize(("length", "batch"), [(10, 3), (12, 4), (7, 7), (3, 8), (1, 4)])
def test_every_epoch_is_a_permutation(length, batch):
    batches = Batches(length, batch, seed=5)
    stream = torch.cat([batches.batch(step) for step in range(6 * length)])
    assert len(stream) == 6 * length * batch
    for epoch in stream.view(-1, length):
        assert sorted(epoch.tolist()) == list(range(length))


def test_epochs_and_seeds_differ():
    def epoch(seed, number):
        return Batches(100, 100, seed).batch(number).tolist()

    orders = [epoch(0, 0), epoch(0, 1), epoch(1, 0), epoch(1, 1), list(range(100))]
    assert len({tuple(order) for order in orders}) == 5


def test_a_step_depends_on_nothing_before_it():
    walked = Batches(10, 4, seed=2)
    expected = [walked.batch(step) for step in range(12)]
    for step in (11, 0, 5, 5, 2):
        assert torch.equal(walked.batch(step), expected[step])
        assert torch.equal(Batches(10, 4, seed=2).batch(step), expected[step])


def test_the_global_generator_is_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    Batches(10, 4, seed=2).batch(3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("length", "batch"), [(0, 4), (4, 0)])
def test_nothing_to_batch(length, batch):
    with pytest.raises(ValueError, match="cannot make batches"):
        Batches(length, batch, seed=0)


def test_in_order():
    assert [indices.tolist() for indices in in_order(5, 2)] == [[0, 1], [2, 3], [4]]
    assert [len(indices) for indices in in_order(4, 2)] == [2, 2]
    assert list(in_order(0, 2)) == []
