"""How simulated signals are laid down on disk, in the layouts of public corpora.

Every writer takes what `simulated.recording` gives and writes one recording where the reader of that layout looks.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import mne
import numpy as np
from scipy.io import savemat

from mdjpt_platform.corpora import deap, faced, seed, seed_family
from mdjpt_platform.corpora.reading import MICROVOLT
from mdjpt_platform.corpora.simulated_head import BIDS_EEG, Array

BIDS_RATE = 250.0


@dataclass(frozen=True)
class Shown:
    """What a recording's files have to tell about a trial, in the order of the signal blocks."""

    stimulus: int
    label: str
    start: float
    """Seconds into the block or, in a continuous file, into the recording."""
    seconds: float
    ratings: tuple[float, float, float, float]
    """Valence, arousal, dominance, liking on 1-9."""


@dataclass(frozen=True)
class Layout:
    """What a layout demands of the signals."""

    rate: float
    channels: tuple[str, ...]
    reference: tuple[str, ...]
    """Channels whose mean is subtracted."""
    write: Callable[[Path, int, int, Array, Array, list[Shown]], None]
    """(folder, subject, session, EEG uV (blocks, channels, samples), blinks uV (blocks, samples), trials)."""
    lead: float = 0.0
    """Seconds before each stimulus that belong to the file."""
    extra: int = 0
    """Samples past the whole seconds."""
    residue: float = 1.0
    """Share of blinks and hum that the publisher's cleaning left."""
    continuous: bool = False
    """One block with all trials in random order, rather than one a trial in stimulus order."""
    sessions: bool = True
    """Whether the layout has room for more than one session."""


def write_seed(folder: Path, subject: int, session: int, eeg: Array, blinks: Array, trials: list[Shown]) -> None:
    """`Preprocessed_EEG/<subject>_<date>.mat`, with initials that differ from subject to subject, and label.mat."""
    target = folder / "Preprocessed_EEG"
    target.mkdir(exist_ok=True)
    day = date(2013, 10, 20) + timedelta(days=7 * session + subject % 7)
    initials = "".join(chr(ord("a") + (subject * step) % 26) for step in (1, 7, 11)[: 2 + subject % 2])
    tree = {f"{initials}_eeg{number}": block.astype(np.float64) for number, block in enumerate(eeg, 1)}
    savemat(target / f"{subject}_{day:%Y%m%d}.mat", tree)
    savemat(target / "label.mat", {"label": [[seed.LABELS[trial.stimulus - 1] for trial in trials]]})


def write_faced(folder: Path, subject: int, session: int, eeg: Array, blinks: Array, trials: list[Shown]) -> None:
    """`Processed_data/sub<NNN>.pkl`: one array; subjects count from 000."""
    target = folder / "Processed_data"
    target.mkdir(exist_ok=True)
    with (target / f"sub{subject - 1:03d}.pkl").open("wb") as file:
        pickle.dump(eeg.astype(np.float64), file)


def write_deap(folder: Path, subject: int, session: int, eeg: Array, blinks: Array, trials: list[Shown]) -> None:
    """`data_preprocessed_python/s<NN>.dat`: protocol 2, peripheral channels below the EEG."""
    target = folder / "data_preprocessed_python"
    target.mkdir(exist_ok=True)
    blocks, _, length = eeg.shape
    times = np.arange(length) / deap.RATE
    other = np.zeros((blocks, len(deap.PERIPHERAL), length))
    other[:, 1] = blinks
    other[:, 2:4] = 5.0 * np.diff(eeg[:, :2], axis=2, prepend=0.0)  # no physiology, only something that moves
    other[:, 4:] = 100.0 * np.sin(2 * np.pi * np.array([0.05, 0.25, 1.1, 0.01])[:, None] * times)
    data = np.concatenate([eeg, other], axis=1, dtype=np.float64)
    with (target / f"s{subject:02d}.dat").open("wb") as file:
        pickle.dump({"data": data, "labels": np.array([trial.ratings for trial in trials])}, file, protocol=2)


def write_bids(folder: Path, subject: int, session: int, eeg: Array, blinks: Array, trials: list[Shown]) -> None:
    """BrainVision files with `stimulus`, `valence`, `arousal` in events.tsv, through mne-bids."""
    import mne_bids  # only here: the other layouts do without it

    info = mne.create_info([*BIDS_EEG, "VEOG"], BIDS_RATE, ["eeg"] * len(BIDS_EEG) + ["eog"], verbose="ERROR")
    signals = np.concatenate([eeg[0], blinks[:1]], dtype=np.float64) * MICROVOLT
    raw = mne.io.RawArray(signals, info, verbose="ERROR")
    raw.info["line_freq"] = 50.0
    extras = [
        {"stimulus": str(t.stimulus), "valence": (t.ratings[0] - 5) / 4, "arousal": (t.ratings[1] - 5) / 4}
        for t in trials
    ]
    onsets, durations = [t.start for t in trials], [t.seconds for t in trials]
    raw.set_annotations(mne.Annotations(onsets, durations, [t.label for t in trials], extras=extras), verbose="ERROR")
    path = mne_bids.BIDSPath(
        subject=f"{subject:02d}", session=f"{session:02d}", task="watching", datatype="eeg", root=folder
    )
    mne_bids.write_raw_bids(raw, path, format="BrainVision", allow_preload=True, verbose="ERROR")


LAYOUTS: dict[str, Layout] = {
    "seed": Layout(seed_family.RATE, seed_family.FILE_CHANNELS, ("TP7", "TP8"), write_seed, extra=1),
    "faced": Layout(faced.RATE, faced.FILE_CHANNELS, faced.EEG, write_faced, residue=0.15, sessions=False),
    "deap": Layout(deap.RATE, deap.EEG, deap.EEG, write_deap, lead=deap.BASELINE, residue=0.1, sessions=False),
    "bids": Layout(BIDS_RATE, BIDS_EEG, ("T3", "T4"), write_bids, lead=4.0, continuous=True),
}
"""Simulated layouts by the key of the reader that reads them."""
