"""Read-outs of an exported model, with what they are worth on people they were not fitted on.

Everybody is left out once (five folds of people). From the answers for those left out come the temperature that
calibrates the class probabilities (Guo et al. 2017), the half-width of the intervals of valence and arousal (split
conformal, Lei et al. 2018; people are what is exchanged, so with few of them it errs on the wide side), and the scores
of the model card. Each is told as it came out on people whose answers had no part in it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from mdjpt_model.readout import Readout
from mdjpt_platform.config import EvaluateConfig
from mdjpt_platform.evaluate.metrics import bootstrap_interval
from mdjpt_platform.evaluate.probe import fit_probe
from mdjpt_platform.evaluate.regression import fit_ridge
from mdjpt_platform.evaluate.windows import Array, Rows
from mdjpt_platform.export.material import Material, Truth

LEVEL = 0.9
"""Share of windows that the intervals of valence and arousal hold, at least."""
BINS = 10
NEVER = -20.0
"""Score of a class that a training had no window of."""
Float = NDArray[np.float64]
Layers = tuple[tuple[Tensor, Tensor], ...]


def fit_readout(material: Material, truth: Truth, config: EvaluateConfig) -> tuple[Readout, dict[str, Any]]:
    """The read-out fitted to everybody, and its scores on people left out. Raises BadInput: a single person."""
    owners = np.array(material.owners)
    labelled, rated = truth.codes >= 0, np.isfinite(truth.points).all(1)
    classify, place = len(truth.labels) > 1, bool(rated.any())
    scores = np.full((len(owners), len(truth.labels)), NEVER)
    points = np.full((len(owners), 2), np.nan)
    blind = np.full((len(owners), 2), np.nan)
    for split in material.splits(config.seed):
        x, _ = material.given(split.train)
        known, left = np.isin(owners, split.train), np.isin(owners, split.test)
        if classify:
            layers = fit_layers(x[known & labelled], truth.codes[known & labelled], len(truth.labels), config)
            scores[left] = Readout(*_EMPTY, layers).scores(torch.from_numpy(x[left])).double().numpy()  # type: ignore[union-attr]
        if place and (known & rated).any():
            at = known & rated
            points[left] = fit_ridge(x[at], truth.points[at], _numbered(owners[at])).predict(x[left].astype(np.float64))
            blind[left] = truth.points[at].mean(0)
    x, readout = material.given(material.people)
    found: dict[str, Any] = {"people": len(material.people), "windows": len(owners)}
    if classify:
        temperature = fit_temperature(scores[labelled], truth.codes[labelled], owners[labelled])
        layers = fit_layers(x[labelled], truth.codes[labelled], len(truth.labels), config)
        readout = replace(readout, layers=layers, temperature=temperature)
        found["classes"] = class_worth(scores[labelled], truth.codes[labelled], owners[labelled], config)
    if place:
        linear = folded(fit_ridge(x[rated], truth.points[rated], _numbered(owners[rated])), "ridge")
        off = np.abs(points[rated] - truth.points[rated])
        halfwidth = torch.from_numpy(quantile_of_people(off, owners[rated])).float()
        readout = replace(readout, affect=linear, halfwidth=halfwidth)
        guess = np.abs(blind[rated] - truth.points[rated])
        found["affect"] = affect_worth(off, guess, owners[rated], config)
    return readout, found


_EMPTY = (torch.zeros(0, dtype=torch.float64), torch.zeros(0, dtype=torch.float64))


def fit_layers(x: Array, codes: Rows, classes: int, config: EvaluateConfig) -> Layers:
    """The run's own probe (MLP), or a logistic regression where it is linear, as (weight, bias) of linear maps."""
    if config.probe.kind == "mlp":
        probe = fit_probe(np.ascontiguousarray(x, np.float32), codes, classes, config.probe, (config.seed, 0)).probe
        linear: Any = probe.layers
        return tuple((one.weight.detach().clone(), one.bias.detach().clone()) for one in linear)
    known = np.unique(codes)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=config.probe.strength, max_iter=1000))
    weight, bias = folded(model.fit(np.asarray(x, np.float64), codes), "logisticregression")
    if len(known) == 2:  # scikit-learn keeps one row: the log odds of the second class
        weight, bias = torch.cat([-weight / 2, weight / 2]), torch.cat([-bias / 2, bias / 2])
    whole, off = torch.zeros(classes, weight.shape[1]), torch.full((classes,), NEVER)
    whole[known], off[known] = weight, bias
    return ((whole, off),)


