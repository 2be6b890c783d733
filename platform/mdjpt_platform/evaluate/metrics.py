"""Scores per subject, intervals over subjects, chance, and paired tests. Classes come from the corpus, not from the
test labels (train_mlp_full.py:123-133; SYSTEMS 1.13, 35)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import permutation_test, wilcoxon
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support, roc_auc_score

from mdjpt_platform.evaluate.windows import Rows

Float = NDArray[np.float64]
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc")
RESAMPLES = 9999


def scores_of(codes: Rows, scores: NDArray[np.floating], classes: int) -> dict[str, float]:
    """Scores of one subject's windows; `scores` [n, classes] rank the classes, the largest is the answer.

    A class that the subject never saw has no recall and no AUROC; it counts against macro F1 only where it was
    answered. AUROC is one-vs-rest, mean over classes; NaN if the subject saw one class only.
    """
    answers = scores.argmax(1)
    _, recall, f1, _ = precision_recall_fscore_support(
        codes, answers, labels=np.arange(classes), average=None, zero_division=np.nan
    )
    return {
        "accuracy": float(accuracy_score(codes, answers)),
        "balanced_accuracy": float(np.nanmean(recall)),
        "macro_f1": float(np.nanmean(f1)),
        "auroc": _auroc(codes, scores),
    }


def confusion(codes: Rows, answers: Rows, classes: int) -> NDArray[np.int64]:
    """Counts [truth, answer]."""
    return np.asarray(confusion_matrix(codes, answers, labels=np.arange(classes)), np.int64)


def bootstrap_interval(values: Float, resamples: int, seed: int, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the mean over subjects, subjects drawn with replacement."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    random = np.random.default_rng(np.random.SeedSequence([seed, 2]))
    means = known[random.integers(len(known), size=(resamples, len(known)))].mean(1)
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Chance:
    """What guessing gives: `level` to compare with, and where 95 % of uniform guessers end up."""

    level: float
    low: float
    high: float


def chance_levels(trials: Sequence[tuple[Rows, Rows]], classes: int, resamples: int, seed: int) -> dict[str, Chance]:
    """Chance per metric for subjects with trials of (class codes, numbers of windows).

    Guesses are one a trial, not one a window: windows of a trial share their features' slow part (all of it after
    smoothing), so a binomial interval over windows would be far too narrow. Guessers are independent between subjects;
    nearest neighbours are not quite (two windows may be each other's), so for zero-shot after smoothing the true
    interval is wider, by up to 1.4 on pure noise. The level is the largest class' share for accuracy, 1/classes for
    balanced accuracy, 1/2 for AUROC, and the guessers' mean for macro F1.
    """
    random = np.random.default_rng(np.random.SeedSequence([seed, 3]))
    means = {name: np.zeros(resamples) for name in METRICS}
    share = 0.0
    for codes, windows in trials:
        truth = np.eye(classes)[codes] * windows[:, None]
        tastes = random.random((resamples, len(codes), classes))
        guessed = np.eye(classes)[tastes.argmax(2)]
        counts = np.einsum("tk,rtg->rkg", truth, guessed)
        totals, right = truth.sum(0), np.einsum("rkk->rk", counts)
        seen, answered = totals > 0, counts.sum(1)
        means["accuracy"] += right.sum(1) / totals.sum()
        means["balanced_accuracy"] += (right[:, seen] / totals[seen]).mean(1)
        f1 = 2 * right / np.where(answered + totals > 0, answered + totals, 1)
        means["macro_f1"] += f1.sum(1) / np.maximum(((answered + totals) > 0).sum(1), 1)
        means["auroc"] += _guessed_auroc(truth, windows, tastes)
        share += float(totals.max() / totals.sum())
    spread = {name: value / len(trials) for name, value in means.items()}
    level = {
        "accuracy": share / len(trials),
        "balanced_accuracy": 1 / classes,
        "macro_f1": float(spread["macro_f1"].mean()),
        "auroc": 0.5,
    }
    bounds = {name: np.percentile(value, [2.5, 97.5]) for name, value in spread.items()}
    return {name: Chance(level[name], float(bounds[name][0]), float(bounds[name][1])) for name in METRICS}


def paired_tests(subjects: pd.DataFrame, method: str, controls: Sequence[str], seed: int) -> pd.DataFrame:
    """Compare `method` with each control over the same subjects, per read-out, smoothing and metric.

    `subjects`: columns method, readout, lds, metric, subject, value. Wilcoxon signed-rank and sign-flip permutation
    of the mean difference, both two-sided; Holm over the comparisons of one read-out and metric (controls x
    smoothings). `effect` is the mean difference over its standard deviation (Cohen's d_z).
    """
    rows = []
    for (readout, lds, metric), part in subjects.groupby(["readout", "lds", "metric"], sort=False):
        wide = part.pivot(index="subject", columns="method", values="value")
        for control in controls:
            if method not in wide or control not in wide:
                continue
            both = wide[[method, control]].dropna()
            gap = (both[method] - both[control]).to_numpy(np.float64)
            rows.append({"readout": readout, "lds": lds, "metric": metric, "method": method, "control": control})
            rows[-1] |= _compare(gap, seed)
    if not rows:
        return pd.DataFrame(columns=["readout", "lds", "metric", "method", "control"])
    table = pd.DataFrame(rows)
    for kind in ("wilcoxon", "permutation"):
        table[f"{kind}_holm"] = table.groupby(["readout", "metric"])[f"p_{kind}"].transform(holm)
    return table


def holm(p: pd.Series) -> Float:
    """Holm's step-down correction of p-values; NaN stays NaN and counts as no comparison.

    The same numbers as statsmodels' multipletests(method="holm"), which collects garbage at every call (0.1 s).
    """
    values = p.to_numpy(np.float64)
    order = np.argsort(values)  # NaN last
    count = int(np.isfinite(values).sum())
    known = order[:count]
    out = np.full(len(values), np.nan)
    out[known] = np.minimum(np.maximum.accumulate(values[known] * np.arange(count, 0, -1)), 1)
    return out


def _compare(gap: Float, seed: int) -> dict[str, float | int]:
    spread = float(gap.std(ddof=1)) if len(gap) > 1 else 0.0
    found: dict[str, float | int] = {
        "n_subjects": len(gap),
        "difference": float(gap.mean()) if len(gap) else float("nan"),
        "effect": float(gap.mean() / spread) if spread > 0 else float("nan"),
        "p_wilcoxon": float("nan"),
        "p_permutation": float("nan"),
    }
    if len(gap) < 2:
        return found
    if not gap.any():
        return found | {"p_wilcoxon": 1.0, "p_permutation": 1.0}
    flips = permutation_test(
        (gap,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        n_resamples=RESAMPLES,
        vectorized=True,
        rng=np.random.default_rng(np.random.SeedSequence([seed, 4])),
    )
    return found | {"p_wilcoxon": float(wilcoxon(gap).pvalue), "p_permutation": float(flips.pvalue)}


def _auroc(codes: Rows, scores: NDArray[np.floating]) -> float:
    present = np.unique(codes)
    if len(present) < 2:
        return float("nan")
    # Columns of a label indicator are scored one by one, then averaged: one versus rest.
    return float(roc_auc_score(codes[:, None] == present, scores[:, present], average="macro"))


def _guessed_auroc(truth: Float, windows: Rows, tastes: Float) -> Float:
    """Mean one-vs-rest AUROC of random scores, [resamples]; trials weigh as many windows as they have."""
    found = []
    for code in np.flatnonzero(truth.sum(0) > 0):
        own, rest = truth[:, code] > 0, truth[:, code] == 0
        if not rest.any():
            continue
        above = tastes[:, own, code][:, :, None] > tastes[:, rest, code][:, None, :]
        found.append(
            np.einsum("rpn,p,n->r", above, windows[own], windows[rest]) / windows[own].sum() / windows[rest].sum()
        )
    return np.mean(found, 0) if found else np.full(len(tastes), 0.5)
