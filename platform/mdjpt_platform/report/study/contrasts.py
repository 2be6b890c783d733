"""Comparisons of a study: its arms, its axes, or its encoder with the controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mdjpt_platform.errors import BadInput
from mdjpt_platform.report.study.headline import Headline, rows_of
from mdjpt_platform.report.wording import MAIN, METHODS, method_name, ordered
from mdjpt_platform.study.comparison import Comparison, Family, compare
from mdjpt_platform.study.interval import Estimate, Float, counted, estimate
from mdjpt_platform.study.ledger import in_column
from mdjpt_platform.study.run import Study
from mdjpt_platform.study.scores import named, scores_of

FAMILIES = {"arm": "the arms", "method": "the controls"}
"""What is corrected together, as sentences call it; axes are called by their field."""


@dataclass(frozen=True)
class Pairing:
    """One comparison with what figures need of it."""

    comparison: Comparison
    by_target: dict[str, Estimate]
    """Difference on each target with its interval."""
    subjects: dict[str, Float]
    """Target -> [subjects, 2]: base and arm, mean over seeds."""


@dataclass(frozen=True)
class Contrast:
    """All levels of one factor against its first."""

    factor: str
    base: str
    pairings: tuple[Pairing, ...]
    notes: tuple[str, ...]
    """What was left out, or why there are no statistics."""
    means: pd.DataFrame
    """level, target, seed, score, subjects: the points, whether or not there are statistics."""

    @property
    def family(self) -> tuple[Comparison, ...]:
        """The comparisons, in the order of the levels."""
        return tuple(one.comparison for one in self.pairings)


def factors(study: Study) -> dict[str, list[Any]]:
    """Arm and axes that vary -> their values as the table has them, the first being what others are held against."""
    found: dict[str, list[Any]] = {}
    for name in ("arm", *study.config.axes):
        values = list(dict.fromkeys(in_column(cell.place[name]) for cell in study.cells))
        if len(values) > 1:
            found[name] = values
    return found


def contrasts(study: Study, table: pd.DataFrame, head: Headline, others: Sequence[str] = ()) -> list[Contrast]:
    """A contrast a factor; `others`: columns that vary beside the factors."""
    rows, varied = rows_of(table, head), factors(study)
    return [
        contrast(rows, name, levels, [*(one for one in varied if one != name), *others])
        for name, levels in varied.items()
    ]


def against_controls(table: pd.DataFrame, head: Headline, others: Sequence[str]) -> Contrast | None:
    """The controls against the pre-trained encoder; None if the study ran without."""
    methods = ordered(table["method"], METHODS)
    if len(methods) < 2 or MAIN not in methods:
        return None
    parts = [rows_of(table, head, method).assign(method=method_name(method)) for method in methods]
    rows = pd.concat([part for part in parts if len(part)], ignore_index=True)
    return contrast(rows, "method", [method_name(one) for one in methods], list(others))


def contrast(rows: pd.DataFrame, factor: str, levels: Sequence[Any], others: Sequence[str]) -> Contrast:
    """Compare the levels of a factor with the first; settings of `others` are averaged (`averaged`)."""
    mean, notes = averaged(rows, factor, others)
    points = _points(mean, factor, levels)
    base, there = levels[0], set(mean[factor])
    notes += [f"{named(level)}: no finished cell" for level in levels if level not in there]
    arms = [level for level in levels[1:] if level in there]
    if base not in there or not arms:
        why = f"no statistics: {named(base)}, which all are held against, has no finished cell"
        return Contrast(factor, named(base), (), (*notes, *([why] if base not in there else [])), points)
    try:
        family = compare(mean, factor, base, arms, family=FAMILIES.get(factor, f"the values of {factor}"))
        pairings = _pairings(mean, factor, base, arms, family)
    except BadInput as error:
        return Contrast(factor, named(base), (), (*notes, f"no statistics: {error}"), points)
    return Contrast(factor, named(base), pairings, (*notes, *family.left_out, *_said(family)), points)


def averaged(rows: pd.DataFrame, factor: str, others: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Mean over the settings of `others`; of a target and seed only those that every level of `factor` has."""
    if not others or rows.empty:
        return rows, []
    levels = rows[factor].nunique()
    whole = rows.groupby(["target", "seed", *others], dropna=False)[factor].transform("nunique") == levels
    kept = rows[whole]
    settings = kept[list(others)].drop_duplicates()
    notes = [f"mean over {counted(len(settings), 'setting')} of {', '.join(others)}"] if len(settings) > 1 else []
    lost = rows.loc[~whole, ["target", "seed", *others]].drop_duplicates()
    if len(lost):
        notes.append(f"{counted(len(lost), 'setting')} left out: not every level of {factor} has a finished cell there")
    keys = ["target", "subject", "seed", factor]
    scores = kept.groupby(keys, sort=False)["score"].agg(lambda values: values.mean(skipna=False))
    return scores.reset_index(), notes


def _said(family: Family) -> list[str]:
    """Notes of the comparisons: once where all share one, else with the level."""
    notes = [note for one in family.comparisons for note in one.notes]
    shared = [note for note in dict.fromkeys(notes) if notes.count(note) == len(family.comparisons)]
    own = [f"{one.arm}: {note}" for one in family.comparisons for note in one.notes if note not in shared]
    return shared + own


def _pairings(
    mean: pd.DataFrame, factor: str, base: Any, arms: Sequence[Any], family: Family
) -> tuple[Pairing, ...]:  # fmt: skip
    by_name = {one.arm: one for one in family.comparisons}
    found = []
    for arm in arms:
        if named(arm) not in by_name:
            continue
        there = {str(name): set(part[factor]) for name, part in mean.groupby("target", sort=True)}
        both = [name for name, levels in there.items() if {arm, base} <= levels]
        values = scores_of(mean, factor, dict.fromkeys(both, (base, arm))).values
        gaps = {target: estimate([block[..., 1] - block[..., 0]]) for target, block in values.items()}
        found.append(Pairing(by_name[named(arm)], gaps, {target: block.mean(1) for target, block in values.items()}))
    return tuple(found)


def _points(mean: pd.DataFrame, factor: str, levels: Sequence[Any]) -> pd.DataFrame:
    keys = [factor, "target", "seed"]
    found = mean.groupby(keys, as_index=False).agg(score=("score", "mean"), subjects=("subject", "nunique"))
    found = found.rename(columns={factor: "level"})
    order = {level: place for place, level in enumerate(levels)}
    return found.iloc[found["level"].map(order).argsort(kind="stable")].reset_index(drop=True)
