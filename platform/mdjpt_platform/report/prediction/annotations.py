"""Windows -> stretches of one label, as annotations that MNE reads."""

from __future__ import annotations

import tempfile
from pathlib import Path

import mne
import numpy as np
import pandas as pd

DIGITS = 3
"""Of seconds: finer ends are rounded by MNE on the way to a file, and neighbours would overlap."""
PREFIX, BEFORE = "emotion/", "not predicted"

Stretch = tuple[float, float, str]
"""Start, stop, label."""


def stretches(windows: pd.DataFrame, seconds: float) -> list[Stretch]:
    """Neighbouring windows of one label as one stretch; stretches never overlap and leave no gap within a run.

    Where the label changes, halfway between the middles of the two windows. A run is windows of one even step; where
    windows are left out, or do not touch, stretches end with the last window and begin with the next.
    """
    starts, labels = windows["start"].to_numpy(float), list(windows["label"])
    step = float(np.diff(starts).min()) if len(starts) > 1 else seconds
    found: list[Stretch] = []
    begin = starts[0]
    for place, start in enumerate(starts):
        last = place == len(starts) - 1
        torn = last or starts[place + 1] - start > step * 1.001 or step > seconds
        if torn or labels[place + 1] != labels[place]:
            stop = start + seconds if torn else (start + starts[place + 1] + seconds) / 2
            found.append((round(float(begin), DIGITS), round(float(stop), DIGITS), labels[place]))
            begin = stop if not torn or last else starts[place + 1]
    return found


def annotations_csv(windows: pd.DataFrame, seconds: float) -> bytes:
    """The file that `mne.read_annotations` reads: onset in seconds of the recording, `emotion/<label>`.

    What lies before the first window is a stretch of its own: MNE counts the onsets of a CSV file from the first one.
    """
    parts = [(start, stop, PREFIX + " ".join(label.split())) for start, stop, label in stretches(windows, seconds)]
    if parts[0][0] > 0:
        parts.insert(0, (0.0, parts[0][0], BEFORE))
    onset = [start for start, _, _ in parts]
    # of the rounded ends, so that neighbours touch and do not overlap
    duration = [round(stop - start, DIGITS) for start, stop, _ in parts]
    said = mne.Annotations(onset, duration, [text for _, _, text in parts])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x-annotations.csv"
        said.save(path, verbose="ERROR")
        return path.read_bytes()
