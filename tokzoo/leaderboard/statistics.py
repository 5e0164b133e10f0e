"""What several seeds say: means, intervals, and which rows cannot be told apart. No torch here."""

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
    deviation = statistics.stdev(values)
    return Estimate(mean, n, deviation, _quantile(n - 1) * deviation / math.sqrt(n))


@functools.cache
def _quantile(freedom: int) -> float:
    """Of Student's t at 97.5 %. It takes a tenth of a millisecond, and a table asks for it once a number."""
    from scipy.stats import t  # half a second to import, and tables of one seed need none of it

    return float(t.ppf(0.975, freedom))


def separated(a: Estimate, b: Estimate) -> bool:
    """Whether two means differ by more than their noise: Welch's t-test at 5 %. Never with a single seed."""
    return bool(_separated(a, *_columns([b]))[0])


def tie_groups(estimates: Sequence[Estimate]) -> list[tuple[int, int]]:
    """For rows from best to worst, the first and last rank each could have: a row ties with all it cannot be told from.

    A row could be as good as the best row it is not separated from, and as bad as the worst.
    """
    import numpy as np  # a tenth of a second to import

    columns = _columns(estimates)
    spans = []
    for i, row in enumerate(estimates):
        tied = np.append(np.flatnonzero(~_separated(row, *columns)), i)
        spans.append((int(tied.min()) + 1, int(tied.max()) + 1))
    return spans


def _columns(estimates: Sequence[Estimate]) -> "NDArray[Any]":
    """Means, deviations and counts."""
    import numpy as np

    return np.array([(each.mean, each.deviation, each.n) for each in estimates]).reshape(-1, 3).T


def _separated(
    a: Estimate, means: "NDArray[Any]", deviations: "NDArray[Any]", counts: "NDArray[Any]"
) -> "NDArray[np.bool_]":
    """Whether a mean is separated from each of others, tested at once: a test by itself costs ten microseconds."""
    import numpy as np

    if a.n < 2:
        return np.zeros(len(means), dtype=bool)
    from scipy.stats import ttest_ind_from_stats

    with np.errstate(all="ignore"):  # of single seeds, and of means without noise, of which the test says nothing
        test = ttest_ind_from_stats(a.mean, a.deviation, a.n, means, deviations, counts, equal_var=False)
    exact = (deviations == 0) & (a.deviation == 0)
    separate: NDArray[np.bool_] = (counts > 1) & np.where(exact, means != a.mean, test.pvalue < 0.05)
    return separate
