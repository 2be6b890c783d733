"""Two runs of the same configuration, held against each other: weights, metrics by step, scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import read, table_of
from mdjpt_platform.tracking import read_jsonl
from mdjpt_platform.train.checkpoint import LARGEST

SCORE = ("target", "method", "readout", "lds", "metric")
ENVIRONMENT = ("versions", "code", "git", "hardware", "threads", "stores")


@dataclass(frozen=True)
class Finding:
    """One thing that was compared."""

    what: str
    equal: bool
    """To the last bit; for scores and metrics: every one of them."""
    relative: float | None = None
    """Largest relative difference; None where it cannot be told (other shapes, absent steps)."""
    where: str = ""
    """Where that difference is, or what is absent."""


def same_weights(one: Path, other: Path) -> Finding:
    """Two model.safetensors. Relative: to the largest absolute value of the tensor. Raises BadInput: damaged."""
    first, second = _tensors(one), _tensors(other)
    if {name: x.shape for name, x in first.items()} != {name: x.shape for name, x in second.items()}:
        return Finding("weights", False, None, "other tensors or shapes")
    worst = ("", 0.0)
    for name, x in first.items():
        worst = max(worst, (name, _relative(x.double(), second[name].double())), key=lambda found: found[1])
    equal = all(torch.equal(x, second[name]) for name, x in first.items())
    return Finding("weights", equal, worst[1], "" if equal else worst[0])


def same_metrics(one: Path, other: Path) -> list[Finding]:
    """Two metrics.jsonl, one finding a metric; times are left out. Raises BadInput: damaged."""
    first, second = ({record["step"]: record for record in read_jsonl(path)} for path in (one, other))
    names = sorted(
        {name for record in first.values() for name in record if "/" in name and not name.startswith("time/")}
    )
    findings = []
    for name in names:
        what = f"metric {name}"
        steps = {step for step, record in first.items() if name in record}
        absent = sorted(steps ^ {step for step, record in second.items() if name in record})
        if absent:
            findings.append(
                Finding(what, False, None, f"{len(absent)} steps in one run alone, the first is {absent[0]}")
            )
            continue
        found = {step: apart(first[step][name], second[step][name]) for step in sorted(steps)}
        step = max(found, key=lambda at: found[at])
        findings.append(Finding(what, found[step] == 0, found[step], f"step {step}" if found[step] else ""))
    return findings


def same_scores(one: Path, other: Path) -> Finding:
    """Two scores.parquet of a target: every value. Raises BadInput: damaged."""
    first, second = (table_of(path) for path in (one, other))
    what = f"scores {one.parent.name}"
    tables = []
    for path, table in ((one, first), (other, second)):
        if not {*SCORE, "value"} <= set(table.columns):
            raise BadInput(path, "columns", ", ".join(map(str, table.columns)), ", ".join((*SCORE, "value")))
        tables.append(table.set_index(list(SCORE))["value"])
    if not tables[0].index.is_unique or set(tables[0].index) != set(tables[1].index):
        return Finding(what, False, None, "other read-outs or metrics")
    pairs = pd.concat([tables[0], tables[1]], axis=1, keys=["one", "other"])
    found = {key: apart(a, b) for key, a, b in zip(pairs.index, pairs["one"], pairs["other"], strict=True)}
    worst = max(found, key=lambda key: found[key])
    return Finding(what, found[worst] == 0, found[worst], " ".join(map(str, worst)) if found[worst] else "")


def apart(a: float, b: float) -> float:
    """Relative difference; 0 where both are equal or both no number, infinite where one is."""
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    if not (math.isfinite(a) and math.isfinite(b)):
        return math.inf
    return abs(a - b) / max(abs(a), abs(b))


def environment(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What differs between two manifests beside the numbers, a line each."""
    lines = []
    for name in ENVIRONMENT:
        a, b = one.get(name), other.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += [f"{name} {key}: {a.get(key)} -> {b.get(key)}" for key in {**a, **b} if a.get(key) != b.get(key)]
        elif a != b:
            lines.append(f"{name}: {a} -> {b}")
    return lines


def tree(findings: list[Finding]) -> list[dict[str, Any]]:
    """For JSON: an infinite difference is the word."""
    plain = [asdict(finding) for finding in findings]
    return [{**one, "relative": "Infinity" if one["relative"] == math.inf else one["relative"]} for one in plain]


def _relative(a: torch.Tensor, b: torch.Tensor) -> float:
    if torch.equal(a, b) or a.numel() == 0:
        return 0.0
    difference, scale = float((a - b).abs().max()), float(torch.maximum(a.abs(), b.abs()).max())
    return difference / scale if math.isfinite(difference) and math.isfinite(scale) and scale > 0 else math.inf


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load(read(path, LARGEST))
    except (OSError, SafetensorError, ValueError) as error:
        raise BadInput(path, "weights", error, "model.safetensors of a finished run") from None
