"""Axial attention: every token looks along its own row of channels, then along its own row of times (EMOD, AAAI 2026).

Shapes: B windows, C channels, N tokens a channel, D width, H heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdjpt_model.emod.spec import POSITIONS, EmodSpec


class AxialAttention(nn.Module):
    """Softmax attention along the third of four axes, with or without relative positions.

    With `positions`, q . r is added to the logits, r a learned vector for each offset in time that all heads share
    (Shaw et al. 2018). It is not divided by sqrt(D / H), as the logits are: the released weights were trained so.
    Offsets beyond the table take its outermost rows.
    """

    def __init__(self, spec: EmodSpec, positions: int = 0) -> None:
        super().__init__()
        self.heads, self.positions = spec.heads, positions
        self.enter, self.leave = nn.Linear(spec.width, 3 * spec.width), nn.Linear(spec.width, spec.width)
        if positions:
            self.offsets = nn.Parameter(torch.empty(2 * positions - 1, spec.width // spec.heads))
            nn.init.trunc_normal_(self.offsets, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """[B, R, L, D] -> [B, R, L, D], attending over L."""
        parts = self.enter(x).flatten(0, 1).unflatten(-1, (3, self.heads, -1))
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        bias = self._bias(q) if self.positions else None
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.leave(out.transpose(1, 2).flatten(-2)).view_as(x)

    def _bias(self, q: Tensor) -> Tensor:
        """[R, H, L, d] queries -> [R, H, L, L] what is added for the offset of each query from each key."""
        reach, place = self.positions - 1, torch.arange(q.shape[-2], device=q.device)
        offset = (place[:, None] - place).clamp(-reach, reach) + reach
        return torch.einsum("rhqd,qkd->rhqk", q, self.offsets[offset].to(q.dtype))


class Layer(nn.Module):
    """Attention over channels, attention over time, feed-forward; each after a layer norm, around a residual path.

    What channels and times are computed from never leaves a window, so windows do not know of each other.
    """

    def __init__(self, spec: EmodSpec) -> None:
        super().__init__()
        width, dropout = spec.width, spec.dropout
        self.scrambled = spec.chosen.temporal_attention == "scrambled"
        self.space_norm, self.space = nn.LayerNorm(width), AxialAttention(spec)
        self.time_norm, self.time = nn.LayerNorm(width), AxialAttention(spec, POSITIONS)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, spec.feedforward), nn.GELU(), nn.Dropout(dropout), nn.Linear(spec.feedforward, width)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, N, D] -> [B, C, N, D]."""
        over_channels = self.space_norm(x).transpose(1, 2)
        x = x + self.drop(self.space(over_channels).transpose(1, 2))
        over_time = self.time_norm(x)
        if self.scrambled:
            over_time = over_time.transpose(2, 3).reshape(x.shape)
        x = x + self.drop(self.time(over_time))
        return x + self.drop(self.feed(self.feed_norm(x)))
