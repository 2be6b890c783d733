"""The published step: one pair of each of five corpora, 254 windows, through train/step.py."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import step
import torch

from mdjpt_model.montage import UNIFIED
from mdjpt_platform.config import RunConfig
from mdjpt_platform.data.episode import Episode
from mdjpt_platform.data.plan import Draw, Row
from mdjpt_platform.families import new_model
from mdjpt_platform.runfile import parse
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.device import keep_within
from mdjpt_platform.train.step import EpisodeTerms, Losses, Stepper

TRIALS = {
    "published": {"seed": 15, "seed_iv": 24, "seed_vii": 20, "faced": 28, "deap": 40},
    "small": {"seed": 2, "deap": 3},
}
"""Trials in a session of each corpus; `published`: those pre-trained on when SEED-V is the target, 2 x 127 windows."""


def run_of(variant: str, trials: dict[str, int]) -> RunConfig:
    """One episode a step, float32, every corpus in the unified cap."""
    corpora = {name: {"layout": name} for name in trials}
    tree = {"corpora": corpora, "sources": list(trials), "model": {"variant": variant}, "train": {"episodes": 1}}
    return parse(tree).run


def random_episode(trials: dict[str, int]) -> Episode:
    """A pair of every corpus, as white noise."""
    draws, windows, labels, affect = {}, {}, {}, {}
    for name, count in trials.items():
        each = np.arange(count)
        draws[name] = Draw(each, count + each, 0 * each, 0 * each)
        windows[name] = torch.randn(2 * count, len(UNIFIED), step.SAMPLES)
        labels[name] = torch.full((2 * count,), -1)
        affect[name] = torch.full((2 * count, 2), torch.nan)
    return Episode(Row(0, 0, draws), windows, labels, affect)


def step_of(variant: str, gigabytes: float, trials: dict[str, int]) -> tuple[float, Callable[[], Losses]]:
    """Share of the encoder's activations that are stored in `gigabytes`, and one step: all losses and gradients."""
    run, episode = run_of(variant, trials), random_episode(trials)
    counts = {name: 2 * count for name, count in trials.items()}
    terms = EpisodeTerms(new_model(run), run, dict.fromkeys(trials, UNIFIED), counts)
    share = keep_within(terms, dict.fromkeys(trials, step.SAMPLES), gigabytes)
    stepper = Stepper(terms, run, Context())
    return share, lambda: stepper.backward([episode])
