"""How well answered coordinates agree with true ones: R2 and concordance, by subject and over all trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import r2_score

from mdjpt_platform.evaluate.metrics import bootstrap_interval

Float = NDArray[np.float64]
POOLED = "_pooled"
"""Suffix of a metric over the trials of all subjects together."""
DEALS = 500
SUMMARY = ("metric", "value", "low", "high", "chance", "chance_low", "chance_high", "n_subjects")
FLAT = 1e-12
"""Variance at which coordinates are constant, but for rounding."""


def r2(truth: Float, answers: Float) -> float:
    """Share of the variance about the truth's own mean that is explained, negative if worse; NaN: constant truth."""
    return float(r2_score(truth, answers)) if truth.var() > FLAT else float("nan")


def ccc(truth: Float, answers: Float) -> float:
    """Lin's concordance correlation coefficient (Biometrics 45:255, 1989), population moments; NaN: constant truth.

    1 for equal, -1 for mirrored, 0 for unrelated or constant answers; unlike a correlation it falls with every shift
    and change of scale.
    """
    if truth.var() <= FLAT:
        return float("nan")
    covariance = np.mean((truth - truth.mean()) * (answers - answers.mean()))
    return float(2 * covariance / (truth.var() + answers.var() + (truth.mean() - answers.mean()) ** 2))


SCORES: dict[str, Callable[[Float, Float], float]] = {"r2": r2, "ccc": ccc}


@dataclass(frozen=True)
class Answers:
    """One coordinate of the trials of one subject that one fold tested, each [trials]."""

    fold: int
    subject: str
    stimuli: NDArray[np.int64]
    """Numbers from 0, equal where subjects saw the same."""
    truth: Float
    answers: Float
    blind: Float
    """What one answers without features: the mean of the training."""


def coordinate_scores(
    found: Sequence[Answers], name: str, resamples: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of the coordinate `name`: by subject (metric, subject, value), and summaries with interval and chance.

    By subject: mean over the folds that tested them; NaN, and not in `n_subjects`, where all their trials have the
    same coordinate. Pooled: all trials of a fold as one, mean over folds, interval by drawing subjects.
    Chance of CCC is 0, of R2 that of blind answers. `chance_low` and `chance_high` hold 95 % of what the same answers
    give when they are dealt anew to the stimuli, for all subjects alike: who watches the same errs together, so that
    a deal for each subject would promise too much.
    """
    subjects = sorted({one.subject for one in found})
    owner = np.array([subjects.index(one.subject) for one in found])
    folds = np.array([one.fold for one in found])
    sums = np.stack([_sums(one.truth, one.answers) for one in found])
    dealt = _dealt_anew(found, sums, seed)
    random = np.random.default_rng(np.random.SeedSequence([seed, 6]))
    drawn = random.multinomial(len(subjects), np.full(len(subjects), 1 / len(subjects)), resamples)[:, owner]
    people, rows = [], []
    for kind, score in SCORES.items():
        metric = f"{name}_{kind}"
        each, blind = (
            _by_subject(np.array([score(one.truth, getattr(one, side)) for one in found]), owner)
            for side in ("answers", "blind")
        )
        people.append(pd.DataFrame({"metric": metric, "subject": subjects, "value": each}))
        null = [_mean(_by_subject(one, owner)) for one in _agreement(dealt)[kind]]
        interval, known = bootstrap_interval(each, resamples, seed), int(np.isfinite(each).sum())
        rows.append((metric, _mean(each), *interval, _mean(blind) if kind == "r2" else 0.0, *_middle(null), known))
        whole, blindly = (_over_trials(found, score, side) for side in ("answers", "blind"))
        again, null = _pooled(sums * drawn[..., None], folds, kind), _pooled(dealt, folds, kind)
        level = blindly if kind == "r2" else 0.0
        rows.append((metric + POOLED, whole, *_middle(again), level, *_middle(null), len(subjects)))
    return pd.concat(people, ignore_index=True), pd.DataFrame(rows, columns=list(SUMMARY))


def _sums(truth: Float, answers: Float) -> Float:
    """Sums of 1, y, p, y^2, p^2 and yp: all that either score needs, and they add up over subjects."""
    return np.array([len(truth), truth.sum(), answers.sum(), truth @ truth, answers @ answers, truth @ answers])


def _agreement(sums: Float) -> dict[str, Float]:
    """`r2` and `ccc` of sums [..., 6], for thousands of resamples at once; NaN where the truth is constant."""
    count, y, p, yy, pp, yp = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = yy - y * y / count
        spread = np.where(spread / count > FLAT, spread, np.nan)
        concordance = 2 * (yp - y * p / count) / (spread + pp - p * p / count + (y - p) ** 2 / count)
        return {"r2": 1 - (yy - 2 * yp + pp) / spread, "ccc": concordance}


def _dealt_anew(found: Sequence[Answers], sums: Float, seed: int) -> Float:
    """Sums [deals, groups, 6] after answers moved from stimulus to stimulus: only products with the truth change."""
    stimuli = 1 + max(int(one.stimuli.max()) for one in found)
    keys = np.random.default_rng(np.random.SeedSequence([seed, 5])).random((DEALS, stimuli))
    out = np.repeat(sums[None], DEALS, axis=0)
    for place, one in enumerate(found):
        at = np.argsort(one.stimuli, kind="stable")  # one order for everybody, whatever was played first
        deal = np.argsort(keys[:, one.stimuli[at]], axis=1, kind="stable")
        out[:, place, 5] = one.answers[at][deal] @ one.truth[at]
    return out


def _over_trials(found: Sequence[Answers], score: Callable[[Float, Float], float], field: str) -> float:
    """All trials of a fold as one, mean over folds."""
    parts = [[one for one in found if one.fold == fold] for fold in sorted({one.fold for one in found})]
    both = [[np.concatenate([getattr(one, side) for one in part]) for side in ("truth", field)] for part in parts]
    return _mean(np.array([score(truth, answers) for truth, answers in both]))


def _pooled(sums: Float, folds: NDArray[np.int64], kind: str) -> list[float]:
    """The same from sums [resamples, groups, 6]."""
    each = [_agreement(sums[:, folds == fold].sum(1))[kind] for fold in np.unique(folds)]
    return [_mean(one) for one in np.stack(each, 1)]


def _by_subject(values: Float, owner: NDArray[np.int64]) -> Float:
    """Means over folds, [groups] -> [subjects]; a subject without a score has none in any fold."""
    return np.bincount(owner, values) / np.bincount(owner)


def _mean(values: Float) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _middle(values: Sequence[float]) -> tuple[float, float]:
    """What 95 % of the values lie between."""
    known = np.asarray(values)[np.isfinite(values)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return float(low), float(high)
