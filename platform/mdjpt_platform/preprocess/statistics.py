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


def bad_rows(views: Sequence[NDArray[np.float64]], limits: Sequence[tuple[float, float]], flat: float) -> list[bool]:
    """Which channels of `views` [channels, samples] are bad: (times, share) above the median |x|, or flat."""
    size = sum(view.shape[1] for view in views)
    spread = _spread(views)
    alive = spread > FLAT_UV
    if not alive.any():
        return [True] * len(spread)
    alive &= spread >= flat * np.median(spread[alive])
    level = np.median(np.concatenate([np.abs(view[alive]).ravel() for view in views]))
    bad = ~alive
    for times, share in limits:
        above = sum((np.abs(view) > times * level).sum(axis=1) for view in views)
        bad |= above / size > share
    return list(map(bool, bad))


def deviant_rows(views: Sequence[NDArray[np.float64]], known: NDArray[np.bool_], most: float) -> NDArray[np.bool_]:
    """Channels whose SD lies more than `most` robust standard deviations from the median of those not `known` bad."""
    if known.all():
        return known
    spread = _spread(views)
    middle = np.median(spread[~known])
    width = 1.4826 * np.median(np.abs(spread[~known] - middle))
    found: NDArray[np.bool_] = np.abs(spread - middle) > most * width
    return found


def lonely_rows(
    views: Sequence[NDArray[np.float64]], known: NDArray[np.bool_], stretch: int, least: float, share: float
) -> NDArray[np.bool_]:
    """Channels that follow no other: in more than `share` of the stretches, of `stretch` samples, the 98th percentile
    of |r| with the others that are not `known` bad lies below `least`. Views shorter than a stretch count whole."""
    others = np.flatnonzero(~known)
    if len(others) < 2:
        return np.zeros(len(known), dtype=bool)
    low, count = np.zeros(len(known)), 0
    for view in views:
        length = min(stretch, view.shape[1])
        for start in range(0, view.shape[1] - length + 1, length):
            part = view[:, start : start + length]
            part = part - part.mean(axis=1, keepdims=True)
            size = np.sqrt(np.einsum("ct,ct->c", part, part))
            part = part / np.where(size > 0, size, 1.0)[:, None]
            close = np.abs(np.einsum("ct,dt->cd", part, part[others]))
            close[others, np.arange(len(others))] = np.nan  # with itself
            low += np.nanpercentile(close, 98, axis=1) < least
            count += 1
    found: NDArray[np.bool_] = low / count > share
    return found


def _spread(views: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """SD of every channel over all views."""
    size = sum(view.shape[1] for view in views)
    mean = sum(view.sum(axis=1) for view in views) / size
    found: NDArray[np.float64] = np.sqrt(sum(((view - mean[:, None]) ** 2).sum(axis=1) for view in views) / size)
    return found


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
