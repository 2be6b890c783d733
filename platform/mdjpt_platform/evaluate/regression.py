"""Coordinates from features: ridge regression whose penalty is chosen on the training subjects alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.windows import Array, Rows

Float = NDArray[np.float64]
ALPHAS = 10.0 ** np.arange(0, 8.5, 0.5)
"""From hardly any shrinkage to none but the mean being left, for features of unit variance."""
FOLDS = 5


def fit_ridge(features: Array, points: Float, owners: Rows, where: str = "affect") -> Pipeline:
    """Fit points [n, 2] by features [n, M]; `predict` of what is returned gives [n, 2].

    Features are standardised by the training's own statistics. The penalty of each coordinate is the one with the
    least squared error over windows of owners (subjects) left out, in five folds of owners or as many as there are.
    Raises BadInput: a single owner.
    """
    count = len(np.unique(owners))
    if count < 2:
        raise BadInput(where, "regression", "a single owner of training windows", "2 or more, to choose the penalty by")
    x = np.asarray(features, np.float64)
    errors = np.zeros((len(ALPHAS), points.shape[1]))
    for fit, held in GroupKFold(min(FOLDS, count)).split(x, groups=owners):
        # All penalties in one go, as columns: the Gram matrix is formed once.
        every = np.tile(points[fit], len(ALPHAS))
        answers = _ridge(x[fit], every, np.repeat(ALPHAS, points.shape[1])).predict(x[held])
        errors += np.square(answers.reshape(len(held), *errors.shape) - points[held][:, None]).sum(0)
    return _ridge(x, points, ALPHAS[errors.argmin(0)])


def _ridge(x: Float, y: Float, alphas: Float) -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("ridge", Ridge(alpha=alphas, solver="cholesky"))]).fit(x, y)
