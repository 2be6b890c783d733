"""Scaling of a study over its corpora, once for every setting of its other factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mdjpt_platform.errors import BadInput
from mdjpt_platform.report.study.headline import Headline, rows_of
from mdjpt_platform.study.interval import Estimate, Float, counted
from mdjpt_platform.study.run import Study
from mdjpt_platform.study.scaling import Scaling, scaling
from mdjpt_platform.study.scores import named
from mdjpt_platform.study.shapley import CorpusValue, shapley
from mdjpt_platform.study.subsets import Cells, Subset, Subsets, Weigh, of_size, subsets_of

MOST_SETTINGS = 6


@dataclass(frozen=True)
class Combination:
    """One set of corpora that encoders were pre-trained on."""

    sources: Subset
    mean: Estimate


@dataclass(frozen=True)
class Growth:
    """What one setting says of scaling; without `scaling` there are points alone."""

    setting: str
    """Empty where nothing but the sources varies."""
    points: pd.DataFrame
    """target, sources, count, seed, score."""
    corpora: tuple[str, ...]
    scaling: Scaling | None
    combinations: tuple[Combination, ...]
    values: tuple[CorpusValue, ...]
    subjects: dict[str, Float]
    """Target -> [subjects, 2]: the smallest number of corpora (means over its subsets), and the largest."""
    ends: tuple[int, int] | None
    """Those two numbers."""
    notes: tuple[str, ...]


def varies(study: Study) -> bool:
    """Whether some target was learned for from more than one set of corpora."""
    seen: dict[str, set[tuple[str, ...]]] = {}
    for cell in study.cells:
        seen.setdefault(cell.run.targets[0], set()).add(tuple(cell.place["sources"]))
    return any(len(some) > 1 for some in seen.values())


def growths(table: pd.DataFrame, head: Headline, others: Sequence[str]) -> tuple[list[Growth], list[str]]:
    """A growth for each setting of the factors `others`; notes say what was left out."""
    rows, control = rows_of(table, head), rows_of(table, head, "random")
    if not others:
        return [growth("", rows, control)], []
    settings = rows[list(others)].drop_duplicates()
    found = []
    for place in range(min(len(settings), MOST_SETTINGS)):
        setting = settings.iloc[place]
        name = ", ".join(f"{key} {named(value)}" for key, value in setting.items())
        parts = [part[(part[list(others)] == setting).all(axis=1)] for part in (rows, control)]
        found.append(growth(name, *parts))
    more = len(settings) - len(found)
    return found, [f"{counted(more, 'setting')} more are in the table of scores alone"] if more > 0 else []


def growth(setting: str, rows: pd.DataFrame, control: pd.DataFrame) -> Growth:
    """The statistics of one setting; where they refuse, the points and the reason."""
    points = _points(rows)
    corpora = tuple(sorted({name for one in points["sources"] for name in one}))
    bare = Growth(setting, points, corpora, None, (), (), {}, None, ())
    try:
        design = subsets_of(rows, control=control if len(control) else None)
        found = scaling(design, complete=False)
    except BadInput as error:
        return replace(bare, notes=(f"no statistics: {error}",))
    notes = list(found.notes)
    values: tuple[CorpusValue, ...] = ()
    try:
        values = shapley(design)
    except BadInput:
        notes.append("no value by corpus (Shapley): it takes every subset of two corpora or more, each finished")
    trained = [one.count for one in found.means if one.count]
    ends = (trained[0], trained[-1]) if len(trained) > 1 else None
    return replace(
        bare,
        scaling=found,
        combinations=tuple(Combination(one, design.estimate(_only(one))) for one in _every(design)),
        values=values,
        subjects=_paired(design, ends) if ends else {},
        ends=ends,
        notes=tuple(notes),
    )


def _points(rows: pd.DataFrame) -> pd.DataFrame:
    found = rows.groupby(["target", "sources", "seed"], as_index=False)["score"].mean()
    sets = [frozenset(text.split()) for text in found["sources"]]
    return found.assign(sources=sets, count=[len(one) for one in sets])


def _every(design: Subsets) -> list[Subset]:
    found = set().union(*design.cells.values())
    return sorted(found, key=lambda one: (len(one), sorted(one)))


def _only(subset: Subset) -> Weigh:
    """The score of one subset; targets without it are left out."""

    def weigh(cells: Cells) -> Float | None:
        return np.array([cell == subset for cell in cells], np.float64) if subset in cells else None

    return weigh


def _paired(design: Subsets, ends: tuple[int, int]) -> dict[str, Float]:
    small, large = (design.weighed(of_size(count)) for count in ends)
    return {target: np.stack([small[target].mean(1), large[target].mean(1)], -1) for target in small if target in large}
