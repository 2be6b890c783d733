"""Recordings of anybody's: pink-ish noise in microvolts, as MNE has them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mne
import numpy as np

SITES = ("Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2")


def raw_of(
    names: Sequence[str] = SITES, seconds: float = 12.0, rate: float = 200.0, seed: int = 1, microvolts: float = 12.0
) -> mne.io.RawArray:
    """Noise that falls with frequency, part of it common to all channels; all channels typed EEG."""
    random = np.random.default_rng(seed)
    common = random.standard_normal(round(seconds * rate) + 8)
    values = random.standard_normal((len(names), round(seconds * rate) + 8)) + common
    smooth = np.stack([np.convolve(row, np.ones(9) / 3, "valid") for row in values])
    info = mne.create_info(list(names), rate, "eeg")
    return mne.io.RawArray(smooth * microvolts * 1e-6, info, verbose="ERROR")


def write(path: Path, raw: mne.io.BaseRaw | None = None) -> Path:
    """As FIF or EDF, by the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = raw_of() if raw is None else raw
    if path.suffix == ".fif":
        raw.save(path, overwrite=True, verbose="ERROR")
    else:
        mne.export.export_raw(path, raw, overwrite=True, verbose="ERROR")
    return path
