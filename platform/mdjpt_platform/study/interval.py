"""A mean over subjects, seeds and targets, with an interval that counts who was tested and which seed was trained.

Every statistic of a study (a difference of arms, a gain, a Shapley value) is a weighted sum of cells for each subject
and seed, so one interval serves them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from mdjpt_platform.errors import BadInput

Float = NDArray[np.float64]
Part = tuple[Float, Float]
"""A variance and its degrees of freedom."""
ALPHA = 0.05
MIN_TARGETS = 5
"""Fewer targets say nothing about targets at large."""
LEAST_LOG_P = 200.0
FEW_SEEDS = 3
"""Two seeds tell so little of the luck of training that intervals are wide for it (coverage 96 to 99.6 %)."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; `p` asks whether the true mean is 0 (two-sided, same error as the interval)."""

    value: float
    low: float
    high: float
    p: float
    subjects: int
    targets: int
    seeds: int
    drawn_targets: bool = False
    """Whether the interval speaks of targets at large, not of these alone."""

    def basis(self) -> str:
        """What the number rests on, for a sentence."""
        found = f"{counted(self.subjects, 'subject')} of {counted(self.targets, 'target')}"
        found += " drawn from all targets" if self.drawn_targets else ""
        found += f", {counted(self.seeds, 'seed')}"
        if self.seeds == 1:
            return found + ": chance of training not counted"
        return found + (": chance of training barely known" if self.seeds < FEW_SEEDS else "")

    def lost_to(self, p_holm: float) -> str:
        """`, but Holm p = 0.062`, where the interval alone would have claimed what the whole family may not."""
        return f", but Holm p = {p_holm:.3f}" if self.p <= ALPHA < p_holm else ""

    def interval(self) -> str:
        """`95 % interval -0.4 to +3.1` in points."""
        return f"95 % interval {points(self.low)} to {points(self.high)}"


def estimate(values: Sequence[Float], drawn_targets: bool = False) -> Estimate:
    """Mean over targets of `values`, one array [subjects, seeds] for each target; all have the same seeds, in order.

    Raises BadInput: no target, one subject, or `drawn_targets` with fewer than MIN_TARGETS targets.
    """
    if not values or min(len(block) for block in values) < 2:
        raise BadInput("study", "subjects", [len(block) for block in values], "at least 2 in every target")
    if drawn_targets and len(values) < MIN_TARGETS:
        raise BadInput("study", "targets", len(values), f"at least {MIN_TARGETS} to speak of targets at large")
    mean, parts = spread(values, drawn_targets)
    low, high, p = (float(x) for x in bounds(mean, parts))
    subjects = sum(len(block) for block in values)
    return Estimate(float(mean), low, high, p, subjects, len(values), values[0].shape[1], drawn_targets)


def spread(values: Sequence[Float], drawn_targets: bool = False) -> tuple[Float, list[Part]]:
    """Mean of `values` [..., subjects, seeds], a target each, and the variance of the mean in parts.

    Subjects and seeds are crossed: a seed is one training, good or bad luck for all subjects at once. So there are two
    parts: that of subject means, with Welch-Satterthwaite degrees of freedom over targets, and that of seed means less
    a share of what the residual puts into them (not below 0): nothing with two seeds, half with three, all with many.
    What is taken off from few degrees of freedom leaves zero too often, and zero is believed: with two seeds and all of
    it taken off, one family of six in five made a false claim. So few seeds make wide intervals.
    Seeds are matched over targets by their number, which is right whether or not targets share an encoder. With
    `drawn_targets` the units are targets instead of subjects. One seed: its luck cannot be counted.
    """
    seeds = values[0].shape[-1]
    by_seed = np.stack([block.mean(-2) for block in values], -2)  # [..., targets, seeds]
    units = [by_seed] if drawn_targets else values
    own = [block.mean(-1).var(-1, ddof=1) / block.shape[-2] / len(units) ** 2 for block in units]
    variance = np.sum(own, 0)
    below = np.sum([one**2 / (block.shape[-2] - 1) for one, block in zip(own, units, strict=True)], 0)
    parts = [(variance, np.where(below > 0, variance**2 / np.where(below > 0, below, 1), np.inf))]
    if seeds > 1:
        rest = np.sum([residual(block) for block in units], 0) / len(units) ** 2
        luck = by_seed.mean(-2).var(-1, ddof=1) / seeds
        share = (seeds - 2) / (seeds - 1)
        parts.append((np.maximum(luck - share * rest, 0), np.full_like(luck, seeds - 1)))
    return by_seed.mean((-1, -2)), parts


def bounds(mean: Float | float, parts: Sequence[Part]) -> tuple[Float, Float, Float]:
    """Low and high end of the 95 % interval, and the p of a true mean of 0: where such an interval ends at 0."""
    half = _half_width(parts, np.asarray(ALPHA))
    low, high = np.full(np.shape(mean), -LEAST_LOG_P), np.zeros(np.shape(mean))
    for _ in range(60):  # bisection: the half-width falls as p grows
        middle = (low + high) / 2
        wider = _half_width(parts, np.exp(middle)) > np.abs(mean)
        low, high = np.where(wider, middle, low), np.where(wider, high, middle)
    return mean - half, mean + half, np.where(np.asarray(mean) == 0, 1.0, np.exp((low + high) / 2))


def _half_width(parts: Sequence[Part], p: Float) -> Float:
    """Half-widths of the parts, each with Student's quantile at its own degrees of freedom, added in quadrature.

    Welch-Satterthwaite degrees of freedom for the sum cover too little where few seeds differ much.
    """
    found: Float = np.sqrt(np.sum([variance * stdtrit(df, p / 2) ** 2 for variance, df in parts], 0))
    return found


def residual(block: Float) -> Float:
    """What the interaction of rows and columns [..., n, seeds] adds to the variance of the mean; two seeds or more."""
    rows, columns = block.shape[-2:]
    rest = block - block.mean(-1, keepdims=True) - block.mean(-2, keepdims=True) + block.mean((-1, -2), keepdims=True)
    found: Float = np.square(rest).sum((-1, -2)) / ((rows - 1) * (columns - 1) * rows * columns)
    return found


def points(value: float) -> str:
    """A signed difference of scores in percentage points."""
    return f"{100 * value:+.1f}".replace("-", "−")


def counted(number: int, noun: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
