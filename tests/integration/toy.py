"""A layout of plain files, and what the tests of the preparation ask of a store."""

from __future__ import annotations

import hashlib
from pathlib import Path

import mne
import numpy as np

from mdjpt_platform.config import Config, CorpusConfig
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus, Trial
from mdjpt_platform.runfile import parse

NAMES = ("Fp1", "Fp2", "F3", "F4", "T3", "C3", "C4", "T4", "P3", "P4", "O1", "O2")
RATE = 256.0


def toy(names: tuple[str, ...] = NAMES) -> Corpus:
    """A layout of .npy files `<subject>-<session>.npy` [channels, samples], microvolts; two trials in each.

    Its functions are nested so that they travel to Ray's processes by value: a test module is not importable there.
    """

    def recordings(name: str, config: CorpusConfig, folder: Path) -> list[Recording]:
        files = sorted(folder.glob("*.npy"))
        return [
            Recording(name, "toy", path.stem.split("-")[0], int(path.stem.split("-")[1]), (str(path),), config)
            for path in files
        ]

    def read(recording: Recording) -> list[Segment]:
        data = np.load(recording.files[0], allow_pickle=False)
        info = mne.create_info(list(names[: len(data)]), 256.0, "eeg", verbose="ERROR")
        raw = mne.io.RawArray(data * 1e-6, info, verbose="ERROR")
        half = raw.times[-1] / 2
        trials = (Trial(1, "a", 2, "happy", 0.5, None, 0.0, half), Trial(2, "b", 1, "sad", -0.5, None, half, None))
        return [Segment(raw, trials)]

    return Corpus("toy", facts(names), recordings, read)


def facts(names: tuple[str, ...] = NAMES, classes: tuple[str, ...] = ("sad", "happy")) -> Facts:
    return Facts(
        title="Toy",
        channels=names,
        rate=RATE,
        recorded=RATE,
        subjects=3,
        sessions=2,
        shown=(Stimulus("a", "happy", 6.0), Stimulus("b", "sad", 6.0)),
        unit="uV",
        labels={"default": classes},
        licence="none",
        obtain="nowhere",
        citation="nobody",
        tested="layout",
    )


def write_raw(folder: Path, subjects: int = 3, sessions: int = 2, gain: float = 1.0) -> Path:
    folder.mkdir(parents=True)
    for subject in range(1, subjects + 1):
        for session in range(1, sessions + 1):
            rng = np.random.default_rng((subject, session))
            time = np.arange(int(12 * RATE)) / RATE
            alpha = 15 * np.sin(2 * np.pi * 10 * time + rng.uniform(0, 6)) * (np.arange(12)[:, None] > 8)
            data = alpha + 10 * rng.standard_normal((12, time.size)) + 30 * np.sin(2 * np.pi * 60 * time)
            np.save(folder / f"{subject:02d}-{session}.npy", gain * data)
    return folder


def config(
    raw: Path,
    store: Path,
    engine: str = "local",
    *,
    recipe: object = "mdjpt_no_ica",
    keep: str = "all",
    **corpus: object,
) -> Config:
    execution = {"raw": {"toy": str(raw)}, "store": str(store), "engine": engine, "progress": False, "keep_steps": keep}
    corpora = {"toy": {"layout": "toy", **corpus}}
    return parse({"corpora": corpora, "sources": ["toy"], "recipe": recipe, "exec": execution})


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
