"""One recording while it is prepared: plain arrays in microvolts, so that a step is a function of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from mdjpt_platform.corpora.base import Segment, Trial
from mdjpt_platform.errors import BadInput

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Piece:
    """Uninterrupted signal [channels, samples], microvolts, with the trials inside it."""

    data: Array
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Signals:
    """What steps take and return. Steps may write into `data` of the pieces they were given: nobody else holds it."""

    names: tuple[str, ...]
    """Channels, rows of every piece."""
    rate: float
    """Samples per second."""
    pieces: tuple[Piece, ...]
    where: str
    """Recording, for messages."""
    declared: tuple[str, ...] = ()
    """EEG channels that the corpus declares; empty: whatever the files hold."""
    factor: float = 1.0
    """By which the file's numbers were multiplied to be in microvolts (1 if the file's unit was right)."""
    bad: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Channels replaced, by trial number."""
    dropped: dict[int, str] = field(default_factory=dict)
    """Trials left out, with the reason."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What steps found and did, for the quality page: step name -> JSON values."""


def begin(segments: list[Segment], where: str, declared: Sequence[str] = ()) -> Signals:
    """Take the EEG channels out of what a reader returned; other types (EOG, ECG, stim, misc) end here.

    The list is emptied on the way, so that a segment's own copy of the signal does not outlive its turn.

    Raises BadInput: no segment, no EEG channel, no trial, a trial number twice, segments with different channels or
    rates.
    """
    if not segments:
        raise BadInput(where, "segments", "none", "at least one")
    names, rate, pieces = _eeg_names(segments[0].raw), float(segments[0].raw.info["sfreq"]), []
    if not names:
        raise BadInput(where, "channels", "no channel of type EEG", "EEG channels")
    for number in range(1, len(segments) + 1):
        segment = segments.pop(0)
        found = (_eeg_names(segment.raw), float(segment.raw.info["sfreq"]))
        if found != (names, rate):
            text = f"{len(found[0])} channels at {found[1]:g} Hz in segment {number}"
            raise BadInput(where, "segments", text, f"the {len(names)} channels at {rate:g} Hz of the first")
        data = np.ascontiguousarray(segment.raw.get_data(picks=list(names), verbose="ERROR"), dtype=np.float64)
        data *= 1e6  # MNE's volts; `unit` finds out whether they were volts
        pieces.append(Piece(data, tuple(segment.trials)))
    numbers = [trial.trial for piece in pieces for trial in piece.trials]
    if not numbers:
        raise BadInput(where, "trials", "none", "at least one")
    if len(set(numbers)) < len(numbers):
        twice = sorted({number for number in numbers if numbers.count(number) > 1})
        raise BadInput(where, "trials", f"number {twice[0]} twice", "every trial number once")
    return Signals(names, rate, tuple(pieces), where, tuple(declared))


def span(signals: Signals, piece: Piece, trial: Trial) -> slice:
    """Samples of a trial in its piece. Equal durations give equal lengths, wherever the trial starts.

    Raises BadInput: the trial is empty or ends more than a sample after its piece.
    """
    length = piece.data.shape[1]
    start = round(trial.start * signals.rate)
    stop = length if trial.stop is None else start + round((trial.stop - trial.start) * signals.rate)
    if start < 0 or stop > length + 1 or start >= min(stop, length):
        ends = "end" if trial.stop is None else f"{trial.stop:g} s"
        raise BadInput(
            signals.where,
            f"trial {trial.trial}",
            f"{trial.start:g} s to {ends}",
            f"a stretch of the segment's {length / signals.rate:g} s",
        )
    return slice(start, min(stop, length))


def cut(signals: Signals) -> list[tuple[Trial, NDArray[np.float32]]]:
    """The trials that are not left out, in order of their number: float32 [samples, channels], C order.

    Raises BadInput: a value is not finite.
    """
    found = []
    for piece in signals.pieces:
        for trial in piece.trials:
            if trial.trial in signals.dropped:
                continue
            signal = np.ascontiguousarray(piece.data[:, span(signals, piece, trial)].T, dtype=np.float32)
            if not np.isfinite(signal).all():
                raise BadInput(signals.where, f"trial {trial.trial}", "NaN or infinity", "finite samples")
            found.append((trial, signal))
    return sorted(found, key=lambda member: member[0].trial)


def noted(signals: Signals, step: str, found: Any) -> Signals:
    """The same with a note; a step that a recipe uses again notes as `<step>#2` and so on."""
    times = 1 + sum(name.partition("#")[0] == step for name in signals.notes)
    return replace(signals, notes={**signals.notes, step if times == 1 else f"{step}#{times}": found})


def _eeg_names(raw: mne.io.BaseRaw) -> tuple[str, ...]:
    kinds = raw.get_channel_types()
    return tuple(name for name, kind in zip(raw.ch_names, kinds, strict=True) if kind == "eeg")
