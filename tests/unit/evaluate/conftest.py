"""A store in memory with planted classes, and an encoder small enough for tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mdjpt_model.model import MdJPT
from mdjpt_model.spec import ModelSpec
from mdjpt_platform.config import EvaluateConfig, ProbeConfig, RunConfig, WindowConfig

GOLDEN = Path(__file__).resolve().parents[4] / "shared" / "golden"
CHANNELS = ("FZ", "CZ", "PZ", "OZ")
WINDOW = WindowConfig(seconds=1.0, step=0.5)
SPEC: dict[str, Any] = {
    "stride": 16, "hidden": 8, "features": 4, "depth": 1, "heads": 2, "spatial": 6, "kernels": 2,
    "dilations": (1, 3), "attention_kernel": 3,
}  # fmt: skip


@dataclass
class ToyStore:
    """What the evaluation needs of a store, in memory."""

    index: pd.DataFrame
    signals: list[np.ndarray]
    channels: tuple[str, ...] = CHANNELS
    rate: float = 125.0
    labels: tuple[str, ...] = ("sad", "calm", "glad")

    def signal(self, row: int) -> np.ndarray:
        return self.signals[row]

    def changed(self, rows: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> ToyStore:
        """A copy with the signals of `rows` replaced."""
        return replace(self, signals=[change(x) if i in rows else x for i, x in enumerate(self.signals)])


def make_store(
    corpus: str = "toy",
    subjects: int = 4,
    sessions: int = 1,
    trials: int = 6,
    seconds: float = 3.0,
    planted: float = 0.0,
    seed: int = 0,
    labels: tuple[str, ...] = ("sad", "calm", "glad"),
    channels: tuple[str, ...] = CHANNELS,
) -> ToyStore:
    """Noise; class c adds `planted` times more noise to channel c."""
    random = np.random.default_rng(seed)
    rows, signals = [], []
    for subject in range(subjects):
        for session in range(1, sessions + 1):
            order = random.permutation(trials) + 1
            for trial in range(1, trials + 1):
                code = (trial - 1) % len(labels)
                x = random.normal(size=(round(seconds * 125), len(channels)))
                x[:, code % len(channels)] *= 1 + planted
                rows.append(
                    {
                        "corpus": corpus, "subject": f"{subject:02d}", "session": session, "trial": trial,
                        "stimulus": f"s{session}-{trial}", "play_order": int(order[trial - 1]), "label": labels[code],
                        "valence": None, "arousal": None, "file": "", "offset": 0, "samples": len(x),
                    }
                )  # fmt: skip
                signals.append(x.astype(np.float32))
    return ToyStore(pd.DataFrame(rows), signals, channels=channels, labels=labels)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def toy() -> Callable[..., ToyStore]:
    return make_store


@pytest.fixture
def build() -> Callable[..., MdJPT]:
    def make(seed: int = 0, **changes: Any) -> MdJPT:
        torch.manual_seed(seed)
        return MdJPT(ModelSpec(**SPEC | changes)).train()

    return make


@pytest.fixture
def settings() -> Callable[..., EvaluateConfig]:
    def make(**changes: Any) -> EvaluateConfig:
        base: dict[str, Any] = {
            "folds": 2,
            "batch": 4,
            "bootstrap": 200,
            "probe": ProbeConfig(epochs=3),
            "stimulus_folds": 0,
        }
        return EvaluateConfig(**base | changes)

    return make


@pytest.fixture
def run_of(settings: Callable[..., EvaluateConfig]) -> Callable[..., RunConfig]:
    def make(**changes: Any) -> RunConfig:
        corpora = {name: {"layout": "simulated"} for name in ("toy", "other")}
        return RunConfig(
            corpora=corpora, sources=("other",), targets=("toy",), window=WINDOW, evaluate=settings(**changes)
        )

    return make


@pytest.fixture
def window() -> WindowConfig:
    return WINDOW


@pytest.fixture
def golden() -> Path:
    if not (GOLDEN / "postprocess.npz").exists():
        pytest.skip(f"reference vectors are not beside this checkout ({GOLDEN})")
    return GOLDEN
