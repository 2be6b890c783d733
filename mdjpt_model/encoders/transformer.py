"""Plain Transformer over the patches of one channel: what the linear attention of MLLA is compared with.

Every channel goes through it by itself, as through MLLA, so nothing but the block differs. The released ablation mixed
all channels into one and copied the result to 60 equal ones, which leaves the covariances a rank of one
(Ablation_Transformer.py:30-43).
Shapes: R rows (windows x channels), N patches, D hidden, H heads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdjpt_model.encoders.patches import Patches, feed_forward
from mdjpt_model.spec import ModelSpec


class SoftmaxAttention(nn.Module):
    """softmax(q k^T / sqrt(D / H)) v over all patches (Vaswani et al. 2017); cost quadratic in N.

    Written out: a map of some hundred patches is small, and the backward pass of fused CUDA kernels may add up in
    another order each time, so that a resumed training would not be the unbroken one.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.join = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """[R, N, D] -> [R, N, D]."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query(x), self.key(x), self.value(x))
        )
        weight = functional.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), dim=-1)
        return self.join((weight.to(v.dtype) @ v).transpose(1, 2).flatten(-2))


class Block(nn.Module):
    """Attention and feed-forward, each after a layer norm and around a residual path."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        width = spec.hidden
        self.norm_in, self.attention = nn.LayerNorm(width), SoftmaxAttention(width, spec.heads)
        self.norm_out, self.feed = nn.LayerNorm(width), feed_forward(width)

    def forward(self, u: Tensor) -> Tensor:
        """[R, N, D] -> [R, N, D]."""
        u = u + self.attention(self.norm_in(u))
        return u + self.feed(self.norm_out(u))


def positions(count: int, width: int) -> Tensor:
    """[N, D] sines and cosines of wavelengths from 2 pi to 10,000 x 2 pi patches (Vaswani et al. 2017, 3.5).

    Attention alone would not know the order of the patches; MLLA learns it from its convolutions.
    """
    angle = torch.arange(count)[:, None] * 10_000.0 ** (-torch.arange(0, width, 2) / width)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :width]


class Transformer(Patches):
    """Patches of one channel -> features: [R, T] -> [R, N, F]."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec, Block)

    def embed(self, x: Tensor) -> Tensor:
        """Embedded patches that know their place."""
        u = super().embed(x)
        return u + positions(*u.shape[-2:]).to(u)
