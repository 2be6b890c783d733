"""What mdJPT's preprocessing leaves: merged files (one a subject), or one a recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.io import savemat

from layouts.seed_family import SECONDS, noise
from mdjpt_platform.config import CorpusConfig, FactsConfig

SHAPES = {
    # channels, sessions, trials, variable, samples past the whole seconds
    "mdjpt_seed": (60, 3, 15, "merged_data_all_cleaned", 1),
    "mdjpt_seed_iv": (62, 3, 24, "merged_data_all_cleaned", 1),
    "mdjpt_seed_vii": (62, 4, 20, "merged_data_all_cleaned", 1),
    "mdjpt_faced": (30, 1, 28, "merged_data_all_cleaned", 251),
    "mdjpt_emoeeg": (62, 1, 21, "merged_data_all_cleared", 0),
}


def write_merged(layout: str) -> Callable[[Path], CorpusConfig]:
    channels, sessions, trials, key, spare = SHAPES[layout]

    def write(root: Path) -> CorpusConfig:
        for subject in (2, 10):
            lengths = np.full((1, sessions * trials), int(125 * SECONDS) + spare)
            values = noise((channels, int(lengths.sum())), subject)
            savemat(root / f"sub{subject}_merged_125.mat", {key: values, "merged_n_samples_one": lengths / 125})
        return CorpusConfig(layout=layout, facts=FactsConfig(seconds=SECONDS))

    return write


def write_single(root: Path) -> CorpusConfig:
    """SEED-V, the one set whose files are known to come one a recording."""
    for subject in (2, 10):
        for session in (1, 2, 3):
            lengths = np.full((1, 15), int(125 * SECONDS) + 1)
            tree = {"data_all_cleaned": noise((60, int(lengths.sum())), subject), "n_samples_one": lengths / 125}
            savemat(root / f"Sub_{subject}_Session_{session}.mat", tree)
    return CorpusConfig(layout="mdjpt_seed_v", facts=FactsConfig(seconds=SECONDS))
