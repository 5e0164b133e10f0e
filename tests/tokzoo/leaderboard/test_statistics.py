"""Intervals and ties against scipy's own tests."""

import random

import pytest
import scipy.stats

from tokzoo.leaderboard.statistics import Estimate, estimate, separated, tie_groups


def samples(seed, n=4, mean=0.0, spread=1.0):
    generator = random.Random(seed)
    return [generator.gauss(mean, spread) for _ in range(n)]


@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.parametrize("seed", range(3))
def test_the_interval_is_students(seed, n):
    values = samples(seed, n, mean=20)
    found = estimate(values)
    low, high = scipy.stats.t.interval(0.95, n - 1, loc=found.mean, scale=scipy.stats.sem(values))
    assert found.n == n
    assert found.mean == pytest.approx(sum(values) / n, rel=1e-12)
    assert found.mean - found.half_width == pytest.approx(low, rel=1e-9)
    assert found.mean + found.half_width == pytest.approx(high, rel=1e-9)


def test_one_seed_says_nothing_of_the_spread():
    assert estimate([3.0]) == Estimate(3.0, 1, half_width=None)


def test_equal_seeds_have_an_interval_of_zero():
    assert estimate([3.0, 3.0, 3.0]).half_width == 0.0


def test_separation_is_welchs_test():
    decisions = []
    for seed in range(200):
        a = samples(seed, n=3 + seed % 4)
        b = samples(seed + 1000, n=2 + seed % 5, mean=seed % 7, spread=0.2 + seed % 3)
        expected = scipy.stats.ttest_ind(a, b, equal_var=False).pvalue < 0.05
        assert separated(estimate(a), estimate(b)) == separated(estimate(b), estimate(a)) == expected
        decisions.append(expected)
    assert 20 < sum(decisions) < 180


def test_a_single_seed_is_never_separated():
    assert not separated(estimate([0.0]), estimate([100.0, 100.1, 100.2]))
    assert not separated(estimate([0.0]), estimate([100.0]))


def test_rows_that_do_not_vary_are_separated_by_any_difference():
    assert separated(Estimate(1.0, 3), Estimate(1.1, 3))
    assert not separated(Estimate(1.0, 3), Estimate(1.0, 3))


def spans(*rows):
    return tie_groups([estimate(row) for row in rows])


def test_separated_rows_hold_one_rank_each():
    assert spans([9.0, 9.01, 9.02], [5.0, 5.01, 5.02], [1.0, 1.01, 1.02]) == [(1, 1), (2, 2), (3, 3)]


def test_rows_within_noise_share_ranks():
    assert spans([9.0, 9.2, 8.8], [9.0, 9.1, 8.7], [1.0, 1.1, 1.2]) == [(1, 2), (1, 2), (3, 3)]


def test_ties_are_no_chain():
    # The first and the last are apart, and the wide one between them could be either.
    rows = ([9.0, 9.1, 9.2], [8.0, 4.0, 6.0], [3.0, 3.1, 3.2])
    assert spans(*rows) == [(1, 2), (1, 3), (2, 3)]


def test_no_rows_have_no_ranks():
    assert tie_groups([]) == []


def test_a_row_of_one_seed_ties_with_all_and_exact_ones_with_their_equals():
    assert spans([3.0], [2.0, 2.0], [2.0, 2.0], [1.0, 1.0]) == [(1, 4), (1, 3), (1, 3), (1, 4)]
