"""Floating-point operations of the library's networks, tested against counting in another way."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mdjpt_platform.library.nets import NETS, montage, new_net
from mdjpt_platform.library.spec import LibrarySpec


def forward_flops(spec: LibrarySpec, samples: int, channels: int) -> float:
    """FLOPs of one window of `samples` points from a cap of so many channels.

    1 FLOP is half a multiply-add; Fourier transforms, norms, softmax and activations are not counted.
    NaN for windows of another length than the spec's, which the network does not take.
    Raises BadInput: braindecode cannot be imported.
    """
    if samples != spec.samples:
        return math.nan
    rows = len(montage(spec.name))
    return 2.0 * rows * samples * (channels + spec.length) + _counted(replace(spec, weights=None, sha256=None))


@lru_cache(maxsize=32)
def _counted(spec: LibrarySpec) -> int:
    """FLOPs of network and head, by counting without arithmetic: there is no formula for networks from elsewhere."""
    with torch.random.fork_rng(devices=[]):
        net, width = new_net(spec)
    net, head = net.eval().to("meta"), nn.Linear(width, spec.embedding, device="meta")
    window = torch.empty(1, len(montage(spec.name)), spec.length, device="meta")
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        head(NETS[spec.name].read(net, window))
    return counter.get_total_flops()
