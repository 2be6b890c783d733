"""What an adaptation found, in words: plain where nothing was gained. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from mdjpt_platform.report.wording import NONE, capital, interval, ordered, percent

NAMES = {
    "frozen": "Pre-trained, frozen",
    "fine_tuned": "Pre-trained, fine-tuned",
    "given": "Model as it was given",
    "untrained": "Untrained encoder",
    "de": "Band entropy",
}
"""Methods, in the order of tables and legends."""
SPOKEN = {
    "frozen": "the pre-trained encoder, frozen,",
    "fine_tuned": "the pre-trained encoder, fine-tuned,",
    "given": "the model as it was given",
    "untrained": "the untrained encoder",
    "de": "band entropy",
}
"""The same inside a sentence."""
BASES = ("frozen", "fine_tuned")
ALPHA = 0.05
Severity = Literal["good", "open", "bad", "none"]


@dataclass(frozen=True)
class Told:
    """An adaptation as it lies in its folder."""

    result: Mapping[str, Any]
    curve: pd.DataFrame
    subjects: pd.DataFrame
    tests: pd.DataFrame


@dataclass(frozen=True)
class Finding:
    """A sentence and how good the news is."""

    severity: Severity
    text: str


def methods_of(curve: pd.DataFrame) -> list[str]:
    """Methods that were measured, in order."""
    return ordered(curve["method"], NAMES)


def sizes_of(curve: pd.DataFrame) -> list[int]:
    """Sizes of the calibrations, ascending, without 0."""
    return sorted({int(n) for n in curve["n"] if n})


def counted(size: int, by: str) -> str:
    """`4 trials a class`, `1 subject`."""
    word = "subject" if by == "corpus" else "trial"
    return f"{size} {word}{'' if size == 1 else 's'}{'' if by == 'corpus' else ' a class'}"


def main_of(curve: pd.DataFrame) -> str:
    """The method that the page is about."""
    there = methods_of(curve)
    return next((name for name in BASES if name in there), there[0])


def headline(told: Told) -> str:
    """The answer in one sentence."""
    main = main_of(told.curve)
    if main not in BASES:
        return "No adapted encoder was measured here: controls alone."
    against = [one for one in comparisons(told, main) if one.severity != "none"]
    if not against:
        return "Whether the pre-training helps cannot be said: no control was measured."
    if any(one.severity == "bad" for one in against):
        return "The pre-training is no help here: something without it does better."
    if all(one.severity == "good" for one in against):
        return "The pre-trained encoder does better than every control."
    return "No advantage of the pre-training over every control can be seen here."


def findings(told: Told, unit: str = "window") -> list[Finding]:
    """What can be claimed at the largest calibration, for each adapted encoder (else for what was measured)."""
    there = methods_of(told.curve)
    found = []
    for method in [name for name in BASES if name in there] or there:
        found += [_level(told, method, unit), *comparisons(told, method, unit), *_rise(told, method, unit)]
    return found


def comparisons(told: Told, method: str, unit: str = "window") -> list[Finding]:
    """Against each other method, at the largest calibration."""
    if told.tests.empty:
        return []
    size = max(sizes_of(told.curve))
    tests = told.tests
    part = tests[(tests["method"] == method) & (tests["unit"] == unit) & (tests["n"] == size)]
    found = []
    for _, row in part.iterrows():
        gap, p = 100 * float(row["difference"]), float(row["permutation_holm"])
        there = f"{gap:+.1f}".replace("-", "−")
        text = f"{there} points against {SPOKEN[str(row['control'])].rstrip(',')}"
        if row["control"] == "frozen":
            text += ": what training the encoder adds"
        if math.isnan(p):
            found.append(Finding("none", f"{text}: too few people for a test."))
            continue
        sure = p <= ALPHA
        severity: Severity = ("good" if gap > 0 else "bad") if sure else "open"
        found.append(Finding(severity, f"{text} (Holm p = {p:.3f}){'' if sure else ': no difference can be claimed'}."))
    return found


def _level(told: Told, method: str, unit: str) -> Finding:
    row = _row(told.curve, method, unit, last=True)
    chance, by = float(row["chance"]), told.result["settings"]["by"]
    span = "" if math.isnan(row["low"]) else f" {interval(row['low'], row['high'])}"
    after = counted(int(row["n"]), by) if row["n"] else "no calibration"
    text = (
        f"{capital(SPOKEN[method])} with {after}: {percent(row['value'])} %{span} of {unit}s right "
        f"(balanced over classes); guessing gives {percent(chance)} %."
    )
    if not span:
        return Finding("none", text)
    return Finding("good" if row["low"] > chance else "bad" if row["high"] < chance else "open", text)


def _rise(told: Told, method: str, unit: str) -> list[Finding]:
    sizes = sizes_of(told.curve)
    if len(sizes) < 2 or method == "given":
        return []
    first, last = (_row(told.curve, method, unit, last=end)["value"] for end in (False, True))
    by = told.result["settings"]["by"]
    gain = f"{100 * (last - first):+.1f}".replace("-", "−")
    text = f"From {sizes[0]} to {counted(sizes[-1], by)} {SPOKEN[method]} gains {gain} points."
    return [Finding("none", text)]


def _row(curve: pd.DataFrame, method: str, unit: str, last: bool) -> pd.Series:
    part = curve[(curve["method"] == method) & (curve["unit"] == unit)].sort_values("n")
    return part.iloc[-1 if last else 0]


def columns_of(curve: pd.DataFrame) -> list[int]:
    """Sizes of a table: 0 where something was measured without calibration."""
    return sorted({int(n) for n in curve["n"]})


def table_rows(curve: pd.DataFrame, unit: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """(method, [(score, interval) for every one of `columns_of`]) of a unit."""
    sizes = columns_of(curve)
    found = []
    for method in methods_of(curve):
        part = curve[(curve["method"] == method) & (curve["unit"] == unit)].set_index("n")
        cells = []
        for size in sizes:
            if size not in part.index:
                cells.append((NONE, ""))
                continue
            row = part.loc[size]
            span = "" if math.isnan(row["low"]) else interval(row["low"], row["high"])
            cells.append((percent(row["value"]), span))
        found.append((NAMES[method], cells))
    return found
