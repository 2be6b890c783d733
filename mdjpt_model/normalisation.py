"""Stratified normalisation: every (feature, channel) position is z-scored inside a subject's own windows.

y = (x - mean) / (std + 1e-3), unbiased std, over the windows and patches of one group; no parameters, no buffers.
A group is named, never inferred from a position in the batch (the released code halves whatever batch it is given:
CNN_Attention.py:256-257, so a window's features depended on its companions).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EPSILON = 1e-3


def stratified(x: Tensor, groups: Tensor) -> Tensor:
    """Normalise x [B, F, C, N] inside the groups that `groups` [B] names (integers, on the CPU).

    Raises ValueError: group names of another length, a group of a single window.
    """
    if groups.shape != x.shape[:1]:
        raise ValueError(f"groups: found shape {tuple(groups.shape)}, expected ({x.shape[0]},)")
    names, member, count = torch.unique(groups, return_inverse=True, return_counts=True)
    if bool((count < 2).any()):
        raise ValueError(f"groups of a single window cannot be normalised: {names[count < 2].tolist()}")
    with torch.autocast(x.device.type, enabled=False):  # sums over thousands of values need their digits
        return _stratified(x if x.dtype == torch.float64 else x.float(), member, count)


def _stratified(x: Tensor, member: Tensor, count: Tensor) -> Tensor:
    # A product with the membership matrix instead of index_add: the same bits on every run, on a GPU too.
    belongs = torch.nn.functional.one_hot(member, len(count)).to(x.device, x.dtype)
    points = (count * x.shape[-1]).to(x.device, x.dtype)[:, None, None]
    mean = torch.einsum("bg,bfc->gfc", belongs, x.sum(-1)) / points
    centred = x - torch.einsum("bg,gfc->bfc", belongs, mean)[..., None]
    variance = torch.einsum("bg,bfc->gfc", belongs, centred.square().sum(-1)) / (points - 1)
    # sqrt has no finite slope at 0: a constant position gets std 0 with gradient 0.
    varies = variance > 0
    std = torch.where(varies, torch.where(varies, variance, 1.0).sqrt(), 0.0)
    return centred / (torch.einsum("bg,gfc->bfc", belongs, std)[..., None] + EPSILON)


@dataclass(frozen=True)
class Statistics:
    """Mean and unbiased standard deviation per position, each [F, C]."""

    mean: Tensor
    std: Tensor


def standardise(x: Tensor, statistics: Statistics) -> Tensor:
    """(x - mean) / (std + 1e-3) for x [B, F, C, N]; with a group's own statistics this equals `stratified`."""
    mean, std = (value.to(x.device, x.dtype)[None, :, :, None] for value in (statistics.mean, statistics.std))
    return (x - mean) / (std + EPSILON)


@dataclass(frozen=True)
class Moments:
    """Streaming mean and squared deviations of any number of batches, in float64 (Chan et al. 1979)."""

    count: int
    mean: Tensor
    squares: Tensor
    """Sum of squared deviations from the mean, [F, C]."""

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Moments:
        """Nothing seen yet; `shape` is (F, C)."""
        zero = torch.zeros(shape, dtype=torch.float64)
        return cls(0, zero, zero)

    def update(self, x: Tensor) -> Moments:
        """Moments after x [B, F, C, N] as well."""
        values = x.detach().to("cpu", torch.float64)
        mean = values.mean((0, 3))
        squares = (values - mean[None, :, :, None]).square().sum((0, 3))
        return self.merge(Moments(values.shape[0] * values.shape[3], mean, squares))

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets of values together."""
        total = self.count + other.count
        if total == 0:
            return self
        gap = other.mean - self.mean
        mean = self.mean + gap * (other.count / total)
        squares = self.squares + other.squares + gap.square() * (self.count * other.count / total)
        return Moments(total, mean, squares)

    def statistics(self) -> Statistics:
        """Raises ValueError when fewer than two values were seen."""
        if self.count < 2:
            raise ValueError(f"statistics need two values a position, found {self.count}")
        return Statistics(self.mean, (self.squares / (self.count - 1)).sqrt())
