"""What several seeds say: means, intervals, and which rows cannot be told apart. No torch here."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: of the seeds.
        n: how many there are.
        deviation: the sample standard deviation (n - 1).
        half_width: half of the 95 % t-interval of the mean; None from one seed, which says nothing of the spread.
    """

    mean: float
    n: int
    deviation: float = 0.0
    half_width: float | None = None


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of seeds with its 95 % confidence interval (Student's t, n - 1 degrees of freedom)."""
    mean = statistics.fmean(values)
    n = len(values)
    if n < 2:
        return Estimate(mean, n)
    from scipy.stats import t  # half a second to import, and tables of one seed need none of it

    deviation = statistics.stdev(values)
    return Estimate(mean, n, deviation, float(t.ppf(0.975, n - 1)) * deviation / math.sqrt(n))


def separated(a: Estimate, b: Estimate) -> bool:
    """Whether two means differ by more than their noise: Welch's t-test at 5 %. Never with a single seed."""
    if a.n < 2 or b.n < 2:
        return False
    if a.deviation == b.deviation == 0:
        return a.mean != b.mean
    from scipy.stats import ttest_ind_from_stats

    test = ttest_ind_from_stats(a.mean, a.deviation, a.n, b.mean, b.deviation, b.n, equal_var=False)
    return bool(test.pvalue < 0.05)


def tie_groups(estimates: Sequence[Estimate]) -> list[tuple[int, int]]:
    """For rows sorted best first, the first and last rank (1-based) each may hold.

    A row could be as good as the best row it is not separated from, and as bad as the worst.
    """
    spans = []
    for i, row in enumerate(estimates):
        tied = [j for j, other in enumerate(estimates) if j == i or not separated(row, other)]
        spans.append((min(tied) + 1, max(tied) + 1))
    return spans
