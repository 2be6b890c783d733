"""Is a recording like those that the model has been shown? Sites, amplitude, spectrum; a plain sentence for each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from mdjpt_model.pretrained import Pretrained
from mdjpt_platform.predict.novelty import Profile, amplitude, distance, profile
from mdjpt_platform.predict.recording import Heard, sites

LONGEST = 600
"""Seconds that a spectrum is taken from, as in what the model was shown."""


@dataclass(frozen=True)
class Finding:
    """One comparison."""

    about: Literal["channels", "amplitude", "spectrum"]
    verdict: Literal["inside", "outside", "unknown"]
    text: str
    """One sentence."""
    found: float | None = None
    limits: tuple[float | None, float | None] = (None, None)
    """What was shown: lowest, highest."""

    def tree(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def profile_of(heard: Heard) -> Profile | None:
    """Spectral shape of the beginning, without what is marked bad; None: too short, or flat."""
    single = heard.single
    longest = round(LONGEST * single.rate)
    signal = np.concatenate([single.signal[start : min(stop, start + longest)] for start, stop in single.good])[
        :longest
    ]
    try:
        return profile(signal, single.channels, single.rate)
    except ValueError:
        return None


def judge(model: Pretrained, heard: Heard, shape: Profile | None) -> list[Finding]:
    """Each comparison that the model's `seen` allows."""
    seen = model.seen
    return [
        _channels(model, seen.get("channels") or {}, heard),
        _amplitude(seen.get("amplitude"), amplitude(heard.single.quality["after"]["sd"])),
        _spectrum(seen.get("spectrum"), shape),
    ]


def _channels(model: Pretrained, shown: dict[str, list[str]], heard: Heard) -> Finding:
    total, here = len(sites(model)), heard.coverage
    counts = []
    for names in shown.values():
        try:
            counts.append(model.coverage(names))
        except ValueError:  # a cap with channels that this family has no place for
            continue
    text = f"{here} of the model's {total} sites are recorded"
    if not counts:
        return Finding("channels", "unknown", f"{text}; which caps the model has seen is not known.", here)
    least, most = min(counts), max(counts)
    known = f"{least}" if least == most else f"{least} to {most}"
    if here < least:
        more = f", fewer than in any cap it was trained on ({known}); the others are filled in from neighbours."
        return Finding("channels", "outside", text + more, here, (least, most))
    return Finding("channels", "inside", f"{text}; the caps it was trained on had {known}.", here, (least, most))


def _amplitude(shown: dict[str, float] | None, spread: float) -> Finding:
    text = f"The signal has a standard deviation of {spread:.3g} µV after the recipe"
    if not shown:
        return Finding("amplitude", "unknown", f"{text}; what the model has seen is not known.", spread)
    low, high = float(shown["low"]), float(shown["high"])
    usual = f"{low:.3g} to {high:.3g} µV"
    if low <= spread <= high:
        return Finding("amplitude", "inside", f"{text}; recordings it was trained on had {usual}.", spread, (low, high))
    word = "less" if spread < low else "more"
    more = f", {word} than the recordings it was trained on ({usual}): unit, gain, reference or artefacts may differ."
    return Finding("amplitude", "outside", text + more, spread, (low, high))


def _spectrum(shown: dict[str, Any] | None, shape: Profile | None) -> Finding:
    if shape is None:
        return Finding("spectrum", "unknown", "The recording is too short to compare its spectrum.")
    if not shown:
        return Finding("spectrum", "unknown", "Which spectra the model has seen is not known.")
    try:
        away = distance(shape, shown)
    except ValueError as error:
        return Finding("spectrum", "unknown", f"The spectra cannot be compared: {error}.")
    limit = float(shown["distance"])
    text = f"The spectrum lies {away:.2f} SD from the mean of the recordings the model was trained on"
    if away > limit:
        more = f", farther than 99 % of those ({limit:.2f}): noise, filters or equipment may differ."
        return Finding("spectrum", "outside", text + more, away, (0.0, limit))
    return Finding("spectrum", "inside", f"{text}; 99 % of those lie within {limit:.2f}.", away, (0.0, limit))
