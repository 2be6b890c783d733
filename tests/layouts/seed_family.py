"""SEED-IV, -V, -VII, the raw recordings of SEED and SEED-VII, and MPED."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat

from layouts.neuroscan import write_cnt
from mdjpt_platform.config import CorpusConfig, FactsConfig
from mdjpt_platform.corpora.mped import ROWS
from mdjpt_platform.corpora.seed_family import FILE_CHANNELS

NATIVE = (*FILE_CHANNELS[:32], "M1", *FILE_CHANNELS[32:41], "M2", *FILE_CHANNELS[41:])
"""62 channels with the mastoids where the lab's amplifier has them."""
SEED_V_CNT = (*NATIVE, "VEO", "HEO")
SEED_VII_CNT = (*NATIVE, "ECG", "HEO", "VEO")
SECONDS = 2.0
GAPS = tuple(150_000 + 777 * k for k in range(20))
"""Samples of the 20 clips of a made SEED-VII recording: 2.5 min and more, not all whole seconds."""


def noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Microvolts with an SD of 20, as small integers so that files stay small."""
    return np.random.default_rng(seed).normal(0.0, 20.0, shape).astype(np.int16)


def initials(subject: int) -> str:
    return "abc"[subject % 3] * (1 + subject % 2)


def write_seed_iv(root: Path, subjects: Sequence[int] = (2, 10)) -> CorpusConfig:
    for session in (1, 2, 3):
        folder = root / "eeg_raw_data" / str(session)
        folder.mkdir(parents=True)
        for subject in subjects:
            # subject 10's dates run against its sessions
            date = 20160518 + (-session if subject == 10 else session)
            values = noise((24, 62, int(200 * SECONDS) + 1), subject)
            tree = {f"{initials(subject)}_eeg{k}": block for k, block in enumerate(values, 1)}
            savemat(folder / f"{subject}_{date}.mat", tree)
    return CorpusConfig(layout="seed_iv", facts=FactsConfig(seconds=SECONDS))


def write_seed_v(root: Path, subjects: Sequence[int] = (2, 10)) -> CorpusConfig:
    for subject in subjects:
        for session, seconds in enumerate((3400, 2860, 3100), 1):
            # set 3 before set 2, as with several subjects
            date = {1: 20180804, 2: 20180815, 3: 20180808}[session]
            write_cnt(root / "EEG_raw" / f"{subject}_{session}_{date}.cnt", SEED_V_CNT, seconds)
    return CorpusConfig(layout="seed_v")


def write_seed_raw(root: Path, subjects: Sequence[int] = (2, 10)) -> CorpusConfig:
    for subject in subjects:
        for session in (1, 2, 3):
            write_cnt(root / "SEED_RAW_EEG" / f"{subject}_{session}.cnt", SEED_V_CNT, 3850)
    return CorpusConfig(layout="seed_raw")


def clip_events(start: int = 10_000) -> list[tuple[int, int]]:
    """Code and sample of the start and end of 20 clips, 20 s apart."""
    events = []
    for length in GAPS:
        events += [(1, start), (2, start + length)]
        start += length + 20_000
    return events


def write_seed_vii_raw(root: Path, subjects: Sequence[int] = (2, 9)) -> CorpusConfig:
    """Subject 9's third session has wrong triggers in the file, and right ones beside it."""
    events = clip_events()
    folder = root / "save_info"
    folder.mkdir(parents=True)
    for subject in subjects:
        for session in (1, 2, 3, 4):
            stem = f"{subject}_{20221111 + 7 * (session - 3)}_{session}"
            wrong = stem == "9_20221111_3"
            seconds = events[-1][1] / 1000 + 10
            write_cnt(root / "EEG_raw" / f"{stem}.cnt", SEED_VII_CNT, seconds, events[:7] if wrong else events)
            lines = [f"{code},2022-11-11 {clock(sample)}" for code, sample in events]
            (folder / f"{stem}_trigger_info.csv").write_text("\n".join(lines) + "\n")
    return CorpusConfig(layout="seed_vii_raw")


def clock(sample: int) -> str:
    """Time of day of a sample of `9_20221111_3`, which began at 14:01:27."""
    milliseconds = (14 * 3600 + 60 + 27) * 1000 + sample
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}000"


def write_seed_vii(root: Path, subjects: Sequence[int] = (2, 10)) -> CorpusConfig:
    folder = root / "EEG_preprocessed"
    folder.mkdir(parents=True)
    for subject in subjects:
        values = noise((80, 62, int(200 * SECONDS)), subject)
        # in the order of text, as some copies have it
        savemat(folder / f"{subject}.mat", {key: values[int(key) - 1] for key in sorted(map(str, range(1, 81)))})
    return CorpusConfig(layout="seed_vii", facts=FactsConfig(seconds=SECONDS))


def write_mped(root: Path, subjects: Sequence[str] = ("chenyi", "wangxue")) -> CorpusConfig:
    for subject in subjects:
        folder = root / "raw_EEG_signals" / subject
        folder.mkdir(parents=True)
        values = noise((34, len(ROWS) + 2, int(1000 * SECONDS)), len(subject))
        for half, cuts in {"d": range(1, 18), "dd": range(18, 35)}.items():
            savemat(folder / f"{subject}_{half}.mat", {f"raw_eeg{cut}": values[cut - 1] for cut in cuts})
    return CorpusConfig(layout="mped", facts=FactsConfig(seconds=SECONDS))
