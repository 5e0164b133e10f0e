"""Nearest neighbours between the factors of an assignment, in chunks: no M×K matrix is ever whole."""

from collections.abc import Iterator

import torch
from torch import Tensor

from tokzoo.nn.precision import at_least_float32, without_autocast

# Elements of one chunk: 4 MiB of float32 on a CPU, where much larger ones leave its caches; 64 MiB elsewhere, where
# every chunk costs kernel launches, and a compiler unrolls the loop.
CPU_CHUNK = 1 << 20
DEVICE_CHUNK = 1 << 24


@torch.no_grad()
def nearest(queries: Tensor, codes: Tensor) -> Tensor:
    """The index of the nearest code of each query. No gradient passes.

    Distances are computed in at least float32, under autocast too (where torch may use TF32, a GPU rounds the product
    to that).

    Args:
        queries: ``[M, d]``.
        codes: ``[K, d]``.

    Returns:
        int64 ``[M]`` in ``[0, K)``; of codes equally near, the first.
    """
    # Written into one tensor: small results kept between large temporaries would fragment the heap.
    indices = torch.empty(len(queries), dtype=torch.int64, device=queries.device)
    with without_autocast(queries.device):
        for here, distances in distance_chunks(at_least_float32(queries), at_least_float32(codes)):
            indices[here] = distances.argmin(1)
    return indices


def distance_chunks(queries: Tensor, codes: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Squared distances ``‖q‖² + ‖e‖² - 2 q·e``, a few rows at a time. To be called with autocast off.

    A chunk stays in a CPU's cache, and fills a GPU without filling its memory.

    Args:
        queries: ``[M, d]``.
        codes: ``[K, d]``, of the same dtype.

    Yields:
        A slice of the queries and its distances ``[rows, K]``, which the caller may overwrite.
    """
    columns = codes.T.contiguous()  # thin products are several times faster on a CPU along contiguous rows
    code_norms = codes.square().sum(1)
    rows = max(1, (CPU_CHUNK if queries.device.type == "cpu" else DEVICE_CHUNK) // len(codes))
    for start in range(0, len(queries), rows):
        here = slice(start, start + rows)
        norms = queries[here].square().sum(1, keepdim=True) + code_norms
        yield here, norms.addmm_(queries[here], columns, alpha=-2)
