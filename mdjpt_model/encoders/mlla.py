"""Mamba-like linear attention over the patches of one channel (mdJPT, section "channel encoder").

Shapes: R rows (windows x channels), N patches, D hidden, F features, H heads.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from mdjpt_model.encoders.patches import Along, Patches, feed_forward
from mdjpt_model.spec import ModelSpec


class _Phi(Function):
    """ELU + 1. Its slope is min(y, 1), so the result alone is kept, which the products behind it keep anyway."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """x + 1 where x > 0, else exp(x)."""
        y = functional.elu(x).add_(1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        """dy / dx = 1 = min(y, 1) where x > 0, else exp(x) = y = min(y, 1)."""
        (y,) = ctx.saved_tensors
        return slopes[0] * y.clamp(max=1)


class LinearAttention(nn.Module):
    """Softmax-free attention: phi(q) (phi(k)^T v) / (phi(q) sum phi(k)), phi = ELU + 1; cost linear in N.

    Keys meet values first: at N = 99 and 16 features a head that is a sixth of the other order's products. Heads are
    laid out one after the other once, so that everything between the linear maps runs along memory; the same steps on
    interleaved heads, with a division by a column, take twice the time.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.join = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """[R, N, D] -> [R, N, D]."""
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2).contiguous()
            for part in (self.query, self.key, self.value)
        )
        q, k = cast(Tensor, _Phi.apply(q)), cast(Tensor, _Phi.apply(k))
        found = q @ (k.transpose(-2, -1) @ v)
        scale = q @ k.sum(-2, keepdim=True).transpose(-2, -1) + 1e-5
        found = found * scale.reciprocal().expand_as(found).contiguous()
        return self.join(found.transpose(1, 2).flatten(-2))


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
            self.feed = feed_forward(width)

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


class MLLA(Patches):
    """Patches of one channel -> features: [R, T] -> [R, N, F]."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec, Block)
