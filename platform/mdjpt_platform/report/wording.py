"""Names that people read, numbers as they are printed, subjects without their identifiers. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

MAIN = "trained"
METHODS = {MAIN: "Pre-trained", "random": "Untrained encoder", "de": "DE features"}
READOUTS = {
    "few_shot": "few-shot",
    "zero_shot": "zero-shot",
    "across": "across corpora",
    "loso": "leave one subject out",
    "fine_tune": "fine-tuning",
    "affect": "valence and arousal",
    "affect_across": "valence and arousal across corpora",
}
LDS = {"off": "without LDS", "on": "with LDS", "causal": "causal LDS"}
AGREEMENT = {
    "valence_ccc": "CCC of valence",
    "arousal_ccc": "CCC of arousal",
    "valence_r2": "R² of valence",
    "arousal_r2": "R² of arousal",
    "valence_ccc_pooled": "CCC of valence over all trials",
    "arousal_ccc_pooled": "CCC of arousal over all trials",
    "valence_r2_pooled": "R² of valence over all trials",
    "arousal_r2_pooled": "R² of arousal over all trials",
}
"""Scores that are no shares and can be negative: printed as they are."""
METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "auroc": "AUROC",
    **AGREEMENT,
}
NONE = "–"


def method_name(key: str) -> str:
    """Method as people call it."""
    return METHODS.get(key, plain(key))


def readout_name(key: str) -> str:
    """Read-out as people call it; `few_shot_stimuli` is the few-shot read-out with held-out stimuli."""
    if key in READOUTS:
        return READOUTS[key]
    for known, name in READOUTS.items():
        if key.startswith(f"{known}_"):
            return f"{name}, held-out {plain(key[len(known) + 1 :].replace('_', ' '))}"
    return plain(key.replace("_", " "))


def lds_name(key: str) -> str:
    """Smoothing as people call it."""
    return LDS.get(key, plain(key))


def metric_name(key: str) -> str:
    """Metric as people call it."""
    return METRICS.get(key, plain(key.replace("_", " ")))


def ordered(found: Iterable[Any], known: Mapping[str, str]) -> list[str]:
    """Distinct values: those that `known` names, and their variants, in its order, then all others."""
    values = sorted({str(value) for value in found})
    named = [
        value
        for key in known
        for value in values
        if value == key or (value.startswith(f"{key}_") and value not in known)
    ]
    return list(dict.fromkeys([*named, *values]))


def plain(text: object, longest: int = 60) -> str:
    """One line without control characters, cut where it is too long for a label."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def capital(text: str) -> str:
    """First letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def percent(value: float) -> str:
    """A share as a percentage with one decimal, without the sign."""
    return f"{100 * value:.1f}" if math.isfinite(value) else NONE


def interval(low: float, high: float, metric: str = "") -> str:
    """`[low, high]` as the metric is printed; in percent if none is named."""
    return f"[{score(low, metric)}, {score(high, metric)}]"


def score(value: float, metric: str) -> str:
    """A score of a metric: two decimals of an agreement, anything else in percent without the sign."""
    if metric not in AGREEMENT:
        return percent(value)
    return f"{value:.2f}".replace("-", "−") if math.isfinite(value) else NONE


def with_unit(value: float, metric: str) -> str:
    """A score as it stands in a sentence."""
    return score(value, metric) + ("" if metric in AGREEMENT else " %")


def gap(difference: float, metric: str) -> str:
    """A signed difference of two scores: percentage points, or two decimals of an agreement."""
    return number(difference) if metric in AGREEMENT else number(100 * difference, 1)


def number(value: float, digits: int = 2) -> str:
    """A signed number."""
    return f"{value:+.{digits}f}".replace("-", "−") if math.isfinite(value) else NONE


def p_value(value: float) -> str:
    """A probability as papers print it."""
    if not math.isfinite(value):
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def pseudonyms(subjects: Iterable[object]) -> dict[str, str]:
    """S01, S02, ... for every identifier, in natural order."""
    ids = sorted({str(subject) for subject in subjects}, key=natural)
    width = max(2, len(str(len(ids))))
    return {name: f"S{place:0{width}d}" for place, name in enumerate(ids, 1)}


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key under which digits count as numbers: `x2` before `x10`."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]
