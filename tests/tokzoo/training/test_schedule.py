import math

import pytest

from tokzoo.recipes.optimization import Optimization
from tokzoo.training.schedule import learning_rate


def rates(total, **config):
    return [learning_rate(step, total, Optimization(**config)) for step in range(total)]


def test_cosine_by_hand():
    # Warm-up in four equal stairs to 1; then from 1 to 0.2 at the last of five more steps: quarters of half a wave.
    half = math.sqrt(0.5)
    falling = [1.0, 0.6 + 0.4 * half, 0.6, 0.6 - 0.4 * half, 0.2]
    assert rates(9, lr=1.0, warmup=4, final_lr=0.2) == pytest.approx([0.25, 0.5, 0.75, 1.0, *falling])


def test_constant_by_hand():
    assert rates(5, lr=3.0, warmup=3, schedule="constant", final_lr=0.2) == pytest.approx([1, 2, 3, 3, 3])


def test_wsd_by_hand():
    # Two stairs up, two steps held, then four steps of the square root: none of them is already 0.
    falling = [1.0, 1 - math.sqrt(1 / 4), 1 - math.sqrt(2 / 4), 1 - math.sqrt(3 / 4)]
    assert rates(8, lr=2.0, warmup=2, schedule="wsd", cooldown=4, final_lr=0.0) == pytest.approx(
        [1.0, 2.0, 2.0, 2.0, *(2 * height for height in falling)]
    )


def test_wsd_ends_where_it_is_told_to():
    found = rates(100_000, lr=1.0, schedule="wsd", cooldown=0.2, final_lr=0.1)
    assert found[80_000] == pytest.approx(1.0)
    assert found[80_001] < found[80_000]
    assert found[-1] == pytest.approx(0.1, abs=1e-4)


def test_a_stopped_wsd_goes_on_as_if_it_had_not_been():
    """GigaTok's probe is planned for 300 epochs and stopped after 50: held all the time."""
    assert rates(50, lr=1.0, warmup=0, schedule="wsd", cooldown=0.0) == pytest.approx([1.0] * 50)


def test_warmup_as_a_fraction_of_the_budget():
    assert rates(10, lr=1.0, warmup=0.2) == rates(10, lr=1.0, warmup=2)
    assert rates(10, lr=1.0, warmup=0.0) == rates(10, lr=1.0, warmup=0)


def test_without_warmup_the_first_step_is_full():
    assert rates(3, lr=2.0, final_lr=0.0) == pytest.approx([2.0, 1.0, 0.0])


@pytest.mark.parametrize(("total", "warmup"), [(1, 0), (1, 1), (3, 3), (3, 10), (4, 3)])
def test_degenerate_budgets(total, warmup):
    found = rates(total, lr=1.0, warmup=warmup)
    assert found == sorted(found)
    assert found[0] == pytest.approx(1 / max(1, warmup))
    assert found[-1] == pytest.approx(min(1, total / max(1, warmup)))
