"""What several seeds say: means, intervals, and which rows cannot be told apart. No torch here."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds.

    Attributes:
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
    deviation = statistics.stdev(values)
    return Estimate(mean, n, deviation, t_quantile(n - 1) * deviation / math.sqrt(n))


def t_quantile(freedom: float, level: float = 0.95) -> float:
    """The two-sided quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2))


def separated(a: Estimate, b: Estimate) -> bool:
    """Whether two means differ by more than their noise: Welch's t-test at 5 %. Never with a single seed."""
    if a.n < 2 or b.n < 2:
        return False
    va, vb = a.deviation**2 / a.n, b.deviation**2 / b.n
    if va + vb == 0:
        return a.mean != b.mean
    freedom = (va + vb) ** 2 / (va**2 / (a.n - 1) + vb**2 / (b.n - 1))
    return abs(a.mean - b.mean) > t_quantile(freedom) * math.sqrt(va + vb)


def tie_groups(estimates: Sequence[Estimate]) -> list[tuple[int, int]]:
    """For rows sorted best first, the first and last rank (1-based) each may hold.

    A row could be as good as the best row it is not separated from, and as bad as the worst.
    """
    spans = []
    for i, row in enumerate(estimates):
        tied = [j for j, other in enumerate(estimates) if j == i or not separated(row, other)]
        spans.append((min(tied) + 1, max(tied) + 1))
    return spans
