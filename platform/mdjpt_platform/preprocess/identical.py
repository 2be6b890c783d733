"""Recordings that hold the same signal: public copies have files that were copied over another's name."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.signals import Array, Signals, span

SPARSE = 64


@dataclass(frozen=True)
class Prints:
    """Fingerprints of a recording's signal as read, 16 hex digits; empty where no channel moves: silence is no copy."""

    whole: str
    """Of every `SPARSE`th sample: a copy whose trials are marked otherwise is found by it."""
    trials: dict[int, str] = field(default_factory=dict)
    """By trial number."""


def prints_of(signals: Signals) -> Prints:
    """Fingerprints of what `signals.begin` returned. Raises BadInput: a trial outside its segment."""
    trials = {
        trial.trial: _print([piece.data[:, span(signals, piece, trial)]])
        for piece in signals.pieces
        for trial in piece.trials
    }
    return Prints(_print(piece.data[:, ::SPARSE] for piece in signals.pieces), trials)


def find_copies(prints: Mapping[str, Prints]) -> tuple[dict[str, str], dict[tuple[str, int], str]]:
    """(recording -> why it counts as a copy, (recording, trial) -> which other trial has its signal).

    Of two recordings with the same signal, or with more than half of the trials of the later one in common, the later
    one is the copy; `prints` are in the order of the recordings. Trials of a copy are not listed one by one.
    """
    copies: dict[str, str] = {}
    single: dict[tuple[str, int], str] = {}
    wholes: dict[str, str] = {}
    first: dict[str, tuple[str, int]] = {}
    for name, own in prints.items():
        shared = Counter(first[mark][0] for mark in own.trials.values() if mark in first)
        other, count = max(shared.items(), key=lambda item: item[1], default=("", 0))
        if own.whole and own.whole in wholes:
            other, count = wholes[own.whole], len(own.trials)
        if 2 * count > len(own.trials):
            found = f"that of {other} ({count} of {len(own.trials)} trials)"
            copies[name] = str(BadInput(name, "signal", found, "one of its own"))
            continue
        wholes[own.whole] = name
        for trial, mark in own.trials.items():
            if mark in first:
                single[name, trial] = "{} trial {}".format(*first[mark])
            elif mark:
                first[mark] = (name, trial)
    return copies, single


def _print(views: Iterable[Array]) -> str:
    sha, moves = hashlib.sha256(), False
    for view in views:
        sha.update(repr(view.shape).encode())
        for row in view:
            sha.update(np.ascontiguousarray(row).data)
            moves = moves or bool((row != row[0]).any())
    return sha.hexdigest()[:16] if moves else ""
