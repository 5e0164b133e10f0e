"""Lloyd's k-means, to initialise a codebook."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tokzoo.nn.nearest import nearest

ITERATIONS = 10
# Sums are taken over integers of this size: they do not depend on the order of the additions, so that the same points
# give the same clusters bit for bit on a GPU too, where threads add as they come.
FIXED_POINT = 2.0**30


def kmeans(points: Tensor, clusters: int, spherical: bool) -> Tensor:
    """Cluster centres, from a start at distinct random points; a cluster left empty is moved to another random point.

    Args:
        points: ``[P, d]``, ``P >= clusters``; unit vectors if spherical.
        clusters: how many.
        spherical: keep the centres on the unit sphere, so that nearest means least angle.

    Returns:
        ``[clusters, d]``.
    """
    centres = _random_points(points, clusters)
    unit = points.abs().amax() / FIXED_POINT
    integers = (points / unit).round().long()
    for _ in range(ITERATIONS):
        cluster = nearest(points, centres)
        sums = integers.new_zeros(clusters, points.shape[1]).index_add_(0, cluster, integers)
        counts = cluster.new_zeros(clusters).index_add_(0, cluster, torch.ones_like(cluster))
        means = (sums / counts.clamp(min=1)[:, None]).to(points.dtype) * unit
        if spherical:
            means = F.normalize(means, dim=-1)
        centres = torch.where(counts[:, None] > 0, means, _random_points(points, clusters))
    return centres


def _random_points(points: Tensor, count: int) -> Tensor:
    return points[torch.randperm(len(points), device=points.device)[:count]]
