"""Rate and frequencies: resampling, band-pass, notch; zero phase throughout."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy import signal as sp

from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.parameters import Positive
from mdjpt_platform.preprocess.signals import Array, Piece, Signals

AT_ONCE = 1 << 20
"""Samples that a filter works on at a time."""


def resample(signals: Signals, *, rate: Positive = 125.0) -> Signals:
    """Change the rate by a polyphase FIR filter (Kaiser, 80 dB); sample k lies at exactly k / rate.

    Raises BadInput: the two rates have no ratio of small integers.
    """
    if signals.rate == rate:
        return signals
    ratio = (Fraction(rate).limit_denominator(1000) / Fraction(signals.rate).limit_denominator(1000)).limit_denominator(
        10_000
    )
    if abs(float(ratio) * signals.rate / rate - 1) > 1e-9:
        raise BadInput(signals.where, "rate", f"{signals.rate!r} Hz", f"a rate in a simple ratio to {rate:g} Hz")
    up, down = ratio.numerator, ratio.denominator
    reach = 16 * max(up, down)
    taps = sp.firwin(2 * reach + 1, 1 / max(up, down), window=("kaiser", 8.0))
    pad = down * -(-reach // (up * down))  # whole periods of the phase pattern, at least the filter's reach

    def some(rows: Array) -> Array:
        length = -(-rows.shape[1] * up // down)
        mean = rows.mean(axis=1, keepdims=True)
        long = sp.resample_poly(_mirrored(rows - mean, pad), up, down, axis=1, window=taps)
        start = pad * up // down
        out: Array = long[:, start : start + length] + mean
        return out

    return replace(signals, rate=float(rate), pieces=_by_rows(signals.pieces, some))


def band_pass(
    signals: Signals, *, low: Positive = 0.5, high: Positive = 47.0, order: Annotated[int, Field(ge=1)] = 4
) -> Signals:
    """Butterworth forwards and backwards (zero phase), the published filter.

    Chosen over an FIR filter because public corpora hold cuts as short as a second, where MNE's 0.5 Hz FIR (6.6 s) is
    mostly edge. Measured on 1-s cuts of 1/f noise with alpha against the same filter on the uncut signal, relative
    error: Butterworth with mirrored edges .25, with odd mirroring .43, on concatenated cuts .28, FIR .55.
    Raises BadInput: the band does not lie below half the rate.
    """
    if not low < high < signals.rate / 2:
        found = f"{low:g} to {high:g} Hz at {signals.rate:g} Hz"
        raise BadInput(signals.where, "band_pass", found, "low < high < rate/2")
    sos = sp.butter(order, (low, high), "bandpass", fs=signals.rate, output="sos")
    return replace(signals, pieces=_zero_phase(signals.pieces, sos, round(3 / low * signals.rate)))


def notch(signals: Signals, *, frequency: Positive = 50.0, quality: Positive = 25.0) -> Signals:
    """Remove the mains line, zero phase: the published band-pass lets a seventh of a 50 Hz line through.

    Raises BadInput: the line does not lie below half the rate.
    """
    if frequency >= signals.rate / 2:
        raise BadInput(signals.where, "notch", f"{frequency:g} Hz at {signals.rate:g} Hz", "a frequency below rate/2")
    sos = sp.tf2sos(*sp.iirnotch(frequency, quality, fs=signals.rate))
    return replace(signals, pieces=_zero_phase(signals.pieces, sos, round(2 * quality / frequency * signals.rate)))


def _by_rows(pieces: Iterable[Piece], some: Callable[[Array], Array]) -> tuple[Piece, ...]:
    """A few channels at a time, so that temporary arrays stay small beside the recording."""
    done = []
    for piece in pieces:
        count = max(1, AT_ONCE // piece.data.shape[1])
        parts = [some(piece.data[row : row + count]) for row in range(0, len(piece.data), count)]
        done.append(Piece(np.concatenate(parts), piece.trials))
    return tuple(done)


def _mirrored(rows: Array, pad: int) -> Array:
    """Rows with `pad` samples more at both ends, mirrored as often as it takes."""
    return np.pad(rows, ((0, 0), (pad, pad)), mode="reflect")


def _zero_phase(pieces: Iterable[Piece], sos: Array, pad: int) -> tuple[Piece, ...]:
    """Filter both ways over mirrored edges."""

    def some(rows: Array) -> Array:
        long = _mirrored(rows - rows.mean(axis=1, keepdims=True), pad)
        out: Array = sp.sosfiltfilt(sos, long, axis=1, padtype=None)[:, pad : pad + rows.shape[1]]
        return out

    return _by_rows(pieces, some)
