"""AMIGOS: a MAT file a subject with cells of 20, keyed by VideoIDs in an order of their own; AROUSAL before valence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

from layouts.dreamer import cells
from mdjpt_platform.config import CorpusConfig
from mdjpt_platform.corpora.amigos import LONG, SHORT


def tree(subject: int, seconds: float = 3.0) -> dict[str, Any]:
    """Variables of one file: EEG column c of video k holds k + 100 c in the mean, 9999 in its baseline."""
    rng = np.random.default_rng(subject)
    videos = [*rng.permutation(list(SHORT)).tolist(), *LONG]
    signals, ratings = [], []
    for video in videos:
        index = [*SHORT, *LONG].index(video)
        values = rng.normal(0, 10, (640 + round(128 * seconds), 17))
        values[640] = index + 100 * np.arange(17)
        values[:640] = 9999
        signals.append(values)
        ratings.append(np.array([[1 + index % 9, 9 - index % 9, *[5.0] * 3, *[0.0] * 7]]))
    return {
        "VideoIDs": cells(videos, (1, 20)),
        "joined_data": cells(signals, (1, 20)),
        "labels_selfassessment": cells(ratings, (1, 20)),
        "labels_ext_annotation": cells([np.zeros((3, 3))] * 20, (1, 20)),
    }


def save(root: Path, subject: int, variables: dict[str, Any], nested: bool = False) -> Path:
    name = f"Data_Preprocessed_P{subject:02d}"
    path = root / name / f"{name}.mat" if nested else root / f"{name}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables)
    return path


def write(root: Path, subjects: int = 2) -> CorpusConfig:
    for subject in range(1, subjects + 1):
        save(root / "data_preprocessed", subject, tree(subject), nested=subject % 2 == 0)
    return CorpusConfig(layout="amigos")
