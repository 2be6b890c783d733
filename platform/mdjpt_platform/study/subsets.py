"""A design of pre-training corpora: the scores of every subset, and weighted sums of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from mdjpt_platform.errors import BadInput
from mdjpt_platform.study.interval import Estimate, Float, estimate
from mdjpt_platform.study.scores import KEY, TABLE, named, scores_of

Subset = frozenset[str]
Cells = tuple[Subset, ...]
Weigh = Callable[[Cells], Float | None]
"""Cells of a target -> a weight for each; None leaves the target out."""
EMPTY: Subset = frozenset()


@dataclass(frozen=True)
class Subsets:
    """Scores of each target after pre-training on subsets of its pool of corpora."""

    cells: dict[str, Cells]
    """Target -> the subsets that were run, smallest first; the empty one is the untrained encoder."""
    values: dict[str, Float]
    """Target -> [subjects, seeds, cells]."""
    seeds: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def has_empty(self) -> bool:
        """Whether every target has the untrained encoder."""
        return all(EMPTY in cells for cells in self.cells.values())

    @property
    def corpora(self) -> list[str]:
        """All corpora of all targets."""
        return sorted({name for cells in self.cells.values() for cell in cells for name in cell})

    def weighed(self, weigh: Weigh) -> dict[str, Float]:
        """Weighted sums of scores by target, [subjects, seeds]."""
        weights = {target: weigh(cells) for target, cells in self.cells.items()}
        return {target: self.values[target] @ weight for target, weight in weights.items() if weight is not None}

    def estimate(self, weigh: Weigh, drawn_targets: bool = False) -> Estimate:
        """Mean of `weighed` over subjects, seeds and targets."""
        return estimate(list(self.weighed(weigh).values()), drawn_targets)

    def lacking(self) -> dict[str, list[Subset]]:
        """Target -> subsets of its pool (but the empty one) that were not run."""
        missing = {t: [one for one in subsets(pool(cells)) if one not in cells] for t, cells in self.cells.items()}
        return {target: found for target, found in missing.items() if found}

    def require_all(self, purpose: str) -> None:
        """Raises BadInput that names the subsets which the design lacks."""
        lacking = self.lacking()
        if lacking:
            names = "; ".join(f"{target}: {', '.join(map(named, found))}" for target, found in lacking.items())
            raise BadInput(TABLE, f"subsets for {purpose}", f"none for {names}", "all subsets of the corpora")


def subsets_of(table: pd.DataFrame, axis: str = "sources", control: pd.DataFrame | None = None) -> Subsets:
    """Arrange a study over corpora; the pool of a target is every corpus that one of its cells was trained on.

    `table`: scores.one_score of the study, `axis` a column of collections of names, or of names with spaces between.
    `control`: the same of the
    untrained encoder (method `random`), which is the empty subset; its rows may repeat from cell to cell (averaged).
    Raises BadInput: what scores.scores_of refuses, no trained cell, a control for some targets alone.
    """
    if axis not in table or table.empty:
        raise BadInput(TABLE, axis, f"{len(table)} rows of {', '.join(table)}", "rows with a column of corpus names")
    rows = table.assign(**{axis: table[axis].map(lambda one: frozenset(one.split() if isinstance(one, str) else one))})
    if control is not None:
        untrained = control.groupby(list(KEY), as_index=False)["score"].mean()
        untrained[axis] = [EMPTY] * len(untrained)
        rows = pd.concat([rows[[*KEY, axis, "score"]], untrained], ignore_index=True)
    there = {str(target): set(part[axis]) for target, part in rows.groupby("target", sort=True)}
    trained = {target: found for target, found in there.items() if found - {EMPTY}}
    if not trained:
        raise BadInput(TABLE, axis, "empty sets", "corpora that a cell was trained on")
    cells = {target: tuple(sorted(found, key=lambda one: (len(one), sorted(one)))) for target, found in trained.items()}
    alone = [target for target, found in trained.items() if control is not None and EMPTY not in found]
    if alone:
        raise BadInput(
            TABLE, "untrained encoder", f"none for {', '.join(alone)}", "one for every target, or none at all"
        )
    scores = scores_of(rows, axis, cells)
    return Subsets({t: cells[t] for t in scores.values}, scores.values, scores.seeds, scores.notes)


def pool(cells: Cells) -> Subset:
    """Every corpus of some subsets."""
    return frozenset[str]().union(*cells)


def subsets(names: Subset) -> list[Subset]:
    """All subsets but the empty one, smallest first."""
    return [frozenset(one) for size in range(1, len(names) + 1) for one in combinations(sorted(names), size)]


def of_size(count: int) -> Weigh:
    """Mean over the subsets of one size."""

    def weigh(cells: Cells) -> Float | None:
        chosen = np.array([len(cell) == count for cell in cells], np.float64)
        return chosen / chosen.sum() if chosen.any() else None

    return weigh
