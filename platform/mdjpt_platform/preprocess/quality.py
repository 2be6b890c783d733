"""What a recording looks like at one stage of its preparation, in numbers small enough to keep for every recording.

Only the trials are looked at, in stretches of 4 s (a shorter trial is one stretch, what a longer one has left over at
its end is not read). A recording with more than ten minutes of trials is thinned: evenly spaced stretches of the whole
list, in order of the trial number, the first and the last among them. Nothing is drawn at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.signals import Array, Signals, span
from mdjpt_platform.preprocess.statistics import FLAT_UV

STRETCH, MOST = 4.0, 600.0
"""Seconds of a stretch, and of all stretches that are read."""
LOWEST, HIGHEST, BANDS = 0.5, 100.0, 64
"""Hz between which the spectrum is kept, and its number of log-spaced bands."""
LINES = (50, 60)
"""Hz of the mains."""
BESIDE = 2.5
"""Hz on both sides of a line that say what would be there without it."""
LARGE_UV = 100.0
QUANTILES = (0.1, 1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 99.9)
"""Per cent."""
TINY = 1e-12
"""uV^2/Hz, below any amplifier: a flat channel has a logarithm too."""


def look(signals: Signals) -> dict[str, Any]:
    """Numbers about the trials that are not left out; JSON values throughout, all finite, equal for equal signals.

    Every stretch is read without its mean (amplifiers have offsets of millivolts); samples that are not finite count
    as that mean. `rate`, `channels`, `trials`; `seconds` of the trials, `looked` of them read; `frequencies` (middles
    of the bands) and `power` [channels][bands], uV^2/Hz (Welch: Hann windows, no overlap, no detrending but the mean);
    `sd` by channel, uV (median over the stretches, so that a burst does not move it); `quantiles` of |x| over all
    channels, uV, by per cent (within 0.2 %); `line`: dB by which 50 and 60 Hz stand above their neighbourhood, median
    over channels, null too near half the rate; shares of the samples `beyond_100uv` and `nonfinite`, share of
    channel-seconds `flat`. Raises BadInput: a rate that has no EEG in it, no trial, a trial outside its segment.
    """
    if signals.rate < 4 * LOWEST:
        raise BadInput(signals.where, "rate", f"{signals.rate:g} Hz", f"at least {4 * LOWEST:g} Hz")
    views = [piece.data[:, span(signals, piece, trial)] for _, piece, trial in _kept(signals)]
    if not views:
        raise BadInput(signals.where, "trials", "none left", "at least one")
    stretches = _stretches(views, signals.rate)
    read = sum(part.shape[1] for part in stretches)
    size = fft.next_fast_len(round(STRETCH * signals.rate), real=True)
    density = np.zeros((len(signals.names), size // 2 + 1))
    spreads, counts = [], np.zeros(1 << 16, dtype=np.int64)
    large = broken = flat = seconds = 0
    for part in stretches:
        centred, holes = _centred(part)
        density += part.shape[1] / read * _periodogram(centred, signals.rate, size)
        spreads.append(centred.std(axis=1))
        magnitude = np.abs(centred)
        counts += np.bincount(magnitude.astype(np.float32).view(np.uint32).ravel() >> 15, minlength=1 << 16)
        large, broken = large + int((magnitude > LARGE_UV).sum()), broken + holes
        blocks = _seconds(centred, signals.rate).std(axis=2)
        flat, seconds = flat + int((blocks < FLAT_UV).sum()), seconds + blocks.size
    samples, shortest = read * len(signals.names), min(part.shape[1] for part in stretches) / signals.rate
    frequencies, power = _bands(density, signals.rate, size)
    return {
        "rate": signals.rate,
        "channels": list(signals.names),
        "trials": len(views),
        "seconds": _short(sum(view.shape[1] for view in views) / signals.rate),
        "looked": _short(read / signals.rate),
        "frequencies": [_short(value) for value in frequencies],
        "power": [[_short(value) for value in row] for row in power],
        "sd": [_short(value) for value in np.median(spreads, axis=0)],
        "quantiles": {f"{share:g}": _quantile(counts, share) for share in QUANTILES},
        "line": {f"{line}": _line(density, signals.rate, size, line, shortest) for line in LINES},
        "beyond_100uv": _short(large / samples),
        "nonfinite": _short(broken / samples),
        "flat": _short(flat / seconds),
    }


def _kept(signals: Signals) -> list[tuple[int, Any, Any]]:
    """(number, piece, trial) of the trials that are not left out, in order of their number."""
    members = [(trial.trial, piece, trial) for piece in signals.pieces for trial in piece.trials]
    return sorted((one for one in members if one[0] not in signals.dropped), key=lambda one: one[0])


def _stretches(views: Sequence[Array], rate: float) -> list[Array]:
    """Views [channels, samples] of at most STRETCH seconds, of at most MOST seconds in all."""
    length = round(STRETCH * rate)
    parts = [
        view[:, start : start + length]
        for view in views
        for start in range(0, max(1, view.shape[1] - length + 1), length)
    ]
    seconds = sum(part.shape[1] for part in parts) / rate
    if seconds <= MOST:
        return parts
    chosen = np.linspace(0, len(parts) - 1, max(1, int(len(parts) * MOST / seconds)))
    return [parts[place] for place in np.unique(chosen.round().astype(int))]


def _centred(part: Array) -> tuple[Array, int]:
    """A stretch without the mean of every channel, holes filled with it, and the number of holes."""
    good = np.isfinite(part)
    holes = int(good.size - good.sum())
    if holes:
        part = np.where(good, part, 0.0)
    mean = part.sum(axis=1, keepdims=True) / np.maximum(1, good.sum(axis=1, keepdims=True))
    centred: Array = np.where(good, part - mean, 0.0) if holes else part - mean
    return centred, holes


def _periodogram(part: Array, rate: float, size: int) -> Array:
    """One-sided power density [channels, size // 2 + 1], uV^2/Hz, of a stretch padded with zeros to `size`."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(part.shape[1]) / part.shape[1]) if part.shape[1] > 1 else 1.0
    found: Array = np.abs(fft.rfft(part * window, size, axis=1)) ** 2 / (rate * np.square(window).sum())
    found[:, 1 : None if size % 2 else -1] *= 2
    return found


def _seconds(part: Array, rate: float) -> Array:
    """[channels, whole seconds, samples]; a stretch shorter than that counts as one."""
    length = min(part.shape[1], round(rate))
    count = part.shape[1] // length
    return part[:, : count * length].reshape(len(part), count, length)


def _bands(density: Array, rate: float, size: int) -> tuple[Array, Array]:
    """Middles and mean density [channels, BANDS] of log-spaced bands; the power between their ends is kept.

    Every bin of the spectrum is taken as a bar of its own width and shared out among the bands that it touches: below
    about 3 Hz a bin serves several bands, above a band gathers several bins.
    """
    edges = np.geomspace(LOWEST, min(rate / 2, HIGHEST), BANDS + 1)
    width = rate / size
    ends = (np.arange(density.shape[1] + 1) - 0.5) * width
    power = np.empty((len(density), BANDS))
    for row, bins in zip(power, density, strict=True):
        row[:] = np.diff(np.interp(edges, ends, np.concatenate([[0.0], np.cumsum(bins) * width]))) / np.diff(edges)
    return np.sqrt(edges[:-1] * edges[1:]), power


def _line(density: Array, rate: float, size: int, line: float, seconds: float) -> float | None:
    """dB of the density within 0.5 Hz of the line over a parabola through that on both sides, median over channels.

    The sides begin where a Hann window of `seconds` no longer smears the line. A parabola in dB, since the edge of a
    filter is not straight there.
    """
    away = np.arange(density.shape[1]) * rate / size - line
    gap = 0.5 + 2 / seconds
    beside = (np.abs(away) >= gap) & (np.abs(away) <= gap + BESIDE)
    if line + gap + BESIDE > rate / 2:
        return None
    levels = 10 * np.log10(np.maximum(density, TINY))
    here = 10 * np.log10(np.maximum(density[:, np.abs(away) <= 0.5].mean(axis=1), TINY))
    expected = np.polyfit(away[beside], levels[:, beside].T, 2)[-1]
    return _short(float(np.median(here - expected)))


def _quantile(counts: NDArray[np.int64], share: float) -> float:
    """The value below which `share` per cent of the magnitudes lie, from counts of their upper 16 bits.

    Non-negative float32 order as their bit patterns do; 8 bits of mantissa make bins 0.4 % wide, of which the middle.
    """
    place = int(np.searchsorted(np.cumsum(counts), max(1.0, share / 100 * int(counts.sum()))))
    return _short(float(np.array((place << 15) | (1 << 14) if place else 0, dtype=np.uint32).view(np.float32)))


def _short(value: float | NDArray[np.float64]) -> float:
    """Five significant digits: what a page can show, at a third of the characters."""
    return float(f"{value:.5g}")
