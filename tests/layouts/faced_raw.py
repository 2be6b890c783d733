"""FACED as recorded (DATASETS 7.3): data.bdf, evt.bdf, After_remarks.mat, clips in another order for every subject."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import savemat

from layouts.planted import SECONDS, planted, write_edf
from mdjpt_platform.config import CorpusConfig, FactsConfig
from mdjpt_platform.corpora.faced import EEG

OLD = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"}
COHORTS = {
    1: (*[OLD.get(name, name) for name in EEG[:16]], "A1", "A2", *[OLD.get(name, name) for name in EEG[16:]]),
    2: (*EEG, "HEOR", "HEOL"),
}
CLIP, PAUSE = 1.25, 0.5
"""Seconds of a clip, of which the last one is the trial, and before it, with the mark that names it halfway."""


def order_of(subject: int) -> list[int]:
    """Video indices as the subject saw them."""
    return [int(number) + 1 for number in np.random.default_rng(subject).permutation(28)]


def ratings_of(order: list[int]) -> list[np.ndarray]:
    """Twelve ratings a clip, in play order; arousal (column 8) and valence (9) tell the clip."""
    return [np.array([*range(8), clip / 4, (28 - clip) / 4, 1, 2], float) for clip in order]


def write(root: Path, subjects: int = 2) -> CorpusConfig:
    for subject in range(61, 61 + subjects):
        write_subject(root, subject)
    info = "sub,Gender,Age,Sample_rate,Unit\n" + "".join(f"sub{s:03d},F,20,1000,uV\n" for s in range(61, 61 + subjects))
    (root / "Recording_info.csv").write_text("\ufeff" + info, encoding="utf-8")
    return CorpusConfig(layout="faced_raw", facts=FactsConfig(seconds=SECONDS))


def write_subject(
    root: Path, subject: int, cohort: int = 2, rate: int = 1000, remarked: list[int] | None = None
) -> Path:
    """The subject's three files; `remarked` are the clips that After_remarks names, those of the marks unless given."""
    folder, order = root / "Data" / f"sub{subject:03d}", order_of(subject)
    step = CLIP + PAUSE
    marks = [(0.0, "100"), (0.1, "Impedance 1 101"), (0.2, "201"), (0.3, "202")]
    for place, clip in enumerate(order):
        begins = place * step + PAUSE
        marks += [(begins - PAUSE / 4, str(clip)), (begins, "101"), (begins + CLIP, "102")]
    length = float(np.ceil(len(order) * step))
    shown = [(clip, place * step + PAUSE + CLIP - SECONDS) for place, clip in enumerate(order)]
    names, rows = COHORTS[cohort], iter(planted(30, rate, length, shown))
    other = np.full(round(length * rate), 500.0)
    channels = [(name, other if name in ("A1", "A2", "HEOR", "HEOL") else next(rows)) for name in names]
    write_edf(folder / "data.bdf", channels, rate)
    write_edf(folder / "evt.bdf", {}, rate, sorted(marks))
    save_remarks(folder / "After_remarks.mat", order if remarked is None else remarked)
    return folder


def save_remarks(path: Path, clips: list[int], scores: list[np.ndarray] | None = None) -> None:
    fields = [(name, object) for name in ("score", "trial", "vid", "Accuracy", "ResponseTime")]
    remarks = np.empty((len(clips), 1), dtype=fields)
    for place, (clip, score) in enumerate(zip(clips, scores or ratings_of(clips), strict=True)):
        numbers = (np.uint8([[place + 1]]), np.uint8([[clip]]))
        remarks[place, 0] = (score[None], *numbers, np.zeros((0, 0)), np.zeros((0, 0)))
    savemat(path, {"After_remark": remarks})
