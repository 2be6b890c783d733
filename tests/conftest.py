"""Fixtures shared by all tests: one Ray instance a session, small stores on disk, the folder of reference data."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from mdjpt_platform.config import Config
from mdjpt_platform.runfile import parse

SHARED = Path(__file__).resolve().parents[2] / "shared"
REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference vectors and real recordings; tests that need them skip without."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared beside the checkout: reference vectors and real recordings are not part of it")
    return SHARED


@pytest.fixture(scope="session")
def ray_local() -> Iterator[None]:
    """The session's only Ray: private, two CPUs, its own short temp dir; ended by its own driver."""
    import ray

    os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.2"
    os.environ["RAY_metrics_report_interval_ms"] = "500"  # noqa: SIM112 - Ray's own spelling; trainings here end early
    folder = tempfile.mkdtemp(prefix="mj", dir="/tmp")
    ray.init(address="local", num_cpus=2, dashboard_host="127.0.0.1", _temp_dir=folder, logging_level="warning")
    yield
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


MODEL = {"hidden": 16, "features": 4, "depth": 1, "heads": 2, "spatial": 6, "kernels": 2, "stride": 8, "patch": 16,
         "dilations": [1, 3], "attention_kernel": 5}  # fmt: skip
"""A small encoder: 39 patches from 320 samples."""


def tiny_tree(store: Path, runs: Path) -> dict[str, object]:
    """A run file over three small corpora that `tiny_stores` holds."""
    return {
        "name": "tiny",
        "seed": 3,
        "corpora": {name: {"layout": "seed"} for name in ("one", "two", "three")},
        "sources": ["one", "two"],
        "targets": ["three"],
        "window": {"seconds": 2.56, "step": 0.4},
        "model": MODEL,
        "train": {"epochs": 2, "steps": 3, "episodes": 4},
        "alignment": {"weight": 0.5},
        "exec": {"store": str(store), "runs": str(runs), "engine": "local", "mlflow": "off", "progress": False},
    }


CAPS = {
    "one": ("FP1", "FP2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2"),
    "two": ("FP1", "FZ", "CZ", "PZ", "OZ", "T7", "T8"),
    "three": ("F3", "F4", "C3", "C4", "P3", "P4", "OZ"),
}
SUBJECTS = {"one": 5, "two": 4, "three": 6}


def signal(corpus: str, subject: int, stimulus: int, samples: int = 700) -> np.ndarray:
    """Noise plus a slow course that belongs to the stimulus, so that subjects share something."""
    own = np.random.default_rng((list(CAPS).index(corpus), subject, stimulus))
    common = np.random.default_rng((99, stimulus))
    width = len(CAPS[corpus])
    course = np.cumsum(common.standard_normal(samples)) / 12
    mixing = np.random.default_rng((7, width)).standard_normal(width)
    return (own.standard_normal((samples, width)) + course[:, None] * mixing).astype(np.float32)


def label(subject: int, stimulus: int) -> str | None:
    """Class of a trial in the small corpora: that of its stimulus."""
    return ("negative", "positive")[stimulus % 2]


def affect(corpus: str, subject: int, stimulus: int) -> dict[str, float | None]:
    """Coordinates of a trial: the subject's own in corpus one, the stimulus' in the others, and some are unknown."""
    if corpus != "one" and stimulus == 2:
        return {"valence": None, "arousal": None}
    own = 0.1 * subject if corpus == "one" else 0.0
    return {"valence": stimulus / 2 - 0.9 + own, "arousal": 0.8 - 0.5 * (stimulus % 3) - own}


def write_tiny(
    store: Path,
    config: Config,
    label: Callable[[int, int], str | None] = label,
    names: Sequence[str] = tuple(CAPS),
    affect: Callable[[str, int, int], dict[str, float | None]] = affect,
) -> None:
    from mdjpt_platform.preprocess.recipe import resolve
    from mdjpt_platform.store import TrialRow, write_store

    def row(corpus: str, subject: int, stimulus: int) -> TrialRow:
        return TrialRow(
            corpus=corpus,
            subject=f"{subject:02d}",
            session=1,
            trial=stimulus + 1,
            stimulus=str(stimulus + 1),
            play_order=stimulus + 1,
            label=label(subject, stimulus),
            samples=1,
            **affect(corpus, subject, stimulus),
        )

    recipe = resolve(config.run.recipe)
    for name in names:
        shown = [(subject, stimulus) for subject in range(SUBJECTS[name]) for stimulus in range(4)]
        trials = [(row(name, *one), signal(name, *one)) for one in shown]
        labels = ("negative", "positive")
        write_store(
            store, name, config.run.corpora[name], recipe, trials, channels=CAPS[name], rate=125.0, labels=labels
        )


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores of three small corpora, written once."""
    folder = tmp_path_factory.mktemp("store")
    write_tiny(folder, parse(tiny_tree(folder, folder / "runs")))
    return folder


@pytest.fixture
def tiny(tiny_store: Path, tmp_path: Path) -> Config:
    """Configuration over the small corpora with results in the test's own folder."""
    return parse(tiny_tree(tiny_store, tmp_path / "runs"))


@pytest.fixture
def double() -> Iterator[None]:
    """torch's default precision is float64 for the length of a test."""
    import torch

    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
