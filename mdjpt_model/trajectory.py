"""Features along a recording: the running normalisation, for all windows at once and one at a time (SYSTEMS 1.8)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
FLOOR = 1e-10


def running_normalise(features: NDArray[np.floating], prior_mean: Float, prior_var: Float, decay: float) -> Float:
    """Z-score window k of [n, M] by a blend of the prior, weight decay**k, and of windows 0..k of its own recording.

    Windows in play order; no window sees a later one. Window 0 is normalised by the prior alone.
    """
    x = np.asarray(features, np.float64)
    seen = np.arange(1, len(x) + 1)[:, None]
    mean = np.cumsum(x, 0) / seen
    # About the first window, so that a large offset costs no digits.
    shifted = x - x[:1]
    var = np.cumsum(np.square(shifted), 0) / seen - np.square(mean - x[:1])
    trust = decay ** np.arange(len(x))[:, None]
    mean = trust * prior_mean + (1 - trust) * mean
    var = trust * prior_var + (1 - trust) * np.maximum(var, 0)
    return np.asarray((x - mean) / np.sqrt(var + FLOOR))


@dataclass
class RunningNormalise:
    """`running_normalise` one window at a time."""

    prior_mean: Float
    prior_var: Float
    decay: float
    seen: int = 0
    first: Float | None = None
    total: Float | None = None
    squares: Float | None = None

    def __call__(self, x: NDArray[np.floating]) -> Float:
        """The next window's feature [M], normalised."""
        value = np.asarray(x, np.float64)
        if self.first is None or self.total is None or self.squares is None:
            self.first, self.total, self.squares = value, np.zeros_like(value), np.zeros_like(value)
        self.total = self.total + value
        self.squares = self.squares + np.square(value - self.first)
        trust = self.decay**self.seen
        self.seen += 1
        mean = self.total / self.seen
        var = self.squares / self.seen - np.square(mean - self.first)
        mean = trust * self.prior_mean + (1 - trust) * mean
        var = trust * self.prior_var + (1 - trust) * np.maximum(var, 0)
        return np.asarray((value - mean) / np.sqrt(var + FLOOR))
