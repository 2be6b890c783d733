"""DREAMER.mat: one nested structure with all subjects, time-first arrays, the amplifier's offset left in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

from mdjpt_platform.config import CorpusConfig

OFFSET = 4200.0


def cells(items: Sequence[Any], shape: tuple[int, int]) -> np.ndarray:
    """A MATLAB cell array."""
    found = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        found[index] = item
    return found.reshape(shape)


def subject(number: int, seconds: float = 3.0) -> dict[str, Any]:
    """One cell of Data: clip k is k/8 s longer than `seconds`; its first row holds 1000 subject + clip."""
    rng = np.random.default_rng(number)
    stimuli = []
    for clip in range(1, 19):
        values = OFFSET + rng.normal(0, 20, (round(128 * seconds) + 16 * clip, 14))
        values[0] = 1000 * number + clip
        stimuli.append(values)
    scores = np.array([[1 + (clip + number) % 5] for clip in range(18)], dtype=np.float64)
    return {
        "Age": "22",
        "Gender": "male",
        "EEG": {
            "baseline": cells([np.full((64, 14), OFFSET)] * 18, (18, 1)),
            "stimuli": cells(stimuli, (18, 1)),
        },
        "ECG": {
            "baseline": cells([np.zeros((8, 2))] * 18, (18, 1)),
            "stimuli": cells([np.zeros((8, 2))] * 18, (18, 1)),
        },
        "ScoreValence": scores,
        "ScoreArousal": 6 - scores,
        "ScoreDominance": np.ones((18, 1)),
    }


def save(root: Path, people: Sequence[dict[str, Any]], compressed: bool = True) -> Path:
    """The file around the cells of Data."""
    tree = {
        "Data": cells(people, (1, len(people))),
        "EEG_SamplingRate": 128.0,
        "ECG_SamplingRate": 256.0,
        "EEG_Electrodes": cells(["AF3", "F7"], (1, 2)),
        "noOfSubjects": float(len(people)),
        "noOfVideoSequences": 18.0,
        "Provider": "a layout",
    }
    savemat(root / "DREAMER.mat", {"DREAMER": tree}, do_compression=compressed)
    return root / "DREAMER.mat"


def write(root: Path, subjects: int = 2) -> CorpusConfig:
    save(root, [subject(number) for number in range(1, subjects + 1)])
    return CorpusConfig(layout="dreamer", subjects=tuple(map(str, range(1, subjects + 1))))