def folded(pipeline: Pipeline, name: str) -> tuple[Tensor, Tensor]:
    """(weight, bias), float32, of a standardisation and the linear map behind it, as one map."""
    scale, linear = pipeline[0], pipeline.named_steps[name]
    weight = np.atleast_2d(linear.coef_) / scale.scale_
    bias = np.atleast_1d(linear.intercept_) - weight @ scale.mean_
    return torch.from_numpy(np.ascontiguousarray(weight)).float(), torch.from_numpy(bias).float()


def fit_temperature(scores: Float, codes: Rows, owners: NDArray[np.str_]) -> float:
    """What class scores are divided by, for the least mean negative log-likelihood, every person counting alike."""
    weight = _weights(owners)

    def loss(log: float) -> float:
        likely = log_softmax(scores / np.exp(log), axis=1)[np.arange(len(codes)), codes]
        return float(-(weight * likely).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-4, 6), method="bounded").x))


def class_worth(scores: Float, codes: Rows, owners: NDArray[np.str_], config: EvaluateConfig) -> dict[str, Any]:
    """Balanced accuracy by person with its 95 % interval, and how far stated and true confidence lie apart."""
    right = scores.argmax(1) == codes
    each = []
    stated = np.empty(len(codes))
    for person in np.unique(owners):
        own = owners == person
        each.append(float(np.mean([right[own & (codes == code)].mean() for code in np.unique(codes[own])])))
        # the temperature of the others: a person's own answers must not calibrate them
        heat = fit_temperature(scores[~own], codes[~own], owners[~own]) if not own.all() else 1.0
        stated[own] = softmax(scores[own] / heat, axis=1).max(1)
    low, high = bootstrap_interval(np.array(each), config.bootstrap, config.seed)
    plain = softmax(scores, axis=1).max(1)
    return {
        "balanced_accuracy": float(np.mean(each)), "low": low, "high": high, "chance": 1 / scores.shape[1],
        "calibration_error": calibration_error(stated, right), "uncalibrated_error": calibration_error(plain, right),
    }  # fmt: skip


def calibration_error(stated: Float, right: NDArray[np.bool_]) -> float:
    """Mean over windows of |share right - mean confidence| in ten bins of confidence (expected calibration error)."""
    bins = np.minimum((stated * BINS).astype(int), BINS - 1)
    gaps = [
        abs(right[bins == one].mean() - stated[bins == one].mean()) * (bins == one).mean() for one in np.unique(bins)
    ]
    return float(sum(gaps))


def affect_worth(off: Float, guess: Float, owners: NDArray[np.str_], config: EvaluateConfig) -> dict[str, Any]:
    """Mean error by person of valence and arousal, that of always answering the mean, and what the intervals hold."""
    people = np.unique(owners)
    error = np.array([off[owners == one].mean(0) for one in people])
    blind = np.array([guess[owners == one].mean(0) for one in people])
    held = np.array([
        (off[owners == one] <= quantile_of_people(off[owners != one], owners[owners != one])).mean(0) for one in people
    ])  # fmt: skip
    return {
        "error": error.mean(0).tolist(), "error_of_the_mean": blind.mean(0).tolist(),
        "coverage": held.mean(0).tolist(), "level": LEVEL,
        "interval": [list(bootstrap_interval(error[:, n], config.bootstrap, config.seed)) for n in range(2)],
    }  # fmt: skip


def quantile_of_people(off: Float, owners: NDArray[np.str_]) -> Float:
    """[2]: what LEVEL of the errors off [n, 2] do not exceed, every person counting alike, one unseen person added."""
    people = len(np.unique(owners))
    share = min(1.0, LEVEL * (people + 1) / people)
    weight = _weights(owners)
    found = []
    for column in off.T:
        order = np.argsort(column)
        reached = np.searchsorted(np.cumsum(weight[order]), share - 1e-12)
        found.append(column[order[min(int(reached), len(order) - 1)]])
    return np.array(found)


def _weights(owners: NDArray[np.str_]) -> Float:
    """A window's weight: everybody's sum to the same, all to 1."""
    _, number, count = np.unique(owners, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (count[number] * len(count)))


def _numbered(owners: NDArray[np.str_]) -> Rows:
    return np.unique(owners, return_inverse=True)[1].astype(np.int64)
