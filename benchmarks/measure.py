"""Timing that can be trusted on a noisy machine: alternate the candidates, take medians, quote ratios."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any


def emit(benchmark: str, **figures: Any) -> dict[str, Any]:
    """Print one JSON line; the same as a dictionary."""
    line = {"benchmark": benchmark, **figures}
    print(json.dumps(line), flush=True)
    return line


def compare(
    name: str,
    candidates: dict[str, Callable[[], object]],
    rounds: int = 7,
    against: Sequence[str] = (),
    gflop: float | None = None,
    **facts: Any,
) -> dict[str, Any]:
    """Print one JSON line: median and spread of every candidate, and ratios to the first, pair by pair.

    `against` names further candidates to take ratios to; `gflop`, the work of one call, adds a rate.
    """
    seconds: dict[str, list[float]] = {key: [] for key in candidates}
    for run in candidates.values():
        run()
    for _ in range(rounds):
        for key, run in candidates.items():
            begin = time.perf_counter()
            run()
            seconds[key].append(time.perf_counter() - begin)
    bases = dict.fromkeys([next(iter(candidates)), *against])
    figures = {key: summary(values, {base: seconds[base] for base in bases}) for key, values in seconds.items()}
    if gflop is not None:
        facts["gflop"] = gflop
        for figure in figures.values():
            figure["gflop_per_s"] = gflop / figure["median_s"]
    return emit(name, rounds=rounds, **facts, figures=figures)


def summary(values: Sequence[float], bases: dict[str, Sequence[float]]) -> dict[str, float]:
    """Median and extremes, and the median of the ratios to what was measured in the same round."""
    found = {"median_s": statistics.median(values), "min_s": min(values), "max_s": max(values)}
    for base, others in bases.items():
        found[f"ratio_to_{base}"] = statistics.median(v / o for v, o in zip(values, others, strict=True))
    return found
