"""Neuroscan `.cnt` files that MNE reads (DATASETS 20), of any length: what no test looks at is a hole in the file."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

STEP = {4: 0.001, 2: 0.05}
"""Microvolts of one, by bytes a sample."""
BASELINE = 3
"""What every channel's samples are too high by."""


def data_start(channels: int) -> int:
    return 900 + 75 * channels


def write_cnt(
    path: Path,
    names: Sequence[str],
    seconds: float,
    events: Sequence[tuple[int, int]] = (),
    *,
    rate: int = 1000,
    width: int = 4,
    count: int | None = None,
    table: int | None = None,
    signals: Mapping[int, np.ndarray] | None = None,
) -> Path:
    """A recording with events (code, sample) and, at the given samples, signals (channels, samples) in microvolts.

    `count` and `table` are what the header says of the samples and of the event table's place, if not the truth.
    """
    channels, samples = len(names), round(seconds * rate)
    start = data_start(channels)
    end = start + width * channels * samples
    setup = bytearray(900)
    setup[225:234], setup[235:244] = b"08/04/18\0", b"09:30:00\0"
    struct.pack_into("<H", setup, 370, channels)
    struct.pack_into("<H", setup, 376, rate)
    struct.pack_into("<i", setup, 864, samples if count is None else count)
    struct.pack_into("<i", setup, 886, (end & 0x7FFFFFFF) if table is None else table)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(setup)
        for k, name in enumerate(names):
            electrode = bytearray(75)
            electrode[: len(name)] = name.encode()
            angle = 2 * np.pi * k / channels
            struct.pack_into("<ff", electrode, 19, np.cos(angle) * (1 + k % 3), np.sin(angle) * (1 + k % 3))
            struct.pack_into("<h", electrode, 47, BASELINE)
            struct.pack_into("<f", electrode, 59, STEP[width])
            struct.pack_into("<f", electrode, 71, 204.8)
            file.write(electrode)
        for first, values in (signals or {}).items():
            file.seek(start + width * channels * first)
            file.write((np.round(values.T / STEP[width]) + BASELINE).astype(f"<i{width}").tobytes())
        file.seek(end)
        file.write(struct.pack("<Bii", 1, 8 * len(events), 0))
        for code, sample in events:
            file.write(struct.pack("<HBBi", code, 0, 0, start + width * channels * (sample + 1) & 0x7FFFFFFF))
    return path
