"""Timing that can be trusted on a noisy machine: alternate the candidates, take medians, quote ratios."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any


def compare(name: str, candidates: dict[str, Callable[[], object]], rounds: int = 7, **facts: Any) -> None:
    """Print one JSON line: median and spread of every candidate, and ratios to the first, pair by pair."""
    seconds: dict[str, list[float]] = {key: [] for key in candidates}
    for run in candidates.values():
        run()
    for _ in range(rounds):
        for key, run in candidates.items():
            begin = time.perf_counter()
            run()
            seconds[key].append(time.perf_counter() - begin)
    first = next(iter(candidates))
    figures = {
        key: {
            "median_s": statistics.median(values),
            "min_s": min(values),
            "max_s": max(values),
            f"ratio_to_{first}": statistics.median(v / f for v, f in zip(values, seconds[first], strict=True)),
        }
        for key, values in seconds.items()
    }
    print(json.dumps({"benchmark": name, "rounds": rounds, **facts, "figures": figures}), flush=True)
