"""The result of one recording before the subject's scaling: its work folder, rows of the index, facts of quality."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.corpora.base import Recording, Trial
from mdjpt_platform.frozen import Frozen
from mdjpt_platform.plain import read
from mdjpt_platform.preprocess.identical import Prints
from mdjpt_platform.preprocess.kept import Underway
from mdjpt_platform.preprocess.quality import look
from mdjpt_platform.preprocess.signals import span
from mdjpt_platform.store.read import file_sha256
from mdjpt_platform.store.schema import SignalFile, Source, TrialRow
from mdjpt_platform.store.write import new_draft, publish, save_signal

RESULT, SIGNAL = "result.json", "signal.npy"
DIGITS = 6
"""Significant digits of the numbers that are kept about a recording."""


class Prepared(Frozen):
    """What a work folder holds, beside its signal file."""

    channels: tuple[str, ...]
    rate: float
    signal: SignalFile
    source: Source
    rows: tuple[TrialRow, ...]
    prints: Prints
    quality: dict[str, Any]
    """See `quality_of`."""


def quality_of(underway: Underway) -> dict[str, Any]:
    """JSON values: `before` and `after` the preparation (`quality.look`), `notes` of the steps, and the `trials`, those
    left out too: number, seconds, stimulus, fingerprint as read, names of channels replaced, why it was left out."""
    state = underway.signals
    members = [(trial, piece) for piece in state.pieces for trial in piece.trials]
    trials = []
    for trial, piece in sorted(members, key=lambda member: member[0].trial):
        where = span(state, piece, trial)
        trials.append(
            {
                "trial": trial.trial,
                "seconds": (where.stop - where.start) / state.rate,
                "stimulus": trial.stimulus,
                "fingerprint": underway.prints.trials[trial.trial],
                "bad": list(state.bad.get(trial.trial, ())),
                "dropped": state.dropped.get(trial.trial),
            }
        )
    tree = {"before": underway.before, "after": look(state), "notes": state.notes, "trials": trials}
    rounded: dict[str, Any] = _rounded(tree)
    return rounded


def save_prepared(
    folder: Path,
    recording: Recording,
    underway: Underway,
    trials: Sequence[tuple[Trial, NDArray[np.float32]]],
    quality: dict[str, Any],
    inputs: Mapping[str, str],
) -> None:
    """Write the trials [samples, channels] and what is known of them; the folder appears whole. Raises OSError."""
    state, rows, offset = underway.signals, [], 0
    dropped = {str(trial): reason for trial, reason in sorted(state.dropped.items())}
    source = Source(work=folder.name, inputs=dict(inputs), factor=state.factor, dropped=dropped)
    for trial, signal in trials:
        bad = state.bad.get(trial.trial, ())
        rows.append(
            TrialRow(
                corpus=recording.corpus,
                subject=recording.subject,
                session=recording.session,
                trial=trial.trial,
                stimulus=trial.stimulus,
                play_order=trial.play_order,
                label=trial.label,
                valence=trial.valence,
                arousal=trial.arousal,
                offset=offset,
                samples=len(signal),
                bad_channels=len(bad),
                bad_names=" ".join(bad),
            )
        )
        offset += len(signal)
    draft = new_draft(folder.parent, folder.name)
    try:
        entry = save_signal(draft / SIGNAL, (signal for _, signal in trials), (offset, len(state.names)))
        result = Prepared(
            channels=state.names,
            rate=state.rate,
            signal=entry,
            source=source,
            rows=tuple(rows),
            prints=underway.prints,
            quality=quality,
        )
        write_atomic(draft / RESULT, result.model_dump_json().encode())
        publish(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # gone already unless something failed


def load_prepared(folder: Path) -> Prepared | None:
    """The result in a work folder, or None if there is none or it is damaged."""
    try:
        prepared = Prepared.model_validate_json(read(folder / RESULT))
        if file_sha256(folder / SIGNAL) == prepared.signal.sha256:
            return prepared
    except (OSError, ValidationError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return None


def is_prepared(folder: Path) -> bool:
    """Whether a result is there, by its size; signals are not read, nothing is removed."""
    try:
        prepared = Prepared.model_validate_json(read(folder / RESULT))
        return (folder / SIGNAL).stat().st_size == prepared.signal.bytes
    except (OSError, ValidationError):
        return False


def _rounded(tree: Any) -> Any:
    """As JSON would give it back, floats to DIGITS; what is no number becomes null."""
    if isinstance(tree, float):
        return float(f"{tree:.{DIGITS}g}") if math.isfinite(tree) else None
    if isinstance(tree, dict):
        return {str(key): _rounded(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_rounded(value) for value in tree]
    return json.loads(json.dumps(tree))
