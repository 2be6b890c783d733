"""DEAP as recorded (DATASETS 9.2): s<NN>.bdf in play order, participant_ratings.csv tells what was played."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from layouts.planted import HIGH_BITS, SECONDS, planted, status, write_edf
from mdjpt_platform.config import CorpusConfig, FactsConfig
from mdjpt_platform.corpora.deap import EEG
from mdjpt_platform.corpora.reading import words

TWENTE = words(
    "Fp1 AF3 F7 F3 FC1 FC5 T7 C3 CP1 CP5 P7 P3 Pz PO3 O1 Oz O2 PO4 P4 P8 CP6 CP2 C4 T8 FC6 FC2 F4 F8 AF4 Fp2 Fz Cz"
)
OTHER = (*[f"EXG{number}" for number in range(1, 9)], "GSR1", "GSR2", "Erg1", "Erg2", "Resp", "Plet", "Temp")
RATE = 512
STEP = 1.25
"""Seconds from one video to the next."""


def order_of(subject: int) -> list[int]:
    """Experiment_id of trials 1..40."""
    return [int(number) + 1 for number in np.random.default_rng(100 + subject).permutation(40)]


def rating_of(stimulus: int) -> tuple[float, float]:
    """(valence, arousal) that everybody gives a video, 1-9."""
    return 1 + stimulus / 5, 9 - stimulus / 5


def write(root: Path, subjects: int = 2) -> CorpusConfig:
    """Subjects 22 (Twente) and 23 (Geneva), further ones counting on."""
    rows = ["Participant_id,Trial,Experiment_id,Start_time,Valence,Arousal,Dominance,Liking,Familiarity"]
    for subject in range(22, 22 + subjects):
        write_subject(root, subject)
        rows += ratings(subject)
    save_ratings(root / "metadata_csv", rows)
    return CorpusConfig(layout="deap_raw", facts=FactsConfig(seconds=SECONDS))


def ratings(subject: int) -> list[str]:
    """Rows of the ratings, in order of Experiment_id as published, so that their order tells nothing."""
    played = sorted(enumerate(order_of(subject), 1), key=lambda item: item[1])
    values = {stimulus: rating_of(stimulus) for _, stimulus in played}
    return [f"{subject},{t},{s},{1000 * t},{values[s][0]},{values[s][1]},5,5,3" for t, s in played]


def save_ratings(folder: Path, rows: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "participant_ratings.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_subject(root: Path, subject: int, name: str | None = None, lost: int = 0, high: int = HIGH_BITS) -> Path:
    """The subject's BDF; `name` is what its Status word is called, `lost` trials have no mark."""
    order = order_of(subject)
    length = float(np.ceil(len(order) * STEP + 1))
    starts = [1 + place * STEP for place in range(len(order))]
    codes = [(0.1, 1), (0.3, 1)]
    for place, start in enumerate(starts):
        codes += [(start - 0.2, 2), (start - 0.1, 3), (start, 4 if place >= lost else 0), (start + SECONDS, 5)]
    values = planted(32, RATE, length, zip(order, starts, strict=True))
    by_site = dict(zip(EEG, values, strict=True))
    sites = TWENTE if subject <= 22 else EEG
    channels = [(site, by_site[site]) for site in sites] + [(other, np.zeros(values.shape[1])) for other in OTHER]
    called = name if name is not None else "Status" if subject < 24 else ""
    word = (called, status(codes, RATE, length, high))
    return write_edf(root / "data_original" / f"s{subject:02d}.bdf", channels, RATE, status=word)
