"""How sure the mean of a course is whose neighbouring values are alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DRAWS, LEVEL = 1000, 0.95
FEWEST = 3
"""Blocks; from two nothing can be told."""


def block_interval(values: NDArray[np.floating], overlap: int) -> tuple[float, float] | None:
    """Ends of the 95 % interval of the mean of a course [n], by the circular block bootstrap (Politis & Romano 1992).

    Blocks hold twice as many windows as share samples (`overlap`), or n^(1/3) if that is more. None: fewer than three
    blocks. The same values give the same interval.
    """
    count = len(values)
    length = max(2 * overlap, round(count ** (1 / 3)))
    if count < FEWEST * length:
        return None
    around = np.concatenate([values, values[: length - 1]]).astype(np.float64)
    sums = np.convolve(around, np.ones(length), "valid")
    draws = np.random.default_rng(0).integers(0, count, (DRAWS, -(-count // length)))
    low, high = np.quantile(sums[draws].mean(axis=1) / length, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
