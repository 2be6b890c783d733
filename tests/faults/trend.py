"""Does a series of a long run grow? Theil-Sen slope with its interval, and what counts as growth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from scipy.stats import theilslopes

WARM = 0.25
"""Share of a series that is left out of its slope: imports, pools and caches that fill once."""
FEWEST = 8
"""Values after the warm-up without which nothing is said."""
Verdict = Literal["flat", "grows", "too few"]


@dataclass(frozen=True)
class Trend:
    """Slope per turn with its 95 % interval, and what was concluded."""

    slope: float
    low: float
    high: float
    late: float
    """Slope over the last half alone: tells what fills and stops from what goes on."""
    verdict: Verdict


def trend(values: Sequence[float], bound: float) -> Trend:
    """Of one value a turn; `grows`: the interval lies above 0 and the slope above `bound` per turn.

    Median of the slopes of all pairs (Theil 1950, Sen 1968), interval by their ranks: single peaks do not count. The
    interval takes the turns as independent; what one turn leaves in an allocator makes it too narrow, hence `bound`.
    """
    kept = list(values)[int(len(values) * WARM) :]
    if len(kept) < FEWEST:
        return Trend(0.0, 0.0, 0.0, 0.0, "too few")
    slope, _, low, high = (float(one) for one in theilslopes(kept, range(len(kept)), 0.95))
    late = kept[len(kept) // 2 :]
    grows = low > 0 and slope > bound
    return Trend(slope, low, high, float(theilslopes(late, range(len(late)))[0]), "grows" if grows else "flat")


def comes_back(values: Sequence[int]) -> bool:
    """Whether a count ends where it began: the median of the last quarter is at most the most of the warm-up.

    A single turn that is measured while something still ends does not count; one thing kept every few turns does.
    """
    part = max(1, int(len(values) * WARM))
    return median(values[-part:]) <= max(values[:part])
