"""Robust statistics over more samples than fit in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FLAT_UV = 0.01
"""A channel that moves less than this is flat: a thousandth of EEG, and below the step of every amplifier."""


def block_sd(rows: Sequence[NDArray[np.float64]], samples: float) -> float:
    """Median standard deviation of stretches of about `samples` points; pieces shorter than that count whole."""
    found: list[float] = []
    for row in rows:
        length = max(2, min(row.size, round(samples)))
        count = row.size // length
        found += row[: count * length].reshape(count, length).std(axis=1).tolist()
    return float(np.median(found)) if found else 0.0


def bad_rows(
    views: Sequence[NDArray[np.float64]], moderate: tuple[float, float], extreme: tuple[float, float], flat: float
) -> list[bool]:
    """Which channels of `views` [channels, samples] are bad: (times, share) above the median |x|, or flat."""
    size = sum(view.shape[1] for view in views)
    mean = sum(view.sum(axis=1) for view in views) / size
    spread = np.sqrt(sum(((view - mean[:, None]) ** 2).sum(axis=1) for view in views) / size)
    alive = spread > FLAT_UV
    if not alive.any():
        return [True] * len(spread)
    alive &= spread >= flat * np.median(spread[alive])
    level = np.median(np.concatenate([np.abs(view[alive]).ravel() for view in views]))
    bad = ~alive
    for times, share in (moderate, extreme):
        above = sum((np.abs(view) > times * level).sum(axis=1) for view in views)
        bad |= above / size > share
    return list(map(bool, bad))


def affine(part: NDArray[np.float32], shift: float, divisor: float) -> NDArray[np.float32]:
    """(part - shift) / divisor, in float32."""
    if shift == 0.0 and divisor == 1.0:
        return part
    return (part - np.float32(shift)) / np.float32(divisor)


def clipped_moments(parts: Sequence[NDArray[np.float32]], multiple: float) -> tuple[float, float]:
    """Mean and population SD of all values with |x| < multiple * median |x|; one pass each over `parts`.

    Raises ValueError: nothing but zeros.
    """
    limit = multiple * median_magnitude(parts)
    if limit == 0:
        raise ValueError("more than half of the samples are zero")
    count, total = 0, 0.0
    for part in parts:
        kept = part[np.abs(part) < limit].astype(np.float64)
        count, total = count + kept.size, total + float(kept.sum())
    mean = total / count
    squares = 0.0
    for part in parts:
        kept = part[np.abs(part) < limit].astype(np.float64)
        squares += float(((kept - mean) ** 2).sum())
    spread = float(np.sqrt(squares / count))
    if spread == 0:
        raise ValueError("the samples do not vary")
    return mean, spread


def median_magnitude(parts: Sequence[NDArray[np.float32]]) -> float:
    """Exact median of |x| over all parts, reading them twice and holding one.

    Non-negative float32 order as their bit patterns do, so the median is found by counting the upper 16 bits, then the
    lower 16 of the values in the bin that holds it.
    """
    size = sum(part.size for part in parts)
    upper = np.zeros(1 << 16, dtype=np.int64)
    for part in parts:
        upper += np.bincount((_bits(part) >> 16).ravel(), minlength=1 << 16)
    edges = np.cumsum(upper)
    middle = []
    for rank in {(size - 1) // 2, size // 2}:
        bin_of = int(np.searchsorted(edges, rank, side="right"))
        before = int(edges[bin_of - 1]) if bin_of else 0
        lower = np.zeros(1 << 16, dtype=np.int64)
        for part in parts:
            bits = _bits(part).ravel()
            lower += np.bincount(bits[bits >> 16 == bin_of] & 0xFFFF, minlength=1 << 16)
        low = int(np.searchsorted(np.cumsum(lower), rank - before, side="right"))
        middle.append(float(np.array((bin_of << 16) | low, dtype=np.uint32).view(np.float32)))
    return float(np.mean(middle))


def _bits(part: NDArray[np.float32]) -> NDArray[np.uint32]:
    return np.abs(np.ascontiguousarray(part, dtype=np.float32)).view(np.uint32)
