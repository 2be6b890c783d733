"""Which score a study is read by, chosen from the design and never from the results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from mdjpt_platform.report.tables import metrics_of
from mdjpt_platform.report.wording import LDS, MAIN, METRICS, READOUTS, ordered
from mdjpt_platform.study.ledger import Entry
from mdjpt_platform.study.scores import one_score

UNEQUAL = "balanced_accuracy"


@dataclass(frozen=True)
class Headline:
    """Metric, read-out and smoothing that the page speaks of."""

    metric: str
    readout: str
    lds: str
    why: str
    chance: Mapping[str, float]
    """What guessing gives, by target; targets of which it is not known are absent."""

    def level(self, targets: Iterable[str]) -> float:
        """Mean chance over targets; NaN where one is not known."""
        levels = [self.chance.get(target, math.nan) for target in targets]
        return sum(levels) / len(levels) if levels else math.nan


def headline(table: pd.DataFrame, entries: Iterable[Entry]) -> Headline:
    """First read-out and smoothing, in the order of all pages, that the most cells have; a metric that suits them."""
    main = table[table["method"] == MAIN]
    readout = _commonest(main, "readout", READOUTS)
    main = main[main["readout"] == readout]
    lds = _commonest(main, "lds", LDS)
    levels = _levels(entries, readout)
    metric, why = _metric(main, levels)
    known = levels[levels["metric"] == metric] if len(levels) else levels
    chance = {str(target): float(part["chance"].mean()) for target, part in known.groupby("target")}
    return Headline(metric, readout, lds, why, chance)


def rows_of(table: pd.DataFrame, head: Headline, method: str = MAIN) -> pd.DataFrame:
    """The headline's scores of one method (`scores.one_score`); empty if there are none."""
    if method not in set(table["method"]):
        return pd.DataFrame(columns=[*table.columns, "score"])
    plain = table.drop(columns="code", errors="ignore")  # else splits of unlike code would count as two scores
    return one_score(plain, head.metric, head.readout, head.lds, method)


def _commonest(table: pd.DataFrame, column: str, known: Mapping[str, str]) -> str:
    cells = table.groupby(table[column].astype(str))["cell"].nunique()
    found = ordered(cells.index, known)
    return max(found, key=lambda name: int(cells[name]))  # the first of equals


def _levels(entries: Iterable[Entry], readout: str) -> pd.DataFrame:
    """Columns target, metric, chance; a row a finished cell and metric."""
    rows = [
        {"target": entry.place["target"], "metric": metric, "chance": level}
        for entry in entries
        for metric, level in entry.chance.get(readout, {}).items()
        if entry.state == "done"
    ]
    return pd.DataFrame(rows, columns=["target", "metric", "chance"])


def _metric(table: pd.DataFrame, levels: pd.DataFrame) -> tuple[str, str]:
    there = ordered(table["metric"], METRICS)
    if levels.empty:
        if UNEQUAL in there:
            return UNEQUAL, "whether classes are equal is not recorded"
        return there[0], "the only one there" if len(there) == 1 else "the first one there"
    unequal = [str(name) for name, part in levels.groupby("target") if metrics_of(part)[0] == UNEQUAL]
    if unequal and UNEQUAL in there:
        return UNEQUAL, f"classes are unequal in {', '.join(unequal)}"
    return there[0], "classes are equal" if there[0] == "accuracy" else "the first one there"
