"""Differential entropy of frequency bands: the baseline without a network.

The released baseline passes the window length as sampling rate and joins overlapping windows as if they followed each
other (ext_fea.py:105, 116-117; SYSTEMS 1.13, 11). Here the continuous trial is filtered at its true rate.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.signal import firwin, oaconvolve

from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.progress import progress_bar
from mdjpt_platform.evaluate.windows import Array, WindowStore, corpus_name, require_finite, trials_of

BANDS: tuple[tuple[float, float], ...] = ((1, 4), (4, 8), (8, 14), (14, 30), (30, 47))
"""Hz: delta, theta, alpha, beta, gamma (SYSTEMS 1.8)."""
HAMMING = 3.3
"""Length of a Hamming-windowed design times its transition width."""
Float = NDArray[np.float64]


@lru_cache(maxsize=64)
def band_filter(rate: float, low: float, high: float) -> Float:
    """Taps of the zero-phase band-pass that MNE-Python designs by default; odd length, symmetric.

    Two Hamming-windowed low-passes are subtracted, each as long as its own transition band asks for:
    min(max(f/4, 2), f) Hz below `low`, min(max(f/4, 2), rate/2 - f) Hz above `high`.
    Raises BadInput: `high` not below half the rate.
    """
    if not 0 < low < high < rate / 2:
        raise BadInput("band", f"{low:g}-{high:g} Hz", f"a rate of {rate:g} Hz", "a band below half the rate")
    below = min(max(0.25 * low, 2.0), low)
    above = min(max(0.25 * high, 2.0), rate / 2 - high)
    length = _odd(math.ceil(HAMMING / min(below, above) * rate))
    taps = np.zeros(length)
    for edge, width, sign in ((high + above / 2, above, 1.0), (low - below / 2, below, -1.0)):
        own = _odd(round(HAMMING * rate / width))
        own = min(own, length)
        offset = (length - own) // 2
        taps[offset : length - offset] += sign * firwin(own, edge, window="hamming", pass_zero=True, fs=rate)
    taps.flags.writeable = False
    return taps


def band_pass(signal: NDArray[np.floating], taps: Float) -> Float:
    """Filter [samples, channels] without delay; edges are mirrored about their end points, zeros beyond that."""
    wide = np.asarray(signal, np.float64)
    edge = min(len(taps), len(wide)) - 1
    before = 2 * wide[:1] - wide[edge:0:-1]
    after = 2 * wide[-1:] - wide[-2 : -edge - 2 : -1]
    filtered = oaconvolve(np.concatenate([before, wide, after]), taps[:, None], mode="full", axes=0)
    begin = edge + len(taps) // 2
    return np.asarray(filtered[begin : begin + len(wide)])


def differential_entropy(store: WindowStore, table: pd.DataFrame, *, progress: bool = False) -> Array:
    """0.5 ln(2 pi e var) per window, channel and band: [n, channels * 5], channel by channel.

    Raises BadInput: a channel that is flat or not finite inside a window, a rate too low for the bands.
    """
    length, starts = int(table["samples"].iloc[0]), table["start"].to_numpy()
    rows, filters = table["row"].to_numpy(), [band_filter(float(store.rate), *band) for band in BANDS]
    out = np.empty((len(table), len(store.channels), len(BANDS)), np.float32)
    with progress_bar(len(table), f"band entropy of {corpus_name(store)}", progress) as advance:
        for at in trials_of(table):
            signal = store.signal(int(rows[at[0]]))
            require_finite(np.asarray(signal)[None], store, table, at[:1], "signal")
            for band, taps in enumerate(filters):
                cuts = sliding_window_view(band_pass(signal, taps), length, axis=0)[starts[at]]
                with np.errstate(divide="ignore"):
                    out[at, :, band] = 0.5 * np.log(2 * math.pi * math.e * cuts.var(axis=-1))
            require_finite(out[at], store, table, at, "band entropy")
            advance(len(at))
    return out.reshape(len(table), -1)


def _odd(length: int) -> int:
    return length + 1 - length % 2
