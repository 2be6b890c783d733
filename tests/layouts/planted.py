"""Signals in which every stimulus is known by its level, and EDF and BDF files of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import edfio
import numpy as np

SECONDS = 1.0
"""Length of a planted trial."""
STATUS_RANGE = (-(2**23), 2**23 - 1)
HIGH_BITS = 0x18FF00
"""Flags that BioSemi's Status word carries beside the code, as seen in published files."""


def level(number: int, row: int | np.ndarray) -> float | np.ndarray:
    """Mean of a channel, in microvolts, while stimulus `number` is shown."""
    return 20.0 * number + np.asarray(row) / 4


def planted(rows: int, rate: float, seconds: float, shown: Iterable[tuple[int, float]]) -> np.ndarray:
    """[rows, samples] in microvolts: a rhythm whose mean over any second is zero, and for SECONDS from each start its
    stimulus' level. `shown` holds (number, start)."""
    times = np.arange(round(seconds * rate)) / rate
    values = 15 * np.sin(2 * np.pi * (10 * times[None] + np.arange(rows)[:, None] / 7))
    for number, start in shown:
        values[:, round(start * rate) : round((start + SECONDS) * rate)] += level(number, np.arange(rows))[:, None]
    return values


def write_edf(
    path: Path, values: Mapping[str, np.ndarray] | Sequence[tuple[str, np.ndarray]], rate: float,
    marks: Iterable[tuple[float, str]] = (), status: tuple[str, np.ndarray] | None = None,
) -> Path:  # fmt: skip
    """EDF or BDF by its suffix, records of a second: channels in microvolts, BioSemi's Status word, annotations."""
    bdf = path.suffix == ".bdf"
    kind, whole, reach = (edfio.BdfSignal, edfio.Bdf, 262144) if bdf else (edfio.EdfSignal, edfio.Edf, 3276)
    channels = list(values.items()) if isinstance(values, Mapping) else list(values)
    signals = [
        kind(row, rate, label=name, physical_dimension="uV", physical_range=(-reach, reach)) for name, row in channels
    ]
    if status is not None:
        name, words = status
        signals.append(kind(words, rate, label=name, physical_dimension="Boolean", physical_range=STATUS_RANGE))
    notes = [edfio.EdfAnnotation(onset, None, text) for onset, text in marks]
    path.parent.mkdir(parents=True, exist_ok=True)
    whole(signals, data_record_duration=1 if signals else None, annotations=notes or None).write(path)
    return path


def status(codes: Iterable[tuple[float, int]], rate: float, seconds: float, high: int = HIGH_BITS) -> np.ndarray:
    """Status words: each code for a twentieth of a second from its onset, under flags that are always set."""
    words = np.full(round(seconds * rate), high, dtype=np.int64)
    for onset, code in codes:
        words[round(onset * rate) : round(onset * rate + rate / 20)] += code
    return np.where(words >= 2**23, words - 2**24, words).astype(float)


def blank_units(path: Path) -> None:
    """Overwrite the physical dimensions, as in a third of FACED's files."""
    with path.open("r+b") as file:
        file.seek(252)
        signals = int(file.read(4))
        file.seek(256 + 96 * signals)
        file.write(b" " * 8 * signals)
