"""EmoEEG-MC (DATASETS 13): prepared arrays, and EDF with annotations and ratings; both contexts in one download."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from layouts.planted import SECONDS, level, planted, write_edf
from mdjpt_platform.config import CorpusConfig, FactsConfig
from mdjpt_platform.corpora.emoeeg_mc import CODES, EEG, RATE, WORDS
from mdjpt_platform.corpora.emoeeg_mc_raw import SCORES, sequence, tables

STEP = 1.5
"""Seconds from one trial of a recording to the next."""
RAW_RATE = 600


def number_of(context: str, code: str) -> int:
    """Number by which a stimulus is planted: 1-21 clips, 22-42 imagery."""
    return CODES.index(code) + (1 if context == "vid" else 22)


def write(root: Path, subjects: int = 2, layout: str = "emoeeg_mc_video") -> CorpusConfig:
    """Arrays of subjects 01, 02, ...; the folder of 55 is there without them, as published."""
    for subject in range(1, subjects + 1):
        for context in ("vid", "ima"):
            folder = root / "derivatives" / f"sub-{subject:02d}" / f"ses-{context}" / "eeg"
            folder.mkdir(parents=True)
            stem = f"sub-{subject:02d}_ses-{context}_task-emotion"
            np.save(folder / f"{stem}_reorder.npy", array(context))
            (folder / f"{stem}_de.npy").write_bytes(pickle.dumps({"de": np.zeros((64, 21, 5))}))
    (root / "derivatives" / "sub-55" / "ses-vid" / "physio").mkdir(parents=True)
    return CorpusConfig(layout=layout, facts=FactsConfig(seconds=SECONDS))


def array(context: str) -> np.ndarray:
    """[channel, trial, time]"""
    numbers = np.array([number_of(context, code) for code in CODES])
    rhythm = planted(len(EEG), RATE, SECONDS, [])
    return rhythm[:, None] + np.asarray(level(0, np.arange(len(EEG))))[:, None, None] + 20.0 * numbers[None, :, None]


def write_raw(root: Path, subjects: int = 2, layout: str = "emoeeg_mc_raw_video") -> CorpusConfig:
    """Recordings of subjects 02 (one file), 07 (two runs) and on; 01 has ratings alone."""
    for subject, runs in [("02", 1), ("07", 2), ("08", 2)][:subjects]:
        write_recording(root, subject, runs)
    save_ratings(root, "01", blocks("01"))
    return CorpusConfig(layout=layout, facts=FactsConfig(seconds=SECONDS))


def blocks(subject: str) -> list[tuple[str, str]]:
    """(context, code) in order of presentation: blocks of three, imagery first in every other pair."""
    codes = {context: list(sequence(subject, context)) for context in ("vid", "ima")}
    order: list[tuple[str, str]] = []
    for pair in range(7):
        for context in ("vid", "ima") if pair % 2 else ("ima", "vid"):
            order += [(context, code) for code in codes[context][3 * pair : 3 * pair + 3]]
    return order


def write_recording(
    root: Path, subject: str, runs: int, rate: int = RAW_RATE, further: list[tuple[float, str]] | None = None
) -> None:
    """EDF and ratings; `further` marks go into the first run."""
    order, numbers = blocks(subject), tables()["triggers"][subject]
    per_run = -(-len(order) // runs)
    for run in range(runs):
        part = order[run * per_run : (run + 1) * per_run]
        marks, shown = [(0.0, "start"), (0.05, "99")], []
        for place, (context, code) in enumerate(part):
            begins = place * STEP + 0.1
            end = begins + SECONDS + 0.15
            marks.append((begins, str(numbers[context])))
            if context == "ima" and place % 2:  # the press; elsewhere nobody pressed
                marks += [(end, str(numbers["fade"])), (end + 0.15, str(numbers["rating"]))]
            else:
                marks.append((end, str(numbers["rating"])))
            shown.append((number_of(context, code), end - SECONDS))
        length = float(np.ceil(len(part) * STEP + 0.5))
        values = planted(len(EEG), rate, length, shown)
        trigger = [(f"TRIG{number}", np.zeros(values.shape[1])) for number in range(4)]
        name = f"sub-{subject}_task-emotion{'' if runs == 1 else f'_run-0{run + 1}'}_eeg.edf"
        extra = further if further and run == 0 else []
        channels = [*trigger[:2], *zip(EEG, values, strict=True), *trigger[2:]]
        write_edf(root / f"sub-{subject}" / "eeg" / name, channels, rate, sorted([*marks, *extra]))
    save_ratings(root, subject, order)


def rating_of(context: str, code: str) -> dict[str, float]:
    """Scores of a trial by name: the emotion aimed at is highest; valence tells the trial, arousal the context."""
    scores = dict.fromkeys(SCORES, 1.0) | {WORDS[code[:-1]]: 6.0}
    return scores | {"valence": CODES.index(code) / 3, "arousal": 2.0 if context == "vid" else 5.0}


def save_ratings(root: Path, subject: str, order: list[tuple[str, str]]) -> Path:
    folder = root / f"sub-{subject}" / "beh"
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["\t".join(["trial_number", "video_name", *(f"score_{number}" for number in range(1, 11))])]
    for number, (context, code) in enumerate(order, 1):
        scores = rating_of(context, code)
        rows.append("\t".join([str(number), "video", *(f"{scores[name]:g}" for name in SCORES), "3", "3"]))
    path = folder / f"sub-{subject}_task-emotion_beh.tsv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path
