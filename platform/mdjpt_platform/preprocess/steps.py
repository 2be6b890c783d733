"""The preparation steps: each a function of one recording, with keyword parameters that a recipe may set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import signal as sp

from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.montage import repair, scalp_channels
from mdjpt_platform.preprocess.signals import Array, Piece, Signals, span
from mdjpt_platform.preprocess.statistics import bad_rows, block_sd, clipped_moments

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]

TYPICAL_UV = 20.0
AT_ONCE = 1 << 20
"""Samples that a filter works on at a time."""


def channels(signals: Signals) -> Signals:
    """Canonical 10-05 names, scalp channels only, in the order the corpus declares.

    Raises BadInput: unknown or doubled names, channels other than the declared ones.
    """
    rows = scalp_channels(signals.names, signals.where)
    names = list(rows)
    if signals.declared:
        names = list(scalp_channels(signals.declared, f"{signals.where}: declared channels"))
        absent, extra = [n for n in names if n not in rows], [n for n in rows if n not in names]
        if absent or extra:
            found = "; ".join(f"{word} {', '.join(some)}" for word, some in (("no", absent), ("extra", extra)) if some)
            raise BadInput(signals.where, "channels", found, f"the {len(names)} declared: {', '.join(names)}")
    order = [rows[name] for name in names]
    same = order == list(range(len(signals.names)))
    pieces = signals.pieces if same else tuple(replace(piece, data=piece.data[order]) for piece in signals.pieces)
    return replace(signals, names=tuple(names), pieces=pieces)


def unit(
    signals: Signals, *, low: Positive = 1.0, high: Positive = 300.0, action: Literal["refuse", "correct"] = "correct"
) -> Signals:
    """Check that the numbers are microvolts: the median channel's SD lies in [low, high] uV (DATASETS 21.4).

    The SD is taken in stretches of 2 s, so that a drifting amplifier is not mistaken for a wrong unit. Off by 1e3 or
    1e6 either way: corrected by the power of ten that brings it nearest to 20 uV, or refused.
    Raises BadInput: NaN or infinity, every channel flat, an amplitude that no power mends, `refuse` and out of range.
    """
    for number, piece in enumerate(signals.pieces, start=1):
        for name, row in zip(signals.names, piece.data, strict=True):
            if not np.isfinite(row).all():
                raise BadInput(signals.where, f"segment {number}", f"NaN or infinity in {name}", "finite samples")
    spread = np.array(
        [block_sd([p.data[c] for p in signals.pieces], 2 * signals.rate) for c in range(len(signals.names))]
    )
    moving = spread[spread > 0]
    if not moving.size:
        raise BadInput(signals.where, "amplitude", "every channel flat", f"{low:g} to {high:g} uV")
    found = float(np.median(moving))  # flat channels say nothing about the unit; bad_channels deals with them
    if low <= found <= high:
        return signals
    powers = [power for power in (-6, -3, 3, 6) if low <= found * 10.0**power <= high]
    if action == "refuse" or not powers:
        raise BadInput(signals.where, "amplitude", f"a median SD of {found:.3g} uV", f"{low:g} to {high:g} uV")
    factor = 10.0 ** min(powers, key=lambda power: abs(np.log(found * 10.0**power / TYPICAL_UV)))
    for piece in signals.pieces:
        np.multiply(piece.data, factor, out=piece.data)
    return replace(signals, factor=signals.factor * factor)


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


def bad_channels(
    signals: Signals,
    *,
    moderate: Positive = 3.0,
    moderate_share: Share = 0.4,
    extreme: Positive = 30.0,
    extreme_share: Share = 0.01,
    flat: Share = 0.01,
    scope: Literal["trial", "recording"] = "trial",
    most: Share = 0.5,
    protect: tuple[str, ...] = (),
    method: Literal["auto", "spline", "nearest"] = "auto",
) -> Signals:
    """Find and replace bad channels (rule: DATASETS 19, mdJPT's released script, second pass).

    Bad: more than `moderate_share` of the samples above `moderate` times the median |x| of all channels, or
    `extreme_share` above `extreme` times, or flat (below `flat` of the median SD). Judged per trial or once for all
    trials of the recording. A trial with more than `most` of its channels bad, or fewer than three good ones, is left
    out and listed in the manifest. Signal between trials is neither judged nor mended: nobody reads it.
    Raises BadInput: no trial remains.
    """
    spots = [(piece, trial, span(signals, piece, trial)) for piece in signals.pieces for trial in piece.trials]
    groups = [[spot] for spot in spots] if scope == "trial" else [spots]
    bad, dropped = dict(signals.bad), dict(signals.dropped)
    for group in groups:
        views = [piece.data[:, where] for piece, _, where in group]
        marked = bad_rows(views, (moderate, moderate_share), (extreme, extreme_share), flat)
        names = tuple(n for n, is_bad in zip(signals.names, marked, strict=True) if is_bad and n not in protect)
        if not names:
            continue
        if len(names) > most * len(signals.names) or len(signals.names) - len(names) < 3:
            dropped |= {trial.trial: f"{len(names)} of {len(signals.names)} channels bad" for _, trial, _ in group}
            continue
        weights = repair(signals.names, names, method)
        rows = [signals.names.index(name) for name in names]
        for view in views:
            view[rows] = weights @ view
        for _, trial, _ in group:
            bad[trial.trial] = tuple(n for n in signals.names if n in names or n in bad.get(trial.trial, ()))
    if len(dropped) == len(spots):
        raise BadInput(signals.where, "trials", f"none left: {dropped[spots[0][1].trial]}", "good channels")
    return replace(signals, bad=bad, dropped=dropped)


def average_reference(signals: Signals) -> Signals:
    """Subtract the mean over channels at every sample. Raises BadInput: a single channel."""
    if len(signals.names) < 2:
        raise BadInput(signals.where, "average_reference", "one channel", "two or more")
    for piece in signals.pieces:
        piece.data[:] -= piece.data.mean(axis=0, keepdims=True)
    return signals


def scale(parts: Sequence[NDArray[np.float32]], *, multiple: Positive = 30.0) -> tuple[float, float]:
    """Mean and SD of a subject, one scalar each, over all channels, trials and sessions (SYSTEMS 1.2).

    Computed on samples with |x| < multiple * median |x|; the signal is then (x - mean) / SD, outliers included, so
    relative channel amplitudes survive. Exact, in memory bounded by one part.
    Raises ValueError: nothing but zeros.
    """
    return clipped_moments(parts, multiple)


@dataclass(frozen=True)
class Step:
    """A registered step."""

    work: Callable[..., Any]
    stage: Literal["recording", "subject"] = "recording"
    """`recording`: Signals -> Signals. `subject`: trials of all its recordings -> (shift, divisor); must come last."""
    unit: str = ""
    """What the numbers are in afterwards, where that is not microvolts."""


STEPS: dict[str, Step] = {
    "channels": Step(channels),
    "unit": Step(unit),
    "resample": Step(resample),
    "band_pass": Step(band_pass),
    "notch": Step(notch),
    "bad_channels": Step(bad_channels),
    "average_reference": Step(average_reference),
    "scale": Step(scale, "subject", "SD of the subject"),
}


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
