"""Pre-norm transformer layers: self-attention alone, and with cross-attention in the manner of DETR.

Sequences are batch-first ``[B, T, width]``; the MLP is four times as wide, with the exact (erf) GELU.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from tokzoo.nn.attention import PackedAttention

MLP_RATIO = 4


class SelfAttentionLayer(nn.Module):
    """``t += attention(norm1 t)``, then ``t += mlp(norm2 t)`` (arXiv 2010.11929, equations 2 and 3)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.self_attn = PackedAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, MLP_RATIO * width)
        self.linear2 = nn.Linear(MLP_RATIO * width, width)

    def forward(self, stream: Tensor) -> Tensor:
        """The stream ``[B, T, width]`` after this layer; positions were added to it beforehand."""
        normed = self.norm1(stream)
        stream = stream + self.self_attn(normed, normed, normed)
        out: Tensor = stream + self.linear2(F.gelu(self.linear1(self.norm2(stream))))
        return out


class CrossAttentionLayer(nn.Module):
    """The decoder layer of DETR (arXiv 2005.12872, appendix A.3), pre-norm.

    With a the normalised stream, p its positions, m a memory: ``t += self_attn(a + p, a + p, a)``,
    ``t += cross_attn(a + p, m + p', m)``, ``t += mlp(a)``. Positions reach queries and keys, never values, anew in
    every layer; the memory is not normalised here.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.self_attn = PackedAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.cross_attn = PackedAttention(width, heads)
        self.norm3 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, MLP_RATIO * width)
        self.linear2 = nn.Linear(MLP_RATIO * width, width)

    def forward(self, stream: Tensor, memory: Tensor, memory_key: Tensor, position: Tensor) -> Tensor:
        """The stream after this layer.

        Args:
            stream: ``[B, T, width]``.
            memory: ``[B, S, width]``, the values of the cross-attention.
            memory_key: ``[B, S, width]``, its keys: the memory plus the memory's positions.
            position: ``[T, width]``, the positions of the stream.

        Returns:
            ``[B, T, width]``.
        """
        normed = self.norm1(stream)
        placed = normed + position
        stream = stream + self.self_attn(placed, placed, normed)
        stream = stream + self.cross_attn(self.norm2(stream) + position, memory_key, memory)
        out: Tensor = stream + self.linear2(F.gelu(self.linear1(self.norm3(stream))))
        return out
