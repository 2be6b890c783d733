"""Signals whose truth is known, for the tests of the preparation steps."""

from __future__ import annotations

import numpy as np

from mdjpt_platform.corpora.base import Trial
from mdjpt_platform.preprocess import montage
from mdjpt_platform.preprocess.signals import Piece, Signals

STANDARD = (
    "FP1", "FPZ", "FP2", "F7", "F3", "FZ", "F4", "F8", "FC5", "FC1", "FC2", "FC6", "T7", "C3", "CZ", "C4", "T8",
    "CP5", "CP1", "CP2", "CP6", "P7", "P3", "PZ", "P4", "P8", "PO3", "PO4", "O1", "OZ", "O2",
)  # fmt: skip


def trial(number: int = 1, start: float = 0.0, stop: float | None = None) -> Trial:
    return Trial(trial=number, stimulus=f"s{number}", play_order=number, label=None, start=start, stop=stop)


def recording(*data: np.ndarray, rate: float = 125.0, names: tuple[str, ...] = ()) -> Signals:
    """Pieces in microvolts, one trial each."""
    names = names or STANDARD[: len(data[0])]
    return Signals(
        names, rate, tuple(Piece(np.array(piece, float), (trial(n),)) for n, piece in enumerate(data, 1)), "r"
    )


def noise(channels: int, samples: int, seed: int = 0) -> np.ndarray:
    """1/f noise of 20 uV, independent over channels."""
    rng = np.random.default_rng(seed)
    size = (channels, samples // 2 + 1)
    spectrum = rng.standard_normal(size) + 1j * rng.standard_normal(size)
    spectrum[:, 1:] /= np.arange(1, samples // 2 + 1) ** 0.75
    spectrum[:, 0] = 0
    x = np.fft.irfft(spectrum, samples)
    return 20 * x / x.std(axis=1, keepdims=True)


def field(samples: int, names: tuple[str, ...] = STANDARD, seed: int = 0) -> np.ndarray:
    """Smooth scalp potentials: every channel a fixed mixture, by its position, of a few sources."""
    place = np.array([montage.positions()[name] for name in names])
    centres = np.random.default_rng(seed).standard_normal((8, 3))
    centres *= 0.09 / np.linalg.norm(centres, axis=1, keepdims=True)
    mixing = np.exp(-((place[:, None] - centres[None]) ** 2).sum(-1) / (2 * 0.06**2))
    return mixing @ noise(8, samples, seed)


def sine(frequency: float, samples: int, rate: float) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(samples) / rate)
