"""What a layer's output is standardised by: gathered statistics, their mean over people, or a running form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from mdjpt_model.normalisation import EPSILON, Moments, Statistics, standardise


@dataclass(frozen=True)
class LayerStatistics:
    """What one subject-session is standardised by: tokens [F, 60] and latent [F, S]."""

    tokens: Statistics
    latent: Statistics


def mean_statistics(statistics: Iterable[LayerStatistics]) -> LayerStatistics:
    """Mean of the means and root of the mean variances: a standard recording of the training subjects."""
    given = list(statistics)
    if not given:
        raise ValueError("frozen statistics need at least one training subject")

    def average(parts: list[Statistics]) -> Statistics:
        variance = torch.stack([part.std.square() for part in parts]).mean(0)
        return Statistics(torch.stack([part.mean for part in parts]).mean(0), variance.sqrt())

    return LayerStatistics(average([one.tokens for one in given]), average([one.latent for one in given]))


def gather(batches: Iterable[Tensor]) -> Statistics:
    """Statistics of one group from its batches [B, F, C, N]."""
    moments: Moments | None = None
    for batch in batches:
        moments = (Moments.empty(tuple(batch.shape[1:3])) if moments is None else moments).update(batch)
    assert moments is not None, "a group has windows"
    return moments.statistics()


def by(statistics: Statistics) -> Callable[[Tensor], Tensor]:
    """The map that standardises by them."""
    return lambda x: standardise(x, statistics)


class Running:
    """Standardises window k by the statistics of windows 0..k; float64 sums are carried over batches."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """[B, F, C, N] -> the same shape; no window sees a later one."""
        wide = x.double()
        # Sums of values and squares, stacked: [B, 2, F, C].
        sums = torch.stack([wide.sum(-1), wide.square().sum(-1)], 1)
        if self.sums is not None:
            sums = torch.cat([self.sums[None], sums])
        sums = sums.cumsum(0)[-len(x) :]
        points = (self.count + 1 + torch.arange(len(x), device=x.device))[:, None, None] * x.shape[-1]
        self.sums, self.count = sums[-1].clone(), self.count + len(x)
        mean = sums[:, 0] / points
        variance = ((sums[:, 1] - points * mean.square()) / (points - 1).clamp(min=1)).clamp(min=0)
        return ((wide - mean[..., None]) / (variance.sqrt()[..., None] + EPSILON)).to(x.dtype)
