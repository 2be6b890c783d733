"""The mains hum: found, measured, and only then taken out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import signal as sp
from threadpoolctl import threadpool_limits

from mdjpt_platform.preprocess.parameters import Positive
from mdjpt_platform.preprocess.signals import Array, Piece, Signals, noted

STRETCH_S = 8.0
"""Stretches in which hum is looked for: long enough to stand out, short enough for the mains to keep its frequency."""
NEAR = 0.01
"""By which share the mains may be off its nominal frequency."""
GUARD, SIDE_BINS, SIDE_HZ = 3, 6, 4.0
"""Neighbourhood: `GUARD` bins off the searched band, then as many bins or Hz on both sides, whichever is wider."""
SIGMAS = 5.0
"""Robust deviations of its neighbourhood that a line stands above it: the fewer stretches, the rougher the spectrum."""
WINDOW_S = 2.0
"""Sliding window of the fit."""
TINY = 1e-12
"""So that a flat channel has a logarithm."""
LEAST_S = 0.5
"""A shorter piece is left alone, since a fit to it would take a band of 4 Hz; so is a recording of such pieces."""


def line(
    signals: Signals, *, mains: tuple[Positive, ...] = (50.0, 60.0), least: Positive = 6.0, harmonics: bool = True
) -> Signals:
    """Find the mains hum and its harmonics below half the rate, and take out what is there; nothing where nothing is.

    A line is a peak within 1 % of a multiple of `mains` Hz that stands `least` dB above its neighbourhood, and well
    above that neighbourhood's own roughness, in a quarter of the channels. Its frequency is then measured, and a sine
    of it, fitted in sliding windows of 2 s, subtracted from every channel. For recordings before their band-pass: a
    filter's edge is no neighbourhood. Something else at exactly that frequency (a light flickering at 50 Hz) is lost.

    Sines rather than notches by measurement on real hum in short cuts (ssvep_exo 08 and 09 in cuts of 5 s; a zero-phase
    notch of quality 25 in brackets): 0.5 to 1 Hz beside the line the level falls by 1.2 and 0.8 dB (9.4, 9.2), 1 to
    2 Hz beside it by 0.1 and 0.0 dB (3.5, 3.4). What is left of 50 Hz in the first and last quarter of a second: 10.4
    and 8.3 dB less than before (8.9, 8.7). In cuts of 1 s (feis 09, 12) 9.9 and 12.1 dB less (7.6, 8.9). A window of
    1 s takes three times as much from the neighbours, one of 4 s leaves hum that wavers.
    Notes `line`: {"found": [{"frequency", "ratio_db_before", "ratio_db_after"}]}.
    """
    if _length(signals) < LEAST_S * signals.rate:
        return noted(signals, "line", {"found": []})
    half = signals.rate / 2
    orders = range(1, int(half / min(mains, default=half)) + 1) if harmonics else range(1, 2)
    targets = sorted({n * base for base in mains for n in orders if (1 + NEAR) * n * base < half})
    lines: list[dict[str, float]] = []
    with threadpool_limits(1, "blas"):  # sums in one order, however many cores
        frequencies, levels = _spectrum(signals)
        for target in targets:
            place, ratio, limit, rows = _standing(frequencies, levels, target)
            if ratio >= max(least, limit):
                exact = _measured(signals, frequencies[place], frequencies[1], rows)
                lines.append({"frequency": round(exact, 3), "ratio_db_before": round(ratio, 1)})
        if lines:
            for piece in signals.pieces:
                _subtract(piece.data, [entry["frequency"] for entry in lines], signals.rate)
            frequencies, levels = _spectrum(signals)
            for entry in lines:
                entry["ratio_db_after"] = round(_standing(frequencies, levels, entry["frequency"])[1], 1)
    return noted(signals, "line", {"found": lines})


def _length(signals: Signals) -> int:
    """Samples of a stretch: 8 s, or what half of the pieces hold."""
    whole = sorted(piece.data.shape[1] for piece in signals.pieces)
    return min(round(STRETCH_S * signals.rate), whole[len(whole) // 2])


def _stretches(pieces: Sequence[Piece], length: int) -> Iterator[Array]:
    """Stretches [channels, length] without mean, under a Hann window."""
    window = sp.windows.hann(length, sym=False)
    for piece in pieces:
        for start in range(0, piece.data.shape[1] - length + 1, length):
            part = piece.data[:, start : start + length]
            yield (part - part.mean(axis=1, keepdims=True)) * window


def _spectrum(signals: Signals) -> tuple[Array, Array]:
    """(Hz [bins], dB [channels, bins]); the mean of logarithms, so that a burst of movement counts once."""
    length = _length(signals)
    total, count = np.zeros((len(signals.names), length // 2 + 1)), 0
    for part in _stretches(signals.pieces, length):
        total += 10 * np.log10(np.abs(np.fft.rfft(part, axis=1)) ** 2 + TINY)
        count += 1
    frequencies = np.arange(length // 2 + 1) * signals.rate / length
    return frequencies.astype(np.float64), total / count


def _standing(frequencies: Array, levels: Array, target: float) -> tuple[int, float, float, NDArray[np.intp]]:
    """The highest bin near `target`: (bin, dB above its neighbourhood, dB of chance, channels that show it most)."""
    step, off = frequencies[1], np.abs(frequencies - target)
    reach = max(NEAR * target, step)
    inner = reach + GUARD * step
    sides = (off > inner) & (off <= inner + max(SIDE_HZ, SIDE_BINS * step)) & (frequencies > step)
    if sides.sum() < 2 * SIDE_BINS:
        return 0, 0.0, np.inf, np.arange(0)
    # every channel against its own neighbourhood, then the quarter of the channels where a bin stands out most
    own = levels - np.median(levels[:, sides], axis=1, keepdims=True)
    stand: Array = np.percentile(own, 75, axis=0)
    stand = stand - np.polyval(np.polyfit(frequencies[sides] - target, stand[sides], 1), frequencies - target)
    rough = 1.4826 * float(np.median(np.abs(stand[sides])))
    peak = int(np.argmax(np.where(off <= reach, stand, -np.inf)))
    return peak, float(stand[peak]), SIGMAS * rough, np.flatnonzero(own[:, peak] >= np.percentile(own[:, peak], 75))


def _measured(signals: Signals, near: float, step: float, rows: NDArray[np.intp]) -> float:
    """Hz of the peak within a bin of `near`, to a fiftieth of a bin, in some channels; logarithms as above."""
    length = _length(signals)
    grid = near + step * np.linspace(-1, 1, 101)
    waves = np.exp(-2j * np.pi / signals.rate * np.outer(np.arange(length), grid))
    power = sum(
        np.log(np.abs(part[rows] @ waves) ** 2 + TINY).sum(axis=0) for part in _stretches(signals.pieces, length)
    )
    return float(grid[np.argmax(power)])


def _subtract(data: Array, frequencies: Sequence[float], rate: float) -> None:
    """Take sines of these frequencies out of [channels, samples]: overlapping fits under a window, added up."""
    samples = data.shape[1]
    if samples < LEAST_S * rate:
        return
    length = min(samples, round(WINDOW_S * rate))
    window = sp.windows.hann(length + 2)[1:-1]
    phase = 2 * np.pi / rate * np.outer(frequencies, np.arange(length))
    basis = np.concatenate([np.ones((1, length)), np.cos(phase), np.sin(phase)])
    fit = np.linalg.solve((basis * window) @ basis.T, basis * window).T[:, 1:]  # a mean is fitted too, and stays
    hum, weight = np.zeros_like(data), np.zeros(samples)
    for start in sorted({*range(0, samples - length + 1, max(1, length // 2)), samples - length}):
        where = slice(start, start + length)
        hum[:, where] += window * (data[:, where] @ fit @ basis[1:])
        weight[where] += window
    data -= hum / weight
