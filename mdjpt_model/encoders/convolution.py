"""Convolution over the patches of one channel and no attention: what attention of any kind is compared with."""

from __future__ import annotations

from torch import Tensor, nn

from mdjpt_model.encoders.patches import Along, Patches, feed_forward
from mdjpt_model.spec import ModelSpec


class Block(nn.Module):
    """Depthwise convolution of three patches, layer norm, feed-forward, around a residual path (Liu et al. 2022).

    A token reaches one patch further to either side with every block.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.local, self.norm, self.feed = Along(spec.hidden), nn.LayerNorm(spec.hidden), feed_forward(spec.hidden)

    def forward(self, u: Tensor) -> Tensor:
        """[R, N, D] -> [R, N, D]."""
        return u + self.feed(self.norm(self.local(u)))


class Convolution(Patches):
    """Patches of one channel -> features: [R, T] -> [R, N, F]."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec, Block)
