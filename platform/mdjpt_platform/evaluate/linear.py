"""Linear classifiers on frozen features: what most papers on differential entropy read it out with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from mdjpt_platform.config import ProbeConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.windows import Array, Rows

LINEAR: dict[str, Callable[[float], LogisticRegression | LinearSVC]] = {
    "logistic": lambda strength: LogisticRegression(C=strength, max_iter=1000),
    "svm": lambda strength: LinearSVC(C=strength, random_state=0, max_iter=10_000),
}


def linear_scores(features: Array, codes: Rows, test: Array, classes: int, config: ProbeConfig) -> Array:
    """Fit features [n, M] of class codes [n]; class scores [m, classes] of `test` [m, M], rows summing to 1.

    Features are standardised by the training's own statistics; the penalty is `config.strength`, not chosen. Scores
    of the SVM are the softmax of its margins: they rank, and are no probabilities. A class without a training window
    is never answered. Raises BadInput: fewer than two classes in training.
    """
    known = np.unique(codes)
    if len(known) < 2:
        raise BadInput("probe", "classes of training windows", len(known), "at least two")
    fitted = make_pipeline(StandardScaler(), LINEAR[config.kind](config.strength)).fit(features, codes)
    if config.kind == "logistic":
        found = fitted.predict_proba(test)
    else:
        margin = fitted.decision_function(test)
        found = softmax(margin if margin.ndim > 1 else np.stack([-margin, margin], 1), axis=1)
    scores: Array = np.zeros((len(test), classes), np.float32)
    scores[:, known] = found
    return scores
