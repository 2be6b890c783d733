"""THU-EP: a MATLAB 7.3 file a subject, (time, channel, stimulus, band)."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from mdjpt_platform.config import CorpusConfig, FactsConfig

SECONDS = 1.0


def save(root: Path, subject: int, values: np.ndarray | None = None, name: str = "data") -> Path:
    """`sub_<N>.mat` behind MATLAB's 512 bytes of text; in the broad band, (0, c, k) is c/100 + k."""
    folder = root / "EEG data"
    folder.mkdir(parents=True, exist_ok=True)
    if values is None:
        rng = np.random.default_rng(subject)
        values = rng.normal(0, 10, (round(250 * SECONDS), 32, 28, 6))
        values[0, :, :, 5] = np.arange(32)[:, None] / 100 + np.arange(28)
        values[..., :5] = 1e6  # the bands that nobody should read
    path = folder / f"sub_{subject}.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file[name] = values
    with path.open("r+b") as binary:
        binary.write(b"MATLAB 7.3 MAT-file, made to the layout".ljust(124) + b"\x00\x02IM")
    return path


def write(root: Path, subjects: int = 2) -> CorpusConfig:
    for subject in range(1, subjects + 1):
        save(root, subject)
    return CorpusConfig(layout="thu_ep", facts=FactsConfig(seconds=SECONDS))
