"""Pre-training learns what subjects share while they watch the same thing, and nothing where they share nothing.

Raw files of a simulated corpus go through reader, preparation and training. What counts is the contrast of pairs of
subjects who took no part in the training: training pairs of a permuted corpus are few enough to be learned by heart,
and their loss can fall below chance although there is nothing to learn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mdjpt_model.losses import chance_contrast
from mdjpt_model.model import MdJPT
from mdjpt_platform.config import Config
from mdjpt_platform.data.episode import assemble
from mdjpt_platform.families import new_model
from mdjpt_platform.preprocess.run import prepare
from mdjpt_platform.runfile import parse
from mdjpt_platform.train.checkpoint import load_model
from mdjpt_platform.train.launch import pretrain
from mdjpt_platform.train.prepared import open_stores, prepare_plan
from mdjpt_platform.train.step import EpisodeTerms
from mdjpt_platform.verbs import with_simulated

STIMULI = (1, 4, 7, 10, 13, 14, 17, 20, 23)
SUBJECTS = tuple(f"{number:03d}" for number in range(len(STIMULI)))
"""As many as there are stimuli: no two of them see the same content under one id in the permuted corpus."""
TRAINED, UNSEEN = SUBJECTS[:6], SUBJECTS[6:]
CHANCE = chance_contrast(2 * len(STIMULI))
MODEL = {"hidden": 16, "features": 16, "depth": 1, "heads": 4, "spatial": 16, "stride": 30, "attention_kernel": 4}


def config(folder: Path, seed: int, permute: bool, subjects: tuple[str, ...]) -> Config:
    simulate = {"subjects": len(SUBJECTS), "seed": seed, "permute": permute}
    corpus: dict[str, Any] = {"layout": "faced", "labels": "valence", "subjects": subjects, "simulate": simulate}
    corpus["facts"] = {"stimuli": STIMULI, "sessions": 1, "seconds": 16}
    places = {"simulated": folder / "raw", "store": folder / "store", "runs": folder / "runs"}
    tree = {
        "seed": seed,
        "corpora": {"sim": corpus},
        "sources": ["sim"],
        "recipe": "mdjpt_no_ica",
        "window": {"seconds": 5, "step": 1},
        "model": MODEL,
        "optim": {"lr": 0.01},
        "contrast": {"temperature": 0.1},
        "train": {"epochs": 1, "steps": 300},
        "exec": {"engine": "local", "threads": 1, "mlflow": "off", "progress": False}
        | {name: str(path) for name, path in places.items()},
    }
    return with_simulated(parse(tree), ["sim"])


def contrast(model: MdJPT, unseen: Config) -> float:
    """Mean over three draws of every pair of the unseen subjects."""
    prepared = prepare_plan(unseen.run, open_stores(unseen, ("sim",), verify=False))
    terms = EpisodeTerms(model, unseen.run, prepared.channels, prepared.plan.windows).eval()
    rows = prepared.plan.rows(0, 3 * len(prepared.plan.pairs["sim"]))
    with torch.no_grad():
        found = [terms(assemble(row, prepared.stores, prepared.length)).contrast for row in rows]
    return float(torch.cat(found).mean())


def before_and_after(folder: Path, seed: int, permute: bool) -> tuple[float, float]:
    """Contrast of unseen pairs with initial weights and with trained ones."""
    known, unseen = (config(folder, seed, permute, subjects) for subjects in (TRAINED, UNSEEN))
    for one in (known, unseen):
        assert prepare(one).ok
    done = pretrain(known)
    trained = load_model(done.folder, known.run.model)
    return contrast(new_model(known.run), unseen), contrast(trained, unseen)


@pytest.mark.parametrize("seed", [3, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (0, 1, 2, 4, 5))])
def test_contrast_of_unseen_pairs_falls_only_where_subjects_share_what_they_see(tmp_path: Path, seed: int) -> None:
    """Measured, seeds 0-5: aligned 0.2-1.7, permuted 2.9-3.4; chance is 2.83. Seed 3 learns slowest of the six."""
    before, aligned = before_and_after(tmp_path, seed, permute=False)
    _, permuted = before_and_after(tmp_path, seed, permute=True)
    assert before > CHANCE - 0.3, "initial weights know nothing"
    assert aligned < CHANCE - 0.8
    assert permuted > CHANCE - 0.3
