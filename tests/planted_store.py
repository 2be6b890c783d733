"""Stores with a planted class, and model folders with random weights, for tests of calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from conftest import MODEL, tiny_tree
from mdjpt_model.emod.model import Emod
from mdjpt_model.emod.spec import EmodSpec
from mdjpt_model.model import MdJPT
from mdjpt_model.pretrained import Pretrained
from mdjpt_model.spec import ModelSpec
from mdjpt_platform.export import folder as files
from mdjpt_platform.preprocess.recipe import recipe_hash, resolve
from mdjpt_platform.runfile import parse
from mdjpt_platform.store import TrialRow, write_store

CHANNELS = ("F3", "F4", "C3", "C4", "P3", "P4", "OZ")
Label = Callable[[int, int], str | None]


def parity(subject: int, trial: int) -> str | None:
    """Classes in turn."""
    return ("negative", "positive")[trial % 2]


def make_store(
    root: Path, *, planted: float = 0.0, label: Label = parity, subjects: int = 3, trials: int = 16, repeats: int = 1,
    samples: int = 420, recipe: str = "mdjpt", shared: bool = True,
) -> Path:  # fmt: skip
    """Noise; odd trials have `planted` times more of it at OZ, less at F3, whatever their label is.

    Every stimulus is shown `repeats` times in a row; `shared`: all subjects see the same ones.
    """
    config = parse(tiny_tree(root, root / "runs"))
    found = []
    for subject in range(subjects):
        for trial in range(trials):
            own = np.random.default_rng((subject, trial))
            signal = own.standard_normal((samples, len(CHANNELS))).astype(np.float32)
            signal[:, -1] *= 1 + planted * (trial % 2)
            signal[:, 0] *= 1 + planted * (1 - trial % 2)
            stimulus = f"{trial // (2 * repeats)}-{trial % 2}" + ("" if shared else f"-{subject}")
            found.append((
                TrialRow(corpus="own", subject=f"s{subject}", session=1, trial=trial + 1, stimulus=stimulus,
                         play_order=trial + 1, label=label(subject, trial), samples=1),
                signal,
            ))  # fmt: skip
    return write_store(root, "own", config.run.corpora["three"], resolve(recipe), found, channels=CHANNELS, rate=125.0,
                       labels=("negative", "neutral", "positive"))  # fmt: skip


def make_model(folder: Path, family: str = "mdjpt") -> Path:
    """A model folder with random weights and without read-outs."""
    torch.manual_seed(5)
    spec: Any
    if family == "mdjpt":
        spec = ModelSpec(**{key: tuple(value) if isinstance(value, list) else value for key, value in MODEL.items()})
        encoder: Any = MdJPT(spec)
    else:
        spec = EmodSpec(width=16, heads=4, depth=1, feedforward=16, hidden=16, embedding=8)
        encoder = Emod(spec)
    steps = resolve("mdjpt")
    config = {
        "format": 1, "family": family, "spec": asdict(spec), "rate": 125.0, "window": {"seconds": 2.56, "step": 0.4},
        "feature": "me", "decay": 0.99, "labels": [], "modes": {}, "seen": {},
        "recipe": {"steps": [step.model_dump(mode="json") for step in steps], "hash": recipe_hash(steps), "codes": {}},
        "trained": {"sources": [], "fitted": [], "simulated": [], "corpora": [], "protocol": "strict", "identity": "-",
                    "version": "-", "code": "-", "git": None, "weights": "-"},
    }  # fmt: skip
    files.write(folder, Pretrained(config, encoder, {}), "a card")
    return folder


def table(subjects: int, classes: int, trials: int, repeats: int, seed: int) -> pd.DataFrame:
    """Trials in time, classes and stimuli in random order; a stimulus is repeated, and shared by all subjects."""
    random = np.random.default_rng(seed)
    rows = []
    for subject in range(subjects):
        shown = [stimulus for stimulus in range(trials // repeats) for _ in range(repeats)]
        for place, stimulus in enumerate(random.permutation(shown)):
            rows.append((f"s{subject}", 1, place + 1, place + 1, f"f{stimulus}", stimulus % classes))
    found = pd.DataFrame(rows, columns=["subject", "session", "play_order", "trial", "stimulus", "code"])
    return found.assign(row=np.arange(len(found)), label=found["code"].astype(str), windows=2)
