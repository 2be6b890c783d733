"""EEGLAB's .set: a MAT structure `EEG`, with the numbers inside or in a .fdt beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat


def save(path: Path, microvolts: np.ndarray, names: Sequence[str], rate: float, fdt: str = "") -> Path:
    """(channels, samples) float32; EEGLAB's own names, no positions, no events; `fdt` is the numbers' file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels, samples = microvolts.shape
    data: object = microvolts.astype("<f4")
    if fdt:
        # Column-major, so sample by sample.
        (path.parent / fdt).write_bytes(microvolts.astype("<f4").T.tobytes())
        data = fdt
    locations = np.array([(name, "EEG") for name in names], dtype=[("labels", object), ("type", object)])
    tree = {
        "setname": path.stem,
        "nbchan": float(channels),
        "trials": 1.0,
        "pnts": float(samples),
        "srate": float(rate),
        "xmin": 0.0,
        "xmax": (samples - 1) / rate,
        "data": data,
        "chanlocs": locations,
        "event": np.zeros((0, 0)),
        "epoch": np.zeros((0, 0)),
        "ref": "common",
    }
    savemat(path, {"EEG": tree}, appendmat=False)
    return path
