"""Multi-head attention with packed projections, through torch's fused kernels.

Arithmetic, parameter names and initialisation are those of ``torch.nn.MultiheadAttention`` (its weights load as they
are); unlike it, this one is batch-first, has no masks, and never materialises the attention matrix.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PackedAttention(nn.Module):
    """``softmax(q kᵀ / √(width / heads)) v`` per head, between a linear map in and one out.

    Rows of ``in_proj_weight`` ``[3 · width, width]`` make q, then k, then v.

    Args:
        width: channels of query, key, value and output.
        heads: heads; divides ``width``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.width, self.heads = width, heads
        self.in_proj_weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * width, width)))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Read ``value`` ``[B, S, width]`` at ``key`` ``[B, S, width]``, asked by ``query`` ``[B, T, width]``.

        Arguments that are the same tensor object are projected by one matrix product.

        Returns:
            ``[B, T, width]``.
        """
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self._project(query, key, value))
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        if query is key and key is value:
            return self._rows(query, 0, 3).chunk(3, dim=-1)
        if query is key:
            return *self._rows(query, 0, 2).chunk(2, dim=-1), self._rows(value, 2, 3)
        return self._rows(query, 0, 1), self._rows(key, 1, 2), self._rows(value, 2, 3)

    def _rows(self, x: Tensor, start: int, stop: int) -> Tensor:
        rows = slice(start * self.width, stop * self.width)
        return F.linear(x, self.in_proj_weight[rows], self.in_proj_bias[rows])
