"""Windows -> tokens: what a channel does in time, and its spectrum, at five tokens a second (EMOD, AAAI 2026).

Shapes: B windows, C channels, T samples, L samples or frequencies, N tokens a channel, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdjpt_model.emod.spec import EmodSpec


def bins(length: int, count: int) -> Tensor:
    """[L, N] weights of the mean over each of N neighbouring bins, which share a sample where N does not divide L."""
    where, number = torch.arange(length)[:, None], torch.arange(count)
    first, last = number * length // count, -(-(number + 1) * length // count)
    inside = ((where >= first) & (where < last)).double()
    return inside / inside.sum(0)


def pool(x: Tensor, count: int) -> Tensor:
    """[..., L] -> [..., N], the mean over each bin.

    torch's adaptive pooling, without its backward pass: on CUDA that adds shared samples in an order of its own each
    time, so that a resumed training would not be the unbroken one.
    """
    if x.shape[-1] % count == 0:
        return x.unflatten(-1, (count, -1)).mean(-1)
    return x @ bins(x.shape[-1], count).to(x)


class Branch(nn.Module):
    """Convolution along a channel, normalised over groups of features and all channels of the window."""

    def __init__(self, spec: EmodSpec) -> None:
        super().__init__()
        self.filters = nn.Conv2d(1, spec.width, (1, spec.kernel), padding="same")
        self.norm = nn.GroupNorm(spec.norm_groups, spec.width)

    def forward(self, x: Tensor, count: int) -> Tensor:
        """[B, C, L] -> [B, D, C, N]."""
        return pool(functional.gelu(self.norm(self.filters(x[:, None]))), count)


class Branches(nn.Module):
    """Both branches, joined by one linear map."""

    def __init__(self, spec: EmodSpec) -> None:
        super().__init__()
        self.real = spec.chosen.spectrum == "real"
        self.time, self.frequency = Branch(spec), Branch(spec)
        self.join = nn.Linear(2 * spec.width, spec.width)

    def forward(self, windows: Tensor, count: int) -> Tensor:
        """[B, C, T] -> [B, C, N, D]. The spectrum is that of the whole window, divided by T."""
        spectrum = torch.fft.rfft(windows, norm="forward")
        lines = spectrum.real if self.real else spectrum.abs()
        both = torch.cat([self.time(windows, count), self.frequency(lines, count)], dim=1)
        return functional.gelu(self.join(both.permute(0, 2, 3, 1)))
