"""The transformer block of Llama-style models: RMSNorm, causal attention, SwiGLU (arXiv 2002.05202), no biases.

With adaLN (arXiv 2212.09748, section 3.2, "adaLN-Zero") the class shifts and scales what both norms give, and gates
what both branches add.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokzoo.nn.rms_norm import RMSNorm
from tokzoo.nn.rotary import Rotation, rotate
from tokzoo.nn.tokens import learned_tokens
from tokzoo_ar.cache import LayerCache
from tokzoo_ar.configs import GPTConfig

Modulation = tuple[Tensor, ...]
MODULATIONS = 6
"""Shift, scale and gate of the attention branch, then of the SwiGLU branch."""


class CausalAttention(nn.Module):
    """Multi-head self-attention over the past, with dropout of the result."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        _, self.heads, width = config.shape
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_norm = nn.LayerNorm(width // self.heads) if config.qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(width // self.heads) if config.qk_norm else nn.Identity()
        self.out = nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(config.residual_dropout)

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
        return self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))


class SwiGLU(nn.Module):
    """``down(silu(gate x) · up x)``, with dropout of the result."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        width, hidden = config.shape.width, config.ffn_width
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        self.dropout = nn.Dropout(config.ffn_dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, T, width]`` to the same shape."""
        return self.dropout(self.down(F.silu(self.gate(x)) * self.up(x)))


class DropPath(nn.Module):
    """Drop a whole branch of some images in training (stochastic depth, arXiv 1603.09382)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """``[B, T, width]``, with the kept images scaled up so that the mean stays."""
        if not self.training or self.rate == 0:
            return branch
        keep = 1 - self.rate
        return branch * ((torch.rand(len(branch), 1, 1, device=branch.device) < keep) / keep).to(branch.dtype)


class Block(nn.Module):
    """``x += attention(norm x)``, then ``x += swiglu(norm x)``, modulated where the config says so.

    Args:
        config: of the model.
        drop_path: this block's drop-path rate.
    """

    def __init__(self, config: GPTConfig, drop_path: float) -> None:
        super().__init__()
        width = config.shape.width
        self.attention_norm, self.attention = RMSNorm(width), CausalAttention(config)
        self.ffn_norm, self.ffn = RMSNorm(width), SwiGLU(config)
        self.drop_path = DropPath(drop_path)
        self.modulation = nn.Linear(width, MODULATIONS * width) if config.adaln == "full" else None
        self.modulation_offset = learned_tokens(MODULATIONS, width) if config.adaln == "shared" else None

    def forward(
        self,
        x: Tensor,
        modulation: Modulation | None,
        rotation: Rotation | None,
        past: LayerCache | None = None,
    ) -> Tensor:
        """The stream after this block.

        Args:
            x: ``[B, T, width]``, T = 1 with a cache.
            modulation: what :meth:`modulate` gave; None without adaLN.
            rotation: of the T positions; None where positions were added to x.
            past: this block's part of the cache, while decoding.
        """
        if modulation is None:
            x = x + self.drop_path(self.attention(self.attention_norm(x), past, rotation))
            return x + self.drop_path(self.ffn(self.ffn_norm(x)))
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = modulation
        x = x + gate * self.drop_path(self.attention(self.attention_norm(x) * (1 + scale) + shift, past, rotation))
        return x + ffn_gate * self.drop_path(self.ffn(self.ffn_norm(x) * (1 + ffn_scale) + ffn_shift))

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
