"""Scores of made-up studies whose truth is known: to check statistics, and to see what a design could show."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mdjpt_platform.study.interval import Float


@dataclass(frozen=True)
class Spread:
    """Standard deviations of what a score (0..1) is made of, and sizes. Arms share subjects, so they correlate."""

    subjects: tuple[int, ...] = (15, 15, 15)
    """One number a target."""
    seeds: int = 3
    subject: float = 0.08
    """Subjects differ, equally in all arms."""
    response: float = 0.03
    """A subject takes to one arm more than to another, in all seeds."""
    training: float = 0.01
    """Luck of one training: arm x seed x target, the same for all its subjects."""
    luck: float = 0.005
    """Luck of a seed in all arms of a target."""
    noise: float = 0.03
    """What is left: subject x seed x arm."""
    target: float = 0.0
    """Arms differ in effect from target to target."""
    skewed: bool = False
    """Response from a chi-squared distribution of 3 degrees of freedom instead of a normal one."""


def draw(
    spread: Spread, effects: Sequence[float], studies: int, random: np.random.Generator
) -> tuple[list[Float], Float]:
    """Scores [studies, subjects, seeds, arms] of each target, and the true means [studies, targets, arms].

    `effects`: true mean of each arm over all targets.
    """
    arms, found = len(effects), []
    truth = np.asarray(effects) + spread.target * random.standard_normal((studies, len(spread.subjects), arms))
    for place, subjects in enumerate(spread.subjects):

        def normal(deviation: float, *shape: int) -> Float:
            return deviation * random.standard_normal((studies, *shape))

        response = normal(spread.response, subjects, 1, arms)
        if spread.skewed:
            response = spread.response * (random.chisquare(3, (studies, subjects, 1, arms)) - 3) / np.sqrt(6)
        scores = truth[:, None, None, place] + normal(spread.subject, subjects, 1, 1) + response
        scores = scores + normal(spread.training, 1, spread.seeds, arms) + normal(spread.luck, 1, spread.seeds, 1)
        found.append(scores + normal(spread.noise, subjects, spread.seeds, arms))
    return found, truth


def tidy(values: Sequence[Float], axis: str, arms: Sequence[Hashable]) -> pd.DataFrame:
    """The table of one study from arrays [subjects, seeds, arms]: a row a score, as the ledger gives it."""
    parts = []
    for target, block in enumerate(values):
        subject, seed, arm = (one.ravel() for one in np.indices(block.shape))
        part = pd.DataFrame({"target": f"target-{target}", "subject": [f"{one:03d}" for one in subject], "seed": seed})
        parts.append(part.assign(**{axis: [arms[int(one)] for one in arm], "score": block.ravel()}))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(metric="accuracy", readout="few_shot", lds="off", method="trained")
