"""The statistics of a study as rows of text."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from mdjpt_platform.report.study.contrasts import Contrast
from mdjpt_platform.report.study.growth import Growth
from mdjpt_platform.report.study.headline import Headline
from mdjpt_platform.report.wording import (
    LDS,
    MAIN,
    METHODS,
    METRICS,
    NONE,
    READOUTS,
    interval,
    lds_name,
    method_name,
    metric_name,
    number,
    ordered,
    p_value,
    percent,
    readout_name,
    score,
)
from mdjpt_platform.study.interval import ALPHA, Estimate
from mdjpt_platform.study.scores import named

MOST_LEVELS = 12
"""Columns of the table of other scores."""


@dataclass(frozen=True)
class Table:
    """A table of text; the first columns name, the others count."""

    header: list[str]
    rows: list[list[str]]


def _points(one: Estimate) -> list[str]:
    low, high = (number(100 * value, 1) for value in (one.low, one.high))
    return [number(100 * one.value, 1), f"[{low}, {high}]"]


def _score(one: Estimate) -> list[str]:
    return [percent(one.value), interval(one.low, one.high)]


def _shown(p: float) -> str:
    return "yes" if p <= ALPHA else "no" if math.isfinite(p) else "not tested"


def mean_rows(growth: Growth) -> list[list[str]]:
    """Corpora, mean, interval, combinations, by number."""
    means = growth.scaling.means if growth.scaling else ()
    return [[f"{one.count}" if one.count else "0 (untrained)", *_score(one.mean), f"{one.subsets}"] for one in means]


def gain_rows(growth: Growth) -> list[list[str]]:
    """Step, gain, interval, pairs, p after Holm, whether it is shown."""
    if growth.scaling is None:
        return []
    steps = [(f"{one.before} → {(one.before or 0) + 1}", one) for one in growth.scaling.steps]
    if growth.scaling.overall is not None:
        steps.append(("one more, mean", growth.scaling.overall))
    return [[name, *_points(g.gain), f"{g.pairs}", p_value(g.p_holm), _shown(g.p_holm)] for name, g in steps]


def value_rows(growth: Growth) -> list[list[str]]:
    """Corpus, Shapley value, interval, p after Holm."""
    return [[one.corpus, *_points(one.value), p_value(one.p_holm)] for one in growth.values]


def combination_rows(growth: Growth) -> list[list[str]]:
    """Combination, corpora, mean, interval, trainings; without statistics the mean of the points."""
    trained = growth.points.groupby("sources")["score"].agg(["mean", "count"])
    if growth.combinations:
        return [
            [
                named(one.sources),
                f"{len(one.sources)}",
                *_score(one.mean),
                f"{int(trained['count'].get(one.sources, 0))}" if one.sources else NONE,
            ]
            for one in growth.combinations
        ]
    sets = sorted(trained.index, key=lambda one: (len(one), sorted(one)))
    return [
        [named(one), f"{len(one)}", percent(float(trained["mean"][one])), NONE, f"{int(trained['count'][one])}"]
        for one in sets
    ]


def comparison_rows(contrast: Contrast) -> list[list[str]]:
    """Level, difference, interval, subjects, targets, seeds, p over subjects, p, p after Holm, d_z, rank-biserial."""
    return [
        [
            one.arm,
            *_points(one.difference),
            *(f"{count}" for count in (one.difference.subjects, one.difference.targets, one.difference.seeds)),
            *(p_value(p) for p in (one.p_subjects, one.p, one.p_holm)),
            number(one.dz),
            number(one.rank_biserial),
        ]
        for one in contrast.family
    ]


def target_rows(contrast: Contrast) -> list[list[str]]:
    """Level, target, difference, interval, subjects, p (not corrected), d_z, rank-biserial; none for one target."""
    return [
        [
            pairing.comparison.arm,
            one.target,
            *_points(pairing.by_target[one.target]),
            f"{one.subjects}",
            p_value(one.p),
            number(one.dz),
            number(one.rank_biserial),
        ]
        for pairing in contrast.pairings
        for one in pairing.comparison.by_target
        if len(pairing.by_target) > 1
    ]


def sweep_rows(means: pd.DataFrame, head: Headline) -> list[list[str]]:
    """Target, chance, then a score a condition."""
    wide = means.pivot_table(index="target", columns="condition", values="score")
    conditions = list(dict.fromkeys(means["condition"]))
    return [
        [str(target), percent(head.chance.get(str(target), math.nan))]
        + [percent(float(wide[name].get(target, math.nan))) for name in conditions]
        for target in wide.index
    ]


def other_scores(table: pd.DataFrame, column: str) -> Table:
    """Every metric, read-out and smoothing: means over cells of each value of a column. Descriptive."""
    part = table if column == "method" else table[table["method"] == MAIN]
    levels = list(dict.fromkeys(part[column])) if column != "n_sources" else sorted(part[column].unique())
    if column == "method":
        levels = ordered(levels, METHODS)
    keys = ["metric", "readout", "lds", column]
    by_cell = part.groupby([*keys, "cell"], sort=False)["value"].mean()
    means = by_cell.groupby(keys, sort=False).mean()
    names = [method_name(one) if column == "method" else f"{named(one)}" for one in levels[:MOST_LEVELS]]
    if column == "n_sources":
        names = [f"{name} corp{'us' if name == '1' else 'ora'}" for name in names]
    found = []
    for metric in ordered(part["metric"], METRICS):
        for readout in ordered(part["readout"], READOUTS):
            for lds in ordered(part["lds"], LDS):
                values = [float(means.get((metric, readout, lds, level), math.nan)) for level in levels[:MOST_LEVELS]]
                if any(map(math.isfinite, values)):
                    shown = [score(value, metric) for value in values]
                    found.append([metric_name(metric), readout_name(readout), lds_name(lds), *shown])
    return Table(["score", "read-out", "smoothing", *names], found)
