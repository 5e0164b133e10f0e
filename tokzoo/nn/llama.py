"""The transformer block of Llama-style models: RMSNorm, causal attention, SwiGLU (arXiv 2002.05202), no biases.

With adaLN (arXiv 2212.09748, section 3.2, "adaLN-Zero") a condition shifts and scales what both norms give, and gates
what both branches add.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from tokzoo.nn.kv_cache import LayerCache
from tokzoo.nn.rms_norm import RMSNorm
from tokzoo.nn.rotary import Rotation, rotate
from tokzoo.nn.tokens import learned_tokens

Modulation = tuple[Tensor, ...]
MODULATIONS = 6
"""Shift, scale and gate of the attention branch, then of the SwiGLU branch."""


class CausalAttention(nn.Module):
    """Multi-head self-attention over the past, with dropout of the result.

    Args:
        width: channels of the stream.
        heads: heads; divides ``width``.
        qk_norm: LayerNorm on the queries and keys of every head.
        dropout: of the result.
    """

    def __init__(self, width: int, heads: int, *, qk_norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_norm = nn.LayerNorm(width // heads) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(width // heads) if qk_norm else nn.Identity()
        self.out = nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, past: LayerCache | None, rotation: Rotation | None) -> Tensor:
        """Attend within ``[B, T, width]``; with a cache, from one position ``[B, 1, width]`` to those decoded.

        ``rotation`` is that of the T positions; keys go into the cache turned.
        """
        q, k, v = (part.transpose(1, 2) for part in self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(2))
        q, k = self.q_norm(q), self.k_norm(k)
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        if past is None:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            k, v = past.write(k, v)
            mixed = F.scaled_dot_product_attention(q.to(k.dtype), k, v, attn_mask=past.visible)
        out: Tensor = self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        return out


class SwiGLU(nn.Module):
    """``down(silu(gate x) · up x)``, with dropout of the result.

    Args:
        width: channels of the stream.
        hidden: channels between.
        dropout: of the result.
    """

    def __init__(self, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, T, width]`` to the same shape."""
        out: Tensor = self.dropout(self.down(F.silu(self.gate(x)) * self.up(x)))
        return out


class LlamaBlock(nn.Module):
    """``x += attention(norm x)``, then ``x += swiglu(norm x)``, modulated where ``adaln`` says so.

    Args:
        width: channels of the stream.
        heads: attention heads; divides ``width``.
        ffn_width: channels within the SwiGLU.
        qk_norm: LayerNorm on the queries and keys of every head.
        adaln: ``full``: the block projects a condition itself; ``shared``: it adds an offset to one that was projected
            for all blocks; ``none``: no modulation.
        residual_dropout: dropout after attention.
        ffn_dropout: dropout after the SwiGLU.
        drop_path: rate at which a whole branch of an image is dropped in training (stochastic depth, arXiv 1603.09382).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        ffn_width: int,
        *,
        qk_norm: bool = False,
        adaln: Literal["none", "full", "shared"] = "none",
        residual_dropout: float = 0.0,
        ffn_dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(width)
        self.attention = CausalAttention(width, heads, qk_norm=qk_norm, dropout=residual_dropout)
        self.ffn_norm, self.ffn = RMSNorm(width), SwiGLU(width, ffn_width, ffn_dropout)
        self.drop_path = _drop_path(drop_path)
        self.modulation = nn.Linear(width, MODULATIONS * width) if adaln == "full" else None
        self.modulation_offset = learned_tokens(MODULATIONS, width) if adaln == "shared" else None

    def forward(
        self,
        x: Tensor,
        modulation: Modulation | None = None,
        rotation: Rotation | None = None,
        past: LayerCache | None = None,
    ) -> Tensor:
        """The stream after this block, ``[B, T, width]``.

        Args:
            x: ``[B, T, width]``, T = 1 with a cache.
            modulation: what :meth:`modulate` gave; None without adaLN.
            rotation: of the T positions; None where positions were added to x.
            past: this block's part of the cache, while decoding.
        """
        if modulation is None:
            x = x + self.drop_path(self.attention(self.attention_norm(x), past, rotation))
            unmodulated: Tensor = x + self.drop_path(self.ffn(self.ffn_norm(x)))
            return unmodulated
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = modulation
        x = x + gate * self.drop_path(self.attention(self.attention_norm(x) * (1 + scale) + shift, past, rotation))
        out: Tensor = x + ffn_gate * self.drop_path(self.ffn(self.ffn_norm(x) * (1 + ffn_scale) + ffn_shift))
        return out

    def modulate(self, condition: Tensor) -> Modulation:
        """Shift, scale and gate ``[B, 1, width]`` of both branches.

        Args:
            condition: ``[B, 1, width]`` for the block's own projection; ``[B, 1, 6 · width]``, already projected,
                where blocks share one.
        """
        if self.modulation is not None:
            condition = self.modulation(condition)
        parts = condition.unflatten(-1, (MODULATIONS, -1))
        return (parts if self.modulation_offset is None else parts + self.modulation_offset).unbind(-2)


def _drop_path(rate: float) -> nn.Module:
    if rate == 0:
        return nn.Identity()
    from timm.layers.drop import DropPath  # takes seconds to import

    drop_path: nn.Module = DropPath(rate)
    return drop_path
