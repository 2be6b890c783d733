"""A lab's own folder: FIF and EDF files in folders of its own, trials.csv and channels.csv."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np

from mdjpt_platform.config import CorpusConfig

NAMES = ("Fp1", "Fp2", "Cz", "O1", "Oz", "lid")
HEADER = "file,subject,session,trial,stimulus,label,start,stop,valence,arousal,play_order\n"
WORDS = ("joy", "fear", "neutral", "anger")


def signal(seed: int, seconds: float = 20.0) -> mne.io.RawArray:
    """Six channels at 200 Hz; `lid` is an eye channel that the file calls EEG."""
    values = np.random.default_rng(seed).normal(0, 1e-5, (len(NAMES), round(200 * seconds)))
    return mne.io.RawArray(values, mne.create_info(list(NAMES), 200.0, "eeg"), verbose="ERROR")


def write(root: Path, subjects: int = 2) -> CorpusConfig:
    """Two sessions of four trials, of which the first lies in two files."""
    rows = []
    for subject in range(1, subjects + 1):
        folder = root / f"person {subject}"
        folder.mkdir(parents=True)
        for number, name in enumerate(("day1a_raw.fif", "day1b.edf", "day2_raw.fif")):
            raw = signal(10 * subject + number)
            raw.save(folder / name, verbose="ERROR") if name.endswith("fif") else mne.export.export_raw(
                folder / name, raw, verbose="ERROR"
            )
        for session in (1, 2):
            for trial in range(1, 5):
                half = "a_raw.fif" if trial < 3 else "b.edf"
                name = f"day1{half}" if session == 1 else "day2_raw.fif"
                start = 1 + 9 * ((trial - 1) % 2) if session == 1 else 1 + 4.5 * (trial - 1)
                row = (f"person {subject}/{name}", subject, session, trial, f"clip-{trial}", WORDS[trial - 1])
                rating = (0.5, -0.5) if trial == 1 else ("", "")
                rows.append(",".join(map(str, (*row, start, start + 4, *rating, 5 - trial))))
    (root / "trials.csv").write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")
    (root / "channels.csv").write_text("name,type,rename\nlid,EOG,VEOG\nCz,,FCz\n", encoding="utf-8")
    return CorpusConfig(layout="folder")
