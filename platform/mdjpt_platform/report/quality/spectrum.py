"""What a kept spectrum says: an alpha peak, a peak that no brain makes, the share of the mains. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mdjpt_platform.report.quality.inputs import Look

Array = NDArray[np.float64]

ALPHA = (7.5, 13.0)
SLOPE = ((3.0, 7.0), (14.0, 30.0))
"""Hz beside alpha from which the 1/f background is drawn as a straight line in the doubly logarithmic plot."""
ALPHA_DB, SIGMAS = 1.0, 2.5
"""Height above the background that counts as a peak, and above how many standard errors it must be."""
NARROW = (14.0, 5.0)
"""Hz above which, and dB by which, a band must stand above its neighbours to be a narrow peak."""
REACH = 5
"""Bands on each side that are its neighbours, the nearest left out: a line leaks into it."""
MAINS = (50.0, 60.0)
POSTERIOR = ("O", "PO", "P")
"""Beginnings of the names of channels over which alpha is largest."""
TINY = 1e-12


@dataclass(frozen=True)
class Peak:
    """Something that stands out of a spectrum."""

    frequency: float
    """Hz."""
    height: float
    """dB above what surrounds it."""


def decibels(look: Look) -> Array:
    """Power [channels, bands] in dB of 1 uV^2/Hz."""
    return 10 * np.log10(np.maximum(np.asarray(look["power"], float).reshape(len(look["channels"]), -1), TINY))


def middle(look: Look) -> Array:
    """Median spectrum over the channels that are not flat, dB."""
    alive = np.asarray(look["sd"]) > 0
    levels = decibels(look)
    return np.median(levels[alive] if alive.any() else levels, axis=0)


def alpha(look: Look) -> Peak:
    """Highest point of 7.5 to 13 Hz above the 1/f line, median over posterior channels (all, if there are none)."""
    x = np.log10(np.asarray(look["frequencies"], float))
    names: Sequence[str] = look["channels"]
    back = [row for row, name in enumerate(names) if name.rstrip("0123456789Zz").upper() in POSTERIOR]
    levels = np.median(decibels(look)[back or list(range(len(names)))], axis=0)
    f = 10**x
    beside = np.any([(f >= low) & (f <= high) for low, high in SLOPE], axis=0)
    inside = (f >= ALPHA[0]) & (f <= ALPHA[1])
    if beside.sum() < 4 or not inside.any():
        return Peak(float("nan"), float("nan"))
    above = (levels - np.polyval(np.polyfit(x[beside], levels[beside], 1), x))[inside]
    return Peak(float(f[inside][above.argmax()]), float(above.max()))


def alpha_floor(look: Look) -> float:
    """dB that an alpha peak must exceed: what is read of short trials is rough.

    A Hann periodogram of T seconds, averaged over W Hz and n stretches, has nTW / 1.5 independent values.
    """
    f = np.asarray(look["frequencies"], float)
    width = 10.0 * (f[1] / f[0] - 1)
    return max(ALPHA_DB, SIGMAS * 10 / np.log(10) / float(np.sqrt(max(look["looked"], 1e-3) * width / 1.5)))


def narrow_peaks(look: Look) -> list[Peak]:
    """Bands above 14 Hz, beside the mains, that stand NARROW dB above their neighbours: monitors, motors, aliases."""
    f, levels = np.asarray(look["frequencies"], float), middle(look)
    found = []
    for place in range(len(f)):
        near = [k for k in range(place - REACH, place + REACH + 1) if abs(k - place) > 1 and 0 <= k < len(f)]
        step = f[place] * (f[1] / f[0] - 1)
        if f[place] < NARROW[0] or len(near) < 2 * (REACH - 1) or any(abs(f[place] - m) < 1 + step for m in MAINS):
            continue
        # the larger of both sides' medians: a filter's edge is no peak
        sides = [np.median([levels[k] for k in near if (k < place) == left]) for left in (True, False)]
        height = float(levels[place] - max(sides))
        if height >= NARROW[1] and levels[place] == levels[max(0, place - 1) : place + 2].max():
            found.append(Peak(float(f[place]), height))
    return found


def line_share(look: Look, line: float) -> float:
    """Share of the power between 0.5 and 100 Hz in the bands that touch the line, median over channels."""
    f = np.asarray(look["frequencies"], float)
    ratio = float(np.sqrt(f[1] / f[0]))
    power = 10 ** (decibels(look) / 10) * f * (ratio - 1 / ratio)
    touched = (f * ratio > line - 0.5) & (f / ratio < line + 0.5)
    return float(np.median(power[:, touched].sum(axis=1) / power.sum(axis=1)))


def on_grid(looks: Sequence[Look], points: int = 64) -> tuple[Array, Array]:
    """(Hz, median spectra in dB [looks, points]) on a grid that all of them reach: rates differ between recordings."""
    low = max(look["frequencies"][0] for look in looks)
    high = min(look["frequencies"][-1] for look in looks)
    grid = np.geomspace(low, high, points)
    rows = [np.interp(np.log(grid), np.log(look["frequencies"]), middle(look)) for look in looks]
    return grid, np.array(rows)
