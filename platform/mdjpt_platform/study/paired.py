"""Paired tests over the subjects of one target, their combination over targets, and effect sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.special import gammaln
from scipy.stats import norm, rankdata, wilcoxon

from mdjpt_platform.study.interval import Float

Test = Literal["permutation", "wilcoxon"]
MIN_SUBJECTS = 6
"""With five, no two-sided sign test can fall below 0.05 (2 / 2^5 = 0.06)."""
EXACT = 12
FLIPS = 10_000


def signs(subjects: int, random: np.random.Generator) -> Float:
    """Sign patterns [patterns, subjects]: all 2^n up to EXACT subjects, else FLIPS drawn ones."""
    if subjects <= EXACT:
        chosen = np.arange(2**subjects)[:, None] >> np.arange(subjects) & 1
    else:
        chosen = random.integers(2, size=(FLIPS, subjects))
    return 1 - 2 * chosen.astype(np.float64)


def sign_flip(gaps: Float, random: np.random.Generator) -> Float:
    """Two-sided p of the mean of `gaps` [..., subjects] under random signs (drawn patterns: counted with the data)."""
    subjects = gaps.shape[-1]
    patterns = signs(subjects, random)
    found = np.abs(gaps.sum(-1))
    flat = gaps.reshape(-1, subjects)
    limit = found.reshape(-1) * (1 - 1e-12) - 1e-15
    above = (np.abs(patterns @ flat.T) >= limit).sum(0).reshape(found.shape)
    drawn = subjects > EXACT
    return (above + drawn) / (len(patterns) + drawn)


def paired_test(gaps: Float, test: Test, random: np.random.Generator) -> Float:
    """Two-sided p of differences `gaps` [..., subjects]; NaN below MIN_SUBJECTS subjects, 1 where all are 0."""
    if gaps.shape[-1] < MIN_SUBJECTS:
        return np.full(gaps.shape[:-1], np.nan)
    if test == "permutation":
        return sign_flip(gaps, random)
    some = np.asarray(gaps.any(-1))
    shown = np.where(some[..., None], gaps, 1.0)  # scipy divides by zero where nothing differs
    return np.where(some, wilcoxon(shown, axis=-1).pvalue, 1.0)


def stouffer(p: Sequence[Float], direction: Sequence[Float], subjects: Sequence[int]) -> Float:
    """One two-sided p from a target's two-sided p each, with the sign of its difference; weights sqrt(subjects).

    Targets without a p (too few subjects) take no part; NaN if none has one.
    """
    scores = [np.sign(d) * norm.isf(np.asarray(one) / 2) for one, d in zip(p, direction, strict=True)]
    weights = [np.where(np.isnan(one), 0.0, count) for one, count in zip(p, subjects, strict=True)]
    total = np.sum(weights, 0)
    weighed = np.sum([np.sqrt(w) * np.nan_to_num(z) for w, z in zip(weights, scores, strict=True)], 0)
    with np.errstate(invalid="ignore"):
        return 2 * norm.sf(np.abs(weighed) / np.sqrt(np.where(total > 0, total, np.nan)))


def smallest_p(subjects: Sequence[int]) -> float:
    """The least p that the tests of targets with so many subjects can reach together."""
    able = [count for count in subjects if count >= MIN_SUBJECTS]
    least = [np.array(2 / min(2.0**count, FLIPS + 1)) for count in able]
    return float(stouffer(least, [np.array(1.0)] * len(able), able)) if able else float("nan")


def hedges_dz(gaps: Float) -> float:
    """Mean difference over its standard deviation (Cohen's d_z) times Hedges' exact small-sample correction.

    NaN where all differences are equal or fewer than three.
    """
    df = len(gaps) - 1
    deviation = float(gaps.std(ddof=1)) if df > 1 else 0.0
    if deviation <= 1e-12 * float(np.abs(gaps).max(initial=0.0)):
        return float("nan")
    correction = np.exp(gammaln(df / 2) - gammaln((df - 1) / 2) - np.log(df / 2) / 2)
    return float(correction * gaps.mean() / deviation)


def rank_biserial(gaps: Float) -> float:
    """Matched-pairs rank-biserial correlation: share of rank sum that speaks for the arm minus that against it."""
    ranks = rankdata(np.abs(gaps[gaps != 0]))
    return float((ranks * np.sign(gaps[gaps != 0])).sum() / ranks.sum()) if len(ranks) else 0.0
