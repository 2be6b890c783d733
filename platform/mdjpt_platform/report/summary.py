"""What the numbers say, in sentences computed from them. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from mdjpt_platform.report.inputs import TargetLike
from mdjpt_platform.report.tables import against_chance, headline_keys, headlines, p_of
from mdjpt_platform.report.wording import (
    AGREEMENT,
    MAIN,
    METHODS,
    capital,
    gap,
    interval,
    lds_name,
    method_name,
    metric_name,
    ordered,
    p_value,
    readout_name,
    with_unit,
)

ALPHA = 0.05


@dataclass(frozen=True)
class Finding:
    """One sentence and how it turned out."""

    verdict: str
    """'good', 'open' or 'bad'."""
    about: str
    """Read-out and smoothing."""
    text: str


def findings(target: TargetLike) -> list[Finding]:
    """One finding a read-out and headline metric: its score beside chance, then the controls after Holm's correction.

    'good' takes an interval above chance and a significant win over every control, without leaks by design.
    """
    scores = target.scores
    if scores is None:
        return []
    found = []
    for metric, readout, lds in ((m, *key) for m in headlines(scores) for key in headline_keys(scores, m)):
        here = scores[
            (scores["metric"] == metric) & (scores["readout"] == readout) & (scores["lds"].astype(str) == lds)
        ]
        verdict, text = _against_chance(here[here["method"] == MAIN].iloc[0], metric)
        controls = ordered([method for method in here["method"] if method != MAIN], METHODS)
        compared = [_against_control(target.tests, metric, readout, lds, control) for control in controls]
        if verdict == "good" and (leaks_by_design(target) or any(word != "better" for word, _ in compared)):
            verdict = "open"
        rest = "; ".join(words for _, words in compared)
        found.append(
            Finding(
                verdict,
                f"{readout_name(readout)}, {lds_name(lds)}",
                f"{text} {capital(rest)}{'.' if rest else ''}".strip(),
            )
        )
    return found


def _against_chance(row: pd.Series, metric: str) -> tuple[str, str]:
    value, low, high, chance = (float(row[name]) for name in ("value", "low", "high", "chance"))
    if not math.isfinite(value):
        return "bad", "No score could be computed."
    verdict, meaning = {
        "above": ("good", "above chance ({}): the interval excludes it, and guessing does not reach the score."),
        "below": ("bad", "below chance ({}): look for swapped labels or a biased split."),
        "level": ("open", "not told apart from chance ({})."),
        "": ("open", "chance is {}, but without an interval nothing can be claimed."),
    }[against_chance(row)]
    name, value_in_words = metric_name(metric), with_unit(value, metric)
    words = f"{name} {value_in_words}" if metric in AGREEMENT else f"{value_in_words} {name}"
    return verdict, f"{words} {interval(low, high, metric)}, {meaning.format(with_unit(chance, metric))}"


def _against_control(tests: pd.DataFrame | None, metric: str, readout: str, lds: str, control: str) -> tuple[str, str]:
    """'better', 'worse' or 'open', and the words for it."""
    name = {"random": "the untrained encoder", "de": "differential entropy"}.get(control, method_name(control))
    if tests is not None and not tests.empty:
        here = tests["control"].astype(str) == control
        for column, wanted in (("metric", metric), ("readout", readout), ("lds", lds), ("method", MAIN)):
            if column in tests:
                here &= tests[column].astype(str) == wanted
        for _, row in tests[here].iterrows():
            p, difference = p_of(row)[1], float(row.get("difference", math.nan))
            if not math.isfinite(p):
                break
            unit = "" if metric in AGREEMENT else " points"
            proof = f"{gap(difference, metric)}{unit}, Holm p {'' if p < 0.001 else '= '}{p_value(p)}"
            if p < ALPHA:
                word = "better" if difference > 0 else "worse"
                return word, f"{word} than {name} ({proof})"
            return "open", f"no significant difference to {name} ({proof})"
    return "open", f"not tested against {name}"


def leaks_by_design(target: TargetLike) -> bool:
    """Whether any row of the target comes from the released procedure with its leaks."""
    scores = target.scores
    return scores is not None and "protocol" in scores and bool((scores["protocol"] == "published").any())
