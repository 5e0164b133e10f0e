"""Lloyd's k-means, to initialise a codebook."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tokzoo.nn.code_means import code_means
from tokzoo.nn.distributed import of_first_rank
from tokzoo.nn.nearest import nearest

ITERATIONS = 10


def kmeans(points: Tensor, clusters: int, spherical: bool) -> Tensor:
    """Cluster centres, from a start at distinct random points; a cluster left empty is moved to another random point.

    Ranks that pass the same points get the same centres, drawn by the first of them.

    Args:
        points: ``[P, d]``, ``P >= clusters``; unit vectors if spherical.
        clusters: how many.
        spherical: keep the centres on the unit sphere, so that nearest means least angle.

    Returns:
        ``[clusters, d]``.
    """
    centres = _random_points(points, clusters)
    for _ in range(ITERATIONS):
        means, counts = code_means(points, nearest(points, centres), clusters)
        if spherical:
            means = F.normalize(means, dim=-1)
        centres = torch.where(counts[:, None] > 0, means, _random_points(points, clusters))
    return centres


def _random_points(points: Tensor, count: int) -> Tensor:
    return points[of_first_rank(torch.randperm(len(points), device=points.device)[:count])]
