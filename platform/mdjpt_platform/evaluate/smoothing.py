"""Running normalisation and smoothing of features along a recording (SYSTEMS 1.8, steps 4-6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mdjpt_model.trajectory import running_normalise
from mdjpt_platform.evaluate.windows import Array, groups, trials_of

Float = NDArray[np.float64]
Lds = Literal["off", "on", "causal"]
LDS: tuple[Lds, ...] = ("off", "on", "causal")
PROCESS, OBSERVATION, PRIOR = 1e-4, 1.0, 0.01
"""Variances of the random walk, of an observation, and of the walk's start about the trial mean."""


@dataclass(frozen=True)
class Prior:
    """What a recording is normalised by before it has shown anything of itself, each [M]."""

    mean: Float
    var: Float


def subject_moments(features: Array, table: pd.DataFrame) -> dict[str, Prior]:
    """Mean and population variance over all windows of each subject."""
    found = {}
    for subject, at in table.reset_index(drop=True).groupby("subject", sort=True).indices.items():
        part = np.asarray(features[at], np.float64)
        found[str(subject)] = Prior(part.mean(0), part.var(0))
    return found


def prior_of(moments: dict[str, Prior], subjects: Sequence[str]) -> Prior:
    """Average over `subjects`: the training subjects, or every one under `protocol: published`.

    The released code always takes all, test subjects included (ext_fea.py:59-60, 75-82; SYSTEMS 1.13, 8).
    """
    chosen = [moments[subject] for subject in subjects]
    return Prior(np.mean([one.mean for one in chosen], 0), np.mean([one.var for one in chosen], 0))


def normalise(features: Array, table: pd.DataFrame, prior: Prior, decay: float) -> Array:
    """`running_normalise` for every (subject, session) of the table, each in play order."""
    out = np.empty_like(features)
    for at in groups(table).values():
        out[at] = running_normalise(features[at], prior.mean, prior.var, decay)
    return out


@lru_cache(maxsize=512)
def lds_operator(n: int, causal: bool = False) -> Float:
    """The smoother of a trial of n windows as a matrix [n, n]; every row sums to 1, so a constant stays itself.

    Random walk with A = C = 1: Kalman filter, then the backward (Rauch-Tung-Striebel) pass; the walk starts at the
    trial's mean. `causal` stops after the filter, and since the trial's mean is not known yet, starts from the first
    window (flat prior): row k is nearly the mean of windows 0..k and holds zeros for later ones.
    Raises ValueError: n < 1.
    """
    if n < 1:
        raise ValueError(f"a trial has at least one window, found {n}")
    observed = np.eye(n)
    filtered, variance, predicted = np.empty((n, n)), np.empty(n), np.empty(n)
    state, spread = (observed[0], np.inf) if causal else (np.full(n, 1 / n), PRIOR)
    for k in range(n):
        spread = spread + PROCESS if k else spread
        predicted[k] = spread
        gain = 1.0 if np.isinf(spread) else spread / (spread + OBSERVATION)
        state = state + gain * (observed[k] - state)
        spread = gain * OBSERVATION
        filtered[k], variance[k] = state, spread
    if not causal:
        for k in range(n - 2, -1, -1):
            filtered[k] += variance[k] / predicted[k + 1] * (filtered[k + 1] - filtered[k])
    filtered.flags.writeable = False
    return filtered


def smooth(features: Array, table: pd.DataFrame, lds: Lds) -> Array:
    """Apply the operator to every trial of [n, M]; `off` returns the features as they are."""
    if lds == "off":
        return features
    out = np.empty_like(features)
    for at in trials_of(table):
        out[at] = lds_operator(len(at), lds == "causal") @ features[at]
    return out
