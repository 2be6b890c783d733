"""The shape of scaling: no trend, a straight line, or a saturating power law y = a - b n^-c, where data can tell.

The means by number of corpora are correlated (same subjects), and few encoders stand behind some of them, so all three
are fitted by generalised least squares with the covariance that `moments` estimates. AICc is the misfit plus its
penalty for k parameters and as many observations as subjects, each of whom is one observation of the whole curve
(Hurvich & Tsai 1989); the misfit is scaled down for the estimated covariance, as in Hotelling's T^2. The exponent's
interval is that of its profile; the law is not identifiable where the profile reaches the end of the grid
(Raue et al. 2009): towards 0 the curve is a logarithm, which has no ceiling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t as student

from mdjpt_platform.study.interval import ALPHA, Float, points, residual
from mdjpt_platform.study.subsets import Cells, Subset, Subsets

Shape = Literal["no trend", "linear", "saturating", "not identifiable"]
EXPONENTS = np.geomspace(0.05, 8, 120)
MIN_TREND = 3
"""Fewer numbers of corpora are compared by their gain alone."""
MIN_SATURATING = 5
"""Three parameters, one number held out, one to spare."""
MARGIN = 2.0
"""AICc by which a shape must win."""


@dataclass(frozen=True)
class Profile:
    """A parameter with its 95 % profile interval; infinite where the profile does not close."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """What can be said of the shape, and why."""

    shape: Shape
    reason: str
    counts: tuple[int, ...]
    means: tuple[float, ...]
    """Empty where nothing was fitted, as the next three."""
    aicc: dict[str, float]
    """Of the shapes that were fitted: flat, linear, saturating."""
    fitted: dict[str, tuple[float, ...]]
    """Their values at `counts`."""
    held_out: dict[str, float]
    """Their error (prediction less mean) at the largest number, fitted without it."""
    exponent: Profile | None = None
    remaining: Profile | None = None
    """What infinitely many corpora would add to the largest number, if the law holds: extrapolation."""

    def sentence(self) -> str:
        """The result in plain words."""
        span = f"from {self.counts[0]} to {self.counts[-1]} corpora" if self.counts else "over corpora"
        if self.shape == "no trend":
            return f"No trend {span} is shown ({self.reason})."
        way = "rises" if self.means and self.means[-1] > self.means[0] else "falls"
        if self.shape == "linear":
            return f"The score {way} about linearly {span}; no levelling off is shown ({self.reason})."
        if self.shape == "saturating" and self.remaining and self.exponent:
            r, c = self.remaining, self.exponent
            return (
                f"The score {way} and levels off {span}: power law with exponent {c.value:.2f} "
                f"(95 % interval {c.low:.2f} to {c.high:.2f}); if it goes on, more corpora like these would add "
                f"{points(r.value)} points in all ({points(r.low)} to {points(r.high)}) ({self.reason})."
            )
        return f"The shape of the curve {span} is not identifiable: {self.reason}."


def curve_of(design: Subsets, counts: Sequence[int]) -> Curve:
    """The shape over `counts` (1 and more), for these targets."""
    if len(counts) < MIN_TREND:
        return _unknown(counts, f"{len(counts)} numbers of corpora, {MIN_TREND} needed")
    if len(design.seeds) == 1:
        return _unknown(counts, "one seed, so chance of training cannot be told from a trend")
    means, covariance, df = moments(design, counts)
    subjects = sum(len(values) for values in design.values.values())
    return fit_curve(counts, means, covariance, df, subjects)


def moments(design: Subsets, counts: Sequence[int]) -> tuple[Float, Float, int]:
    """Mean score by number of corpora [n], its covariance [n, n] but for shifts common to all, degrees of freedom.

    Two parts: between subjects, from their own means, and the luck of training.
    """
    targets = len(design.cells)
    total, covariance, df = np.zeros(len(counts)), np.zeros((len(counts), len(counts))), 0
    for target, values in design.values.items():
        own = values.mean(1) @ _per_count(design.cells[target], counts)
        total += own.mean(0) / targets
        covariance += np.cov(own, rowvar=False) / len(own) / targets**2
        df += len(own) - 1
    return total, covariance + np.diag(_luck(design, counts)), df


def _per_count(cells: Cells, counts: Sequence[int]) -> Float:
    """Weights [cells, n] that average the subsets of each size."""
    chosen = np.array([[len(cell) == count for count in counts] for cell in cells], np.float64)
    found: Float = chosen / chosen.sum(0)
    return found


def _luck(design: Subsets, counts: Sequence[int]) -> Float:
    """Variance of the mean by number of corpora [n] from the luck of training.

    One variance for all encoders: how the seeds of a cell differ, less what a seed adds to all cells and what the
    residual of their subjects explains. A number of which there are few subsets rests on few encoders; an encoder that
    several targets share counts once.
    """
    share: dict[Subset, float] = {}
    by_seed: dict[Subset, Float] = {}
    noise: dict[Subset, float] = {}
    for target, cells in design.cells.items():
        weights = _per_count(cells, counts).sum(1) / len(design.cells)
        blocks = np.moveaxis(design.values[target], 2, 0)  # [cells, subjects, seeds]
        for cell, weight, mean, rest in zip(cells, weights, blocks.mean(1), residual(blocks), strict=True):
            if weight:
                share[cell] = share.get(cell, 0.0) + weight
                by_seed[cell] = by_seed.get(cell, np.zeros(1)) + weight * mean
                noise[cell] = noise.get(cell, 0.0) + weight**2 * rest
    means = np.stack([by_seed[cell] / share[cell] for cell in share])  # [cells, seeds]
    explained = float(np.mean([noise[cell] / share[cell] ** 2 for cell in share]))
    variance = max(len(share) * float(residual(means)) - explained, 0.0)
    return np.array([variance * sum(w**2 for cell, w in share.items() if len(cell) == count) for count in counts])


def fit_curve(counts: Sequence[int], means: Float, covariance: Float, df: int, subjects: int) -> Curve:
    """Compare the three shapes over MIN_TREND numbers or more; `df` of the covariance, `subjects` observations."""
    free = len(counts) - 1
    scale = (df - free - 1) / df if df else 0.0
    if scale <= 0 or subjects <= 5 or np.linalg.matrix_rank(covariance) < len(counts):
        return _unknown(counts, f"{subjects} subjects are too few, or too alike, for {len(counts)} numbers of corpora")
    n = np.asarray(counts, np.float64)
    names = ("flat", "linear", "saturating")[: 3 if len(counts) >= MIN_SATURATING else 2]
    fits = {name: _fit(name, n, means, covariance, scale) for name in names}
    without = {name: _fit(name, n[:-1], means[:-1], covariance[:-1, :-1], scale) for name in names}
    misfit = {name: float(one.misfit.min()) for name, one in fits.items()}
    aicc = {name: misfit[name] + _penalty(one.parameters, subjects) for name, one in fits.items()}
    held_out = {name: float(one.at(n[-1:])[0] - means[-1]) for name, one in without.items()}
    exponent = remaining = None
    if "saturating" in fits:
        limit = float(student.ppf(1 - ALPHA / 2, df - free) ** 2)
        exponent, remaining = _profiles(fits["saturating"], float(n[-1]), limit)
    shape, reason = _verdict(aicc, misfit, held_out, exponent, len(counts))
    return Curve(
        shape=shape,
        reason=reason,
        counts=tuple(counts),
        means=tuple(map(float, means)),
        aicc=aicc,
        fitted={name: tuple(map(float, one.at(n))) for name, one in fits.items()},
        held_out=held_out,
        exponent=exponent,
        remaining=remaining,
    )


@dataclass(frozen=True)
class _Fit:
    """Least squares of one shape; leading axis: exponents tried (one for the shapes without)."""

    name: str
    coefficients: Float
    spread: Float
    """Variance of the last coefficient."""
    misfit: Float

    @property
    def best(self) -> int:
        """Place of the exponent that fits best."""
        return int(self.misfit.argmin())

    @property
    def parameters(self) -> int:
        return {"flat": 1, "linear": 2, "saturating": 3}[self.name]

    def at(self, n: Float) -> Float:
        """Fitted values."""
        found: Float = _columns(self.name, n)[self.best] @ self.coefficients[self.best]
        return found


def _columns(name: str, n: Float) -> Float:
    """Design matrices [exponents, n, coefficients]."""
    one = np.ones((1, len(n)))
    if name == "flat":
        return one[..., None]
    if name == "linear":
        return np.stack([one, n[None]], -1)
    return np.stack(np.broadcast_arrays(one, -(n ** -EXPONENTS[:, None])), -1)


def _fit(name: str, n: Float, means: Float, covariance: Float, scale: float) -> _Fit:
    """Generalised least squares: ordinary ones after whitening with the covariance over `scale`."""
    whiten = np.linalg.inv(np.linalg.cholesky(covariance / scale))
    columns, wanted = whiten @ _columns(name, n), whiten @ means
    spread = np.linalg.inv(np.swapaxes(columns, 1, 2) @ columns)
    coefficients = (spread @ (np.swapaxes(columns, 1, 2) @ wanted)[..., None])[..., 0]
    rest: Float = wanted - (columns @ coefficients[..., None])[..., 0]
    last: Float = np.asarray(spread[:, -1, -1], np.float64)
    return _Fit(name, coefficients, last, np.square(rest).sum(-1))


def _penalty(parameters: int, observations: int) -> float:
    return 2 * parameters + 2 * parameters * (parameters + 1) / (observations - parameters - 1)


def _profiles(law: _Fit, largest: float, limit: float) -> tuple[Profile, Profile]:
    """Exponent, and remaining gain b n^-c at the largest n; `limit`: misfit above the least that is still inside."""
    excess = law.misfit - law.misfit.min()
    inside = excess <= limit
    low = 0.0 if inside[0] else float(EXPONENTS[inside][0])
    high = np.inf if inside[-1] else float(EXPONENTS[inside][-1])
    at_end = largest**-EXPONENTS
    gains = law.coefficients[:, 1] * at_end
    half = (np.sqrt(law.spread) * at_end)[inside] * np.sqrt(limit - excess[inside])
    remaining = Profile(
        float(gains[law.best]), float((gains[inside] - half).min()), float((gains[inside] + half).max())
    )
    return Profile(float(EXPONENTS[law.best]), low, high), remaining


def _verdict(
    aicc: dict[str, float], misfit: dict[str, float], held_out: dict[str, float], exponent: Profile | None, counts: int
) -> tuple[Shape, str]:
    ahead = aicc["flat"] - min(value for name, value in aicc.items() if name != "flat")
    if ahead < MARGIN:
        return "no trend", f"AICc of a flat line within {MARGIN:.0f} of the best"
    if exponent is None:
        return (
            "not identifiable",
            f"a trend, but {counts} numbers of corpora, {MIN_SATURATING} needed to tell a line from a law",
        )
    lead = aicc["linear"] - aicc["saturating"]
    nearer = abs(held_out["saturating"]) < abs(held_out["linear"])
    if lead <= -MARGIN and not nearer and misfit["linear"] < misfit["saturating"]:
        return "linear", f"AICc {-lead:.1f} below the power law, nearer to the means and to the largest number held out"
    closed = exponent.low > 0 and np.isfinite(exponent.high)
    if lead >= MARGIN and nearer and closed and abs(held_out["saturating"]) < abs(held_out["flat"]):
        return "saturating", f"AICc {lead:.1f} below a line, largest number predicted better"
    faults = [f"AICc of line and power law within {MARGIN:.0f}"] if abs(lead) < MARGIN else []
    faults += ["the exponent's interval is open"] if lead > -MARGIN and not closed else []
    faults += ["a law that is nearly a line is as near"] if lead <= -MARGIN else []
    faults += [] if nearer == (lead > 0) else ["the largest number, held out, is predicted better by the other"]
    return "not identifiable", "a trend, but " + ", ".join(faults or ["a flat line predicts the largest number better"])


def _unknown(counts: Sequence[int], reason: str) -> Curve:
    return Curve("not identifiable", reason, tuple(counts), (), {}, {}, {})
