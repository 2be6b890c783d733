"""How the score changes with the number of corpora: means by number, and the gain of one corpus more."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mdjpt_platform.evaluate.metrics import holm
from mdjpt_platform.study.curve import Curve, curve_of
from mdjpt_platform.study.interval import ALPHA, Estimate, Float, points
from mdjpt_platform.study.subsets import Cells, Subsets, Weigh, of_size


@dataclass(frozen=True)
class CountMean:
    """Mean score of all subsets of one size."""

    count: int
    """0: the untrained encoder."""
    mean: Estimate
    subsets: int
    """Different subsets over all targets."""


@dataclass(frozen=True)
class Gain:
    """What one corpus more brings: mean over the pairs S, S + {c}, paired by subject and seed."""

    before: int | None
    """Corpora before; None: all steps from one corpus up, every pair weighing the same."""
    gain: Estimate
    pairs: int
    """Over all targets."""
    p_holm: float
    """Over the steps of the study; the mean over all steps stands alone."""

    def sentence(self) -> str:
        """The result in plain words."""
        if self.before is None:
            step = "One corpus more"
        elif self.before == 0:
            step = "The first corpus, against the untrained encoder,"
        else:
            step = f"Corpus {self.before + 1} after {self.before}"
        basis = f"{points(self.gain.value)} points, {self.gain.interval()}, {self.gain.basis()}"
        if not self.p_holm <= ALPHA:
            return f"{step.removesuffix(',')}: no change of the score shown ({basis}{self.gain.lost_to(self.p_holm)})."
        return f"{step} {'raises' if self.gain.value > 0 else 'lowers'} the score: {basis}."


@dataclass(frozen=True)
class Scaling:
    """How a study scales with the number of its corpora."""

    means: tuple[CountMean, ...]
    steps: tuple[Gain, ...]
    overall: Gain | None
    """None where no target has a pair of one corpus and two."""
    curve: Curve
    combinations: pd.DataFrame
    """target, sources, count, score: every combination as a point, mean over subjects and seeds."""
    notes: tuple[str, ...]

    def sentence(self) -> str:
        """The result in plain words."""
        return " ".join([*([self.overall.sentence()] if self.overall else []), self.curve.sentence()])


def scaling(design: Subsets, complete: bool = True, drawn_targets: bool = False) -> Scaling:
    """Means by number of corpora, gains and the curve.

    `complete=False` takes a design without all subsets, and notes it: its numbers of corpora differ in the choice of
    corpora too, and gains use the pairs that are there. Numbers that some target does not reach are left out, for
    their mean would be one over other targets. Raises BadInput: a subset lacks that `complete` asks for (named).
    """
    notes = list(design.notes)
    if complete:
        design.require_all("scaling")
    elif design.lacking():
        short = sum(map(len, design.lacking().values()))
        notes.append(f"{short} of the subsets were not run: numbers of corpora differ in their choice too")
    sizes = [{len(cell) for cell in cells} for cells in design.cells.values()]
    counts = sorted(set.intersection(*sizes))
    beyond = sorted(set.union(*sizes) - set(counts))
    if beyond:
        notes.append(f"numbers of corpora left out, as not every target has them: {', '.join(map(str, beyond))}")
    distinct = set().union(*design.cells.values())
    means = [
        CountMean(count, design.estimate(of_size(count), drawn_targets), sum(len(cell) == count for cell in distinct))
        for count in counts
    ]
    steps = [_gain(design, before, drawn_targets) for before in counts if before + 1 in counts]
    found = [step for step in steps if step is not None]
    adjusted = holm(pd.Series([step.gain.p for step in found], dtype=np.float64))
    return Scaling(
        means=tuple(means),
        steps=tuple(replace(step, p_holm=float(p)) for step, p in zip(found, adjusted, strict=True)),
        overall=_gain(design, None, drawn_targets),
        curve=curve_of(design, [count for count in counts if count > 0]),
        combinations=_combinations(design),
        notes=tuple(notes),
    )


def pairs(cells: Cells, before: int | None) -> list[tuple[int, int]]:
    """Places of S and S + {c}, for |S| = `before`, or from one corpus up."""
    found = []
    for place, cell in enumerate(cells):
        if len(cell) == before or (before is None and cell):
            found += [(place, other) for other, more in enumerate(cells) if len(more) == len(cell) + 1 and cell < more]
    return found


def step(before: int | None) -> Weigh:
    """Mean of score(S + {c}) - score(S) over `pairs`."""

    def weigh(cells: Cells) -> Float | None:
        found = pairs(cells, before)
        weights = np.zeros(len(cells))
        for small, large in found:
            weights[small] -= 1 / len(found)
            weights[large] += 1 / len(found)
        return weights if found else None

    return weigh


def _gain(design: Subsets, before: int | None, drawn_targets: bool) -> Gain | None:
    number = sum(len(pairs(cells, before)) for cells in design.cells.values())
    if not number:
        return None
    gain = design.estimate(step(before), drawn_targets)
    return Gain(before, gain, number, gain.p)


def _combinations(design: Subsets) -> pd.DataFrame:
    rows = [
        {"target": target, "sources": tuple(sorted(cell)), "count": len(cell), "score": float(score)}
        for target, cells in design.cells.items()
        for cell, score in zip(cells, design.values[target].mean((0, 1)), strict=True)
    ]
    return pd.DataFrame(rows, columns=["target", "sources", "count", "score"])
