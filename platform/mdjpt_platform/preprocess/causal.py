"""The registry of causal twins: every step of a recipe as it works on a live signal, without a future sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal as sp

from mdjpt_platform.preprocess.causal_filters import Polyphase, Sections, Twin
from mdjpt_platform.preprocess.causal_state import Calibrated, Mended, Scale
from mdjpt_platform.preprocess.signals import Array, Piece, Signals
from mdjpt_platform.preprocess.statistics import bad_rows, deviant_rows, lonely_rows
from mdjpt_platform.preprocess.steps import STEPS

HUM_QUALITY = 25.0
"""Of the notch that stands in for the fitted sine: 2 Hz wide at 50 Hz, the default of the step `notch`."""

Made = tuple[Twin, Signals]
Factory = Callable[..., Made]
"""(head, stretch, **parameters of the step) -> (twin, head after it). A head is a recording without samples: names,
rate, where. `stretch`: seconds that may be held back at the beginning."""


class Picked(Twin):
    """Some rows, in another order."""

    def __init__(self, rows: NDArray[np.intp]) -> None:
        self.rows = rows

    def __call__(self, chunk: Array) -> Array:
        """The rows."""
        return chunk[self.rows]


class _Centred(Twin):
    def __call__(self, chunk: Array) -> Array:
        return chunk - chunk.mean(axis=0, keepdims=True)


class _Scaled(Twin):
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, chunk: Array) -> Array:
        return chunk * self.factor


class _Several(Twin):
    def __init__(self, parts: Sequence[Twin]) -> None:
        self.parts = parts
        self.lag = sum(part.lag for part in parts)

    def __call__(self, chunk: Array) -> Array:
        for part in self.parts:
            chunk = part(chunk)
        return chunk

    def restart(self) -> None:
        for part in self.parts:
            part.restart()


def _after(step: str, head: Signals, **params: Any) -> Signals:
    """What the offline step makes of names and rate, and its refusals."""
    done: Signals = STEPS[step].work(head, **params)
    return done


def _stretched(head: Signals, stretch: Array) -> Signals:
    return replace(head, pieces=(Piece(stretch, ()),))


def _channels(head: Signals, stretch: float, **params: Any) -> Made:
    numbered = Piece(np.arange(len(head.names), dtype=float)[:, None], ())
    done = _after("channels", replace(head, pieces=(numbered,)), **params)
    rows = done.pieces[0].data[:, 0].astype(np.intp)
    return Picked(rows), replace(done, pieces=())


def _unit(head: Signals, stretch: float, **params: Any) -> Made:
    def decide(part: Array) -> tuple[Twin, str]:
        factor = _after("unit", _stretched(head, part), **params).factor
        note = "" if factor == 1 else f"unit: numbers times {factor:g} are microvolts, by the first {stretch:g} s"
        return _Scaled(factor), note

    return Calibrated(_samples(head, stretch), decide), head


def _line(head: Signals, stretch: float, **params: Any) -> Made:
    def decide(part: Array) -> tuple[Twin, str]:
        found = _after("line", _stretched(head, part), **params).notes["line"]["found"]
        hum = [float(entry["frequency"]) for entry in found]
        notches = [Sections(_notch_sos(frequency, HUM_QUALITY, head.rate), head.rate) for frequency in hum]
        heard = ", ".join(f"{frequency:g}" for frequency in hum)
        return _Several(notches), f"line: notches at {heard} Hz, heard in the first {stretch:g} s" if hum else ""

    return Calibrated(_samples(head, stretch), decide), head


def _resample(head: Signals, stretch: float, **params: Any) -> Made:
    after = _after("resample", head, **params)
    return (Twin() if after.rate == head.rate else Polyphase(head.rate, after.rate)), after


def _band_pass(head: Signals, stretch: float, *, low: float, high: float, order: int) -> Made:
    after = _after("band_pass", head, low=low, high=high, order=order)
    sos = sp.butter(order, (low, high), "bandpass", fs=head.rate, output="sos")
    return Sections(sos, head.rate), after


def _notch(head: Signals, stretch: float, *, frequency: float, quality: float) -> Made:
    after = _after("notch", head, frequency=frequency, quality=quality)
    return Sections(_notch_sos(frequency, quality, head.rate), head.rate), after


def _notch_sos(frequency: float, quality: float, rate: float) -> Array:
    sos: Array = sp.tf2sos(*sp.iirnotch(frequency, quality, fs=rate))
    return sos


def _bad_channels(head: Signals, stretch: float, **params: Any) -> Made:
    limits = [(params["moderate"], params["moderate_share"])]
    if params["extreme"] is not None:
        limits.append((params["extreme"], params["extreme_share"]))
    protected = np.array([name in params["protect"] for name in head.names])

    def judge(views: list[Array]) -> NDArray[np.bool_]:
        marked = np.array(bad_rows(views, limits, params["flat"]))
        if params["deviation"] is not None:
            marked |= deviant_rows(views, marked, params["deviation"])
        if params["correlation"] is not None:
            marked |= lonely_rows(views, marked, round(head.rate), params["correlation"], params["correlation_share"])
        found: NDArray[np.bool_] = marked & ~protected
        return found

    mended = Mended(head.names, head.rate, _samples(head, stretch), judge, params["most"], params["method"])
    return mended, head


def _average_reference(head: Signals, stretch: float) -> Made:
    return _Centred(), _after("average_reference", head)


def _scale(head: Signals, stretch: float, *, multiple: float) -> Made:
    return Scale(multiple), head


def _samples(head: Signals, stretch: float) -> int:
    return math.floor(stretch * head.rate)  # never more than a first window of that many seconds takes


CAUSAL: dict[str, Factory] = {
    "channels": _channels,
    "unit": _unit,
    "line": _line,
    "resample": _resample,
    "band_pass": _band_pass,
    "notch": _notch,
    "bad_channels": _bad_channels,
    "average_reference": _average_reference,
    "scale": _scale,
}
LEFT_OUT: dict[str, str] = {
    "ica": "ica: left out, since it is fitted to a whole recording; the model was trained without the eyes and muscles "
    "that it removes, and meets them here",
}
"""Steps that a live signal goes without, and what is said of it."""
REFUSED: dict[str, str] = {
    "euclidean_alignment": "it whitens by the covariance of the whole recording",
    "riemannian_recentring": "it recentres by the covariance of the whole recording",
}
"""Steps without which the numbers would be others altogether: a model trained with them has no causal mode."""
