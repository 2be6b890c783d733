"""MDME: one matrix a subject with the trials one after another; a table without header: trial, arousal, valence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import savemat

from mdjpt_platform.config import CorpusConfig, FactsConfig

SECONDS = 2.0


def save(root: Path, subject: int, values: np.ndarray, table: str | None = None) -> Path:
    folder = root / "raw_data" / str(subject)
    (folder / str(subject)).mkdir(parents=True, exist_ok=True)
    savemat(folder / "datas.mat", {"eeg_datas": values})
    if table is None:
        table = "".join(f"{trial},{1 + trial % 9},{9 - trial % 9}\n" for trial in range(32))
    (folder / str(subject) / "Arousal_Valence.csv").write_text(table, encoding="utf-8")
    return folder


def signal(seed: int, samples: int) -> np.ndarray:
    """21 rows, of which 18 are EEG."""
    return np.random.default_rng(seed).normal(0, 10, (21, samples))


def write(root: Path, subjects: int = 2) -> CorpusConfig:
    for subject in range(1, subjects + 1):
        save(root, subject, signal(subject, round(300 * SECONDS) * 32))
    return CorpusConfig(layout="mdme", facts=FactsConfig(seconds=SECONDS))
