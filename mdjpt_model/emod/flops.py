"""Parameters and floating-point operations of EMOD by formula, tested against counting.

1 FLOP is half a multiply-add. Counted are linear maps, convolutions, attention and the pooling of a length that tokens
do not divide; not counted are the Fourier transform, norms, softmax, activations and plain means.
"""

from __future__ import annotations

from mdjpt_model.emod.channels import ROWS
from mdjpt_model.emod.spec import POSITIONS, EmodSpec


def parameters(spec: EmodSpec, head: bool = True) -> int:
    """Trainable parameters of Emod(spec): 845,384 at the published sizes, 977,866 with both pools and the head."""
    width, hidden = spec.width, spec.hidden
    branches = 2 * width * (spec.kernel + 1 + 2) + 2 * width * width + width
    attention = 3 * width * width + 3 * width + width * width + width
    offsets = (2 * POSITIONS - 1) * width // spec.heads
    feed = 2 * width * spec.feedforward + spec.feedforward + width
    layer = 2 * attention + offsets + feed + 3 * 2 * width
    projection = 2 * (width + 1) + width * hidden + 2 * hidden + hidden * spec.embedding + spec.embedding
    return branches + ROWS * width + spec.depth * layer + (projection if head else 0)


def forward_flops(spec: EmodSpec, samples: int, channels: int, embed: bool = True) -> int:
    """FLOPs of one window of `samples` points from a cap of so many channels."""
    width, count, lines = spec.width, spec.tokens(samples), samples // 2 + 1
    sites = channels * count
    branches = 2 * spec.kernel * width * channels * (samples + lines)
    branches += sum(2 * length * count * width * channels for length in (samples, lines) if length % count)
    maps = 2 * 4 * width * width
    space = maps + 2 * 2 * channels * width
    time = maps + 3 * 2 * count * width
    layers = spec.depth * sites * (space + time + 2 * 2 * width * spec.feedforward)
    pools = 2 * width * (sites + count)
    head = 2 * width * spec.hidden + 2 * spec.hidden * spec.embedding if embed else 0
    return branches + sites * 2 * 2 * width * width + layers + pools + head
