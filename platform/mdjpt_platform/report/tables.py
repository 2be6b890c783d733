"""The numbers of a page as rows of text; the same rows serve the HTML and the terminal. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from mdjpt_platform.report.inputs import CorpusInfo, TargetLike
from mdjpt_platform.report.wording import (
    AGREEMENT,
    LDS,
    MAIN,
    METHODS,
    METRICS,
    NONE,
    READOUTS,
    gap,
    interval,
    lds_name,
    method_name,
    metric_name,
    number,
    ordered,
    p_value,
    pseudonyms,
    readout_name,
    score,
)


@dataclass(frozen=True)
class Cell:
    """A score and what it means beside chance."""

    value: str
    interval: str
    against_chance: str
    """'above', 'below' or 'level': the interval lies above, below or across the chance level; '' if unknown."""
    best: bool = False


@dataclass(frozen=True)
class ResultRow:
    """One read-out with one smoothing, all methods."""

    readout: str
    lds: str
    cells: tuple[Cell | None, ...]
    chance: str
    subjects: str
    first: bool
    """Whether the read-out changes here."""


@dataclass(frozen=True)
class ResultTable:
    """Scores of one metric on one target."""

    metric: str
    unit: str
    """` in %`, or nothing for an agreement."""
    pooled: bool
    """Whether the trials of all subjects were taken as one, instead of a mean over subjects."""
    methods: tuple[str, ...]
    rows: tuple[ResultRow, ...]


def metrics_of(scores: pd.DataFrame | None) -> list[str]:
    """Metrics in a score table, the headline first: accuracy, or balanced accuracy where classes are unequal."""
    if scores is None or scores.empty:
        return []
    found = ordered(scores["metric"], METRICS)
    chance = scores.groupby("metric")["chance"].mean()
    if {"accuracy", "balanced_accuracy"} <= set(found) and chance["accuracy"] > chance["balanced_accuracy"] + 0.01:
        found.remove("balanced_accuracy")
        found.insert(0, "balanced_accuracy")
    return found


def headlines(scores: pd.DataFrame | None) -> list[str]:
    """Metrics that a page speaks of: the first of all, then the concordance of either coordinate."""
    metrics = metrics_of(scores)
    return metrics[:1] + [name for name in ("valence_ccc", "arousal_ccc") if name in metrics[1:]]


def result_table(scores: pd.DataFrame, metric: str) -> ResultTable:
    """Rows by read-out and smoothing, columns by method; the best known value of a row is marked."""
    part = scores[scores["metric"] == metric]
    methods = ordered(part["method"], METHODS)
    rows: list[ResultRow] = []
    for readout in ordered(part["readout"], READOUTS):
        for lds in ordered(part.loc[part["readout"] == readout, "lds"].astype(str), LDS):
            here = part[(part["readout"] == readout) & (part["lds"].astype(str) == lds)]
            best = here["value"].max() if len(here) > 1 else math.nan
            found = {str(row["method"]): row for _, row in here.iterrows()}
            cells = tuple(cell(found[m], metric, best) if m in found else None for m in methods)
            first = not rows or rows[-1].readout != readout_name(readout)
            people = sorted({int(n) for n in here["n_subjects"].dropna()})
            rows.append(
                ResultRow(
                    readout_name(readout),
                    lds_name(lds),
                    cells,
                    score(float(here["chance"].iloc[0]), metric),
                    "–".join(dict.fromkeys(f"{n}" for n in (people[0], people[-1]))) if people else NONE,
                    first,
                )
            )
    unit = "" if metric in AGREEMENT else " in %"
    names = tuple(method_name(m) for m in methods)
    return ResultTable(metric_name(metric), unit, metric.endswith("_pooled"), names, tuple(rows))


def cell(row: pd.Series, metric: str, best: float = math.nan) -> Cell:
    """A row of the score table as a cell."""
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    return Cell(score(value, metric), interval(low, high, metric), against_chance(row), value == best)


def against_chance(row: pd.Series) -> str:
    """'above', 'below', 'level', or '' where a bound is not known.

    The interval must leave chance out, and the score the band of those who guess (chance_low, chance_high) where the
    table has one: few subjects who err alike make an interval narrow.
    """
    value, low, high, chance = (float(row[name]) for name in ("value", "low", "high", "chance"))
    if not all(map(math.isfinite, (low, high, chance))):
        return ""
    least, most = float(row.get("chance_low", math.nan)), float(row.get("chance_high", math.nan))
    if low > chance and not value <= most:
        return "above"
    return "below" if high < chance and not value >= least else "level"


def test_rows(tests: pd.DataFrame | None, metric: str) -> list[tuple[str, ...]]:
    """Paired comparisons: read-out, smoothing, pair, difference (`wording.gap`), effect, p, p after Holm."""
    if tests is None or tests.empty:
        return []
    part = tests[tests["metric"] == metric] if "metric" in tests else tests
    rank = [
        ordered(part.get(column, ()), known)
        for column, known in (("readout", READOUTS), ("lds", LDS), ("control", METHODS))
    ]
    rows: list[tuple[str, ...]] = []
    places = [
        [
            r.index(str(row.get(c))) if str(row.get(c)) in r else 0
            for r, c in zip(rank, ("readout", "lds", "control"), strict=True)
        ]
        for _, row in part.iterrows()
    ]
    for _, row in part.iloc[sorted(range(len(part)), key=places.__getitem__)].iterrows():
        p, corrected = p_of(row)
        rows.append(
            (
                readout_name(str(row.get("readout", NONE))),
                lds_name(str(row.get("lds", NONE))),
                f"{method_name(str(row['method']))} – {method_name(str(row['control']))}",
                gap(float(row.get("difference", math.nan)), metric),
                number(float(row.get("effect", math.nan))),
                p_value(p),
                p_value(corrected),
            )
        )
    return rows


def p_of(row: pd.Series) -> tuple[float, float]:
    """p and Holm-corrected p of a comparison: the permutation test where it is there, else Wilcoxon, else `p`."""
    for raw, corrected in (("p_permutation", "permutation_holm"), ("p_wilcoxon", "wilcoxon_holm"), ("p", "p_holm")):
        if corrected in row and row[corrected] is not None:
            return float(row.get(raw, math.nan)), float(row[corrected])
    return math.nan, math.nan


def subject_rows(target: TargetLike, metric: str, readout: str, lds: str) -> tuple[list[str], list[list[str]]]:
    """Scores by pseudonymous subject, a column a method; empty if there are none."""
    table = target.subjects
    if table is None or table.empty:
        return [], []
    part = table[(table["metric"] == metric) & (table["readout"] == readout) & (table["lds"].astype(str) == lds)]
    methods = ordered(part["method"], METHODS)
    if not methods:
        return [], []
    names = pseudonyms(table["subject"])
    wide = part.assign(subject=part["subject"].astype(str).map(names)).pivot_table(
        index="subject", columns="method", values="value", aggfunc="mean"
    )
    rows = [
        [str(who), *(score(float(wide.loc[who].get(m, math.nan)), metric) for m in methods)]
        for who in sorted(wide.index)
    ]
    return [method_name(m) for m in methods], rows


def corpus_rows(corpora: Sequence[CorpusInfo]) -> list[tuple[str, ...]]:
    """Name, layout, role, subjects, recordings, trials, hours, channels, rate, recordings left out."""
    return [
        (
            c.name,
            c.layout,
            c.role or NONE,
            str(c.subjects),
            str(c.sessions),
            str(c.trials),
            f"{c.hours:.2f}",
            str(len(c.channels)),
            f"{c.rate:g}",
            str(len(c.failed)),
        )
        for c in corpora
    ]


def headline_keys(scores: pd.DataFrame, metric: str) -> list[tuple[str, str]]:
    """(read-out, smoothing) pairs the summary speaks about: every read-out, without smoothing where possible."""
    part = scores[(scores["metric"] == metric) & (scores["method"] == MAIN)]
    found = []
    for readout in ordered(part["readout"], READOUTS):
        kinds = ordered(part.loc[part["readout"] == readout, "lds"].astype(str), LDS)
        found.append((readout, kinds[0]))
    return found
