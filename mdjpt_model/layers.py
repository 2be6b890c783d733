"""What a layer's output is standardised by when features are read: gathered statistics, their mean, a running form.

Shapes: B windows of a batch, F features, C channels (60, then virtual), N patches, M map features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from mdjpt_model.model import MdJPT
from mdjpt_model.normalisation import EPSILON, Moments, Statistics, standardise

Mode = Literal["whole", "causal", "frozen"]
"""Statistics of the whole recording, of its windows so far, or given ones."""

CACHE_BYTES = 2 << 30
"""Tokens of one recording are kept between passes if they fit into this."""


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


@dataclass
class Tokens:
    """Token batches of one recording; passes after the first read them from memory if all fit into the budget."""

    make: Callable[[slice], Tensor]
    """Windows begin..end of the recording -> [B, F, 60, N]."""
    windows: int
    batch: int
    budget: int = CACHE_BYTES
    kept: list[Tensor] = field(default_factory=list)

    @property
    def parts(self) -> list[slice]:
        """Which windows each batch holds."""
        return [slice(begin, min(begin + self.batch, self.windows)) for begin in range(0, self.windows, self.batch)]

    def __iter__(self) -> Iterator[Tensor]:
        for number, part in enumerate(self.parts):
            if number < len(self.kept):
                yield self.kept[number]
                continue
            tokens = self.make(part)
            if tokens[0].nbytes * self.windows <= self.budget:
                self.kept.append(tokens)
            yield tokens


def statistics_of(model: MdJPT, batches: Iterable[Tensor]) -> LayerStatistics:
    """Statistics of one recording from its token batches [B, F, 60, N], which are gone through twice.

    The latent is the image of standardised tokens, so its statistics need those of the tokens.
    """
    tokens = gather(batches)
    first = by(tokens)
    return LayerStatistics(tokens, gather(model.latent(first(batch)) for batch in batches))


def read_features(
    model: MdJPT, batches: Iterable[Tensor], mode: Mode, feature: str, frozen: LayerStatistics | None = None
) -> Iterator[Tensor]:
    """Features [B, M] of each token batch [B, F, 60, N] of one recording, in order of time.

    `whole` goes through the batches three times, the others once. Raises ValueError: `frozen` without statistics.
    """
    first: Callable[[Tensor], Tensor]
    second: Callable[[Tensor], Tensor]
    if mode == "causal":
        first, second = Running(), Running()
    elif mode == "frozen" and frozen is None:
        raise ValueError("mode frozen needs the statistics of training subjects")
    else:
        own = frozen if mode == "frozen" and frozen is not None else statistics_of(model, batches)
        first, second = by(own.tokens), by(own.latent)
    for batch in batches:
        yield pool(model.maps(second(model.latent(first(batch)))), feature)


def pool(maps: Tensor, feature: str) -> Tensor:
    """[B, M, N] -> [B, M]. `me`: mean over patches; `de`: 0.5 ln(2 pi e var + 1), population variance (SYSTEMS 1.8)."""
    if feature == "me":
        return maps.mean(-1)
    variance = maps.double().var(-1, correction=0)
    return 0.5 * torch.log(2 * math.pi * math.e * variance + 1)


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients; the mode found is put back."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)
