"""Windows a second through plan, cut and prefetch, beside bare reads of the same memory map."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from measure import compare

from mdjpt_platform.config import CorpusConfig
from mdjpt_platform.data.episode import prefetch
from mdjpt_platform.data.pairs import PairPlan, pairs
from mdjpt_platform.preprocess.recipe import resolve
from mdjpt_platform.store import TrialRow, open_store, write_store

CHANNELS = (
    "FP1",
    "FP2",
    "F3",
    "F4",
    "F7",
    "F8",
    "FZ",
    "C3",
    "C4",
    "CZ",
    "T7",
    "T8",
    "P3",
    "P4",
    "P7",
    "P8",
    "PZ",
    "O1",
    "O2",
    "OZ",
)
STEPS, LENGTH = 60, 625


def main() -> None:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        trials = (
            (
                TrialRow(corpus="bench", subject=f"{s:02d}", session=1, trial=t + 1, stimulus=str(t), play_order=t + 1,
                         label=None, samples=1),
                rng.standard_normal((3750, len(CHANNELS)), dtype=np.float32),
            )
            for s in range(12)
            for t in range(28)
        )  # fmt: skip
        made = write_store(folder, "bench", CorpusConfig(layout="seed"), resolve("minimal"), trials, channels=CHANNELS,
                           rate=125.0, labels=())  # fmt: skip
        store = open_store(made, verify=False)
        plan = PairPlan({"bench": pairs(store.index, "bench", LENGTH, 250)}, {"bench": 250}, 0, 1)
        rows = list(plan.rows(0, STEPS))
        files = [np.load(path, mmap_mode="r") for path in sorted((Path(made) / "signals").glob("*.npy"))]
        out = np.empty((56, LENGTH, len(CHANNELS)), np.float32)

        def raw() -> None:
            for _ in range(STEPS):
                for place in range(56):
                    start = int(rng.integers(0, 28 * 3750 - LENGTH))
                    out[place] = files[place % len(files)][start : start + LENGTH]

        def ours() -> None:
            for _ in prefetch(rows, {"bench": store}, {"bench": LENGTH}, plan.windows):
                pass

        compare("loader", {"raw_memory_map": raw, "episodes": ours}, windows=STEPS * 56)


if __name__ == "__main__":
    main()
