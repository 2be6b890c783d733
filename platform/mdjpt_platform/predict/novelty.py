"""How far a recording lies from what a model has been shown: its amplitude, the shape of its spectrum.

The same functions make the reference (`seen` in a model folder) and hold a recording against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import signal as sp

LOWEST, HIGHEST = 1, 45
"""Hz; the recipes' pass bands end at 47 and 49."""
SEGMENT = 4.0
"""Seconds of a stretch of Welch's method: four points a bin of 1 Hz."""
LEAST_SD = 0.5
"""dB; a bin that hardly varied among a few recordings would outvote all others."""


def amplitude(spreads: Sequence[float]) -> float:
    """Microvolts: root mean square of the channels' SDs after the recipe (`quality.look`, median of stretches of 4 s).

    What `scale` divides by, but for bursts, which do not move it.
    """
    return float(np.sqrt(np.mean(np.square(spreads))))


class Profile(NamedTuple):
    """Shape of a spectrum."""

    frequencies: NDArray[np.float64]
    """Hz, middles of bins of 1 Hz."""
    power: NDArray[np.float64]
    """dB of the power from LOWEST to HIGHEST, which makes it blind to amplitude."""


def profile(signal: NDArray[Any], channels: Sequence[str], rate: float) -> Profile:
    """Spectral shape of a recording after the recipe: signal [samples, C], in microvolts or scaled, is the same.

    Welch's method (Hann, 4 s, half overlapping) by channel, summed in bins of 1 Hz, as a share of the channel's total;
    the median of the channels in dB. Channels that do not move have no spectrum and do not count.
    Raises ValueError: shorter than two seconds, no channel that moves, names that are not those of the columns.
    """
    samples, width = signal.shape
    if len(channels) != width:
        raise ValueError(f"{len(channels)} names for {width} channels")
    if samples < 2 * rate:
        raise ValueError(f"{samples / rate:g} s of signal, at least 2 s are needed")
    middles = np.arange(LOWEST, min(HIGHEST, int(np.ceil(rate / 2)) - 1) + 1, dtype=np.float64)
    length = min(samples, round(SEGMENT * rate))
    shares = []
    for column in range(width):  # one at a time: an hour of 60 channels is large enough as it is
        found, density = sp.welch(np.asarray(signal[:, column], dtype=np.float64), rate, nperseg=length)
        places = np.floor(found - LOWEST + 0.5).astype(int)
        inside = (places >= 0) & (places < len(middles))
        power = np.bincount(places[inside], density[inside], len(middles)) / np.bincount(places[inside])
        if power.min() > 0:
            shares.append(10 * np.log10(power / power.sum()))
    if not shares:
        raise ValueError("no channel moves")
    return Profile(middles, np.median(shares, axis=0))


def distance(found: Profile, spectrum: Mapping[str, Any]) -> float:
    """Root mean square, over the bins, of how many SDs the profile lies from the mean of those shown.

    `spectrum`: `seen["spectrum"]`, of which `frequencies`, `mean` and `sd` are used. Raises ValueError: other bins.
    """
    if list(found.frequencies) != list(spectrum["frequencies"]):
        raise ValueError(f"{len(found.frequencies)} bins, the model has {len(spectrum['frequencies'])}")
    spread = np.maximum(np.asarray(spectrum["sd"], dtype=np.float64), LEAST_SD)
    steps = (found.power - np.asarray(spectrum["mean"], dtype=np.float64)) / spread
    return float(np.sqrt(np.mean(steps**2)))
