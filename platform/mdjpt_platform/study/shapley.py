"""What each corpus is worth: its Shapley value over all subsets of the corpora.

The value of corpus c is the mean of score(S + {c}) - score(S) over all orders in which the corpora could be added
(Shapley 1953). The values sum to the score with all corpora less that of the untrained encoder. Without an untrained
encoder only the differences between corpora are known: values are then given relative to their mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
import pandas as pd

from mdjpt_platform.evaluate.metrics import holm
from mdjpt_platform.study.interval import ALPHA, Estimate, Float, points
from mdjpt_platform.study.subsets import Cells, Subsets, Weigh, pool


@dataclass(frozen=True)
class CorpusValue:
    """Shapley value of one corpus, mean over the targets whose pool has it."""

    corpus: str
    value: Estimate
    p_holm: float
    """Over the corpora of the study."""
    relative: bool
    """Relative to the mean corpus, for want of an untrained encoder."""

    def sentence(self) -> str:
        """The result in plain words."""
        basis = f"{points(self.value.value)} points, {self.value.interval()}, {self.value.basis()}"
        against = " than the mean corpus" if self.relative else ""
        if not self.p_holm <= ALPHA:
            asked = "no difference from the mean corpus" if self.relative else "no contribution"
            return f"{self.corpus}: {asked} shown ({basis}{self.value.lost_to(self.p_holm)})."
        if self.relative:
            return f"{self.corpus} contributes {'more' if self.value.value > 0 else 'less'}{against}: {basis}."
        return f"{self.corpus} {'raises' if self.value.value > 0 else 'lowers'} the score: {basis}."


def shapley(design: Subsets, drawn_targets: bool = False) -> tuple[CorpusValue, ...]:
    """Value of every corpus, largest first. Raises BadInput: a subset lacks (named), or one corpus alone."""
    design.require_all("Shapley values")
    relative = not design.has_empty
    found = {name: design.estimate(share(name, relative), drawn_targets) for name in design.corpora}
    adjusted = holm(pd.Series([one.p for one in found.values()], dtype=np.float64))
    values = [
        CorpusValue(name, one, float(p), relative) for (name, one), p in zip(found.items(), adjusted, strict=True)
    ]
    return tuple(sorted(values, key=lambda one: -one.value.value))


def share(corpus: str, relative: bool) -> Weigh:
    """Weights whose sum of scores is the Shapley value of `corpus`; targets without it are left out."""

    def weigh(cells: Cells) -> Float | None:
        names = sorted(pool(cells))
        if corpus not in names:
            return None
        own = _weights(cells, corpus, len(names))
        if not relative:
            return own
        return own - np.mean([_weights(cells, name, len(names)) for name in names], 0)

    return weigh


def _weights(cells: Cells, corpus: str, size: int) -> Float:
    """|S|! (size - |S| - 1)! / size! for every S without `corpus`, less for S, more for S + {corpus}."""
    weights = [
        1 / (size * comb(size - 1, len(cell) - 1))
        if corpus in cell
        else -1 / (size * comb(size - 1, len(cell)))
        if len(cell) < size
        else 0.0
        for cell in cells
    ]
    return np.array(weights, np.float64)
