"""Mamba-like linear attention over the patches of one channel (mdJPT, section "channel encoder").

Shapes: R rows (windows x channels), N patches, P samples in a patch, D hidden, F features, H heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdjpt_model.spec import ModelSpec


class Along(nn.Conv1d):
    """Depthwise convolution of three patches, for patches in the second axis: [R, N, D] -> [R, N, D]."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, 3, padding=1, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve over N."""
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class LinearAttention(nn.Module):
    """Softmax-free attention: phi(q) (phi(k)^T v) / (phi(q) sum phi(k)), phi = ELU + 1; cost linear in N."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.join = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """[R, N, D] -> [R, N, D]."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query(x), self.key(x), self.value(x))
        )
        q, k = functional.elu(q) + 1, functional.elu(k) + 1
        memory = k.transpose(-2, -1) @ v
        scale = q @ k.sum(-2, keepdim=True).transpose(-2, -1) + 1e-5
        return self.join((q @ memory / scale).transpose(1, 2).flatten(-2))


class Block(nn.Module):
    """Position convolution, gated linear attention with residual, position convolution, feed-forward.

    `before_attention` gives out the input of the attention, as the released block does (MLLA_new.py:369-389);
    the parts that would be dead are then not built, so every parameter has a gradient.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        width, switches = spec.hidden, spec.chosen
        self.full = switches.block_output == "full"
        self.position_in, self.local = Along(width), Along(width)
        self.norm_in = nn.LayerNorm(width)
        self.enter = nn.Linear(width, width)
        if self.full:
            self.gate, self.leave = nn.Linear(width, width), nn.Linear(width, width)
            self.attention = LinearAttention(width, spec.heads)
            self.position_out = Along(width)
            self.norm_out = nn.LayerNorm(width) if switches.ffn_prenorm else nn.Identity()
            self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, u: Tensor) -> Tensor:
        """[R, N, D] -> [R, N, D]."""
        u = u + self.position_in(u)
        normed = self.norm_in(u)
        inner = functional.silu(self.local(self.enter(normed)))
        if not self.full:
            return inner
        u = u + self.leave(self.attention(inner) * functional.silu(self.gate(normed)))
        u = u + self.position_out(u)
        return u + self.feed(self.norm_out(u))


class MLLA(nn.Module):
    """Patches of one channel -> features: [R, T] -> [R, N, F]."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.patch, self.stride = spec.patch, spec.stride
        self.read_in = nn.Linear(spec.patch, spec.hidden)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.depth))
        self.read_out = nn.Linear(spec.hidden, spec.features)

    def forward(self, x: Tensor) -> Tensor:
        """Cut into patches, embed, attend, read out."""
        u: Tensor = self.read_in(x.unfold(-1, self.patch, self.stride))
        for block in self.blocks:
            u = block(u)
        return torch.as_tensor(self.read_out(u))
