"""What an evaluation of one target gives, and how it is put on disk."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mdjpt_platform.atomic import replacing, write_atomic

SCORES = (
    "target", "method", "readout", "lds", "metric", "value", "low", "high",
    "chance", "chance_low", "chance_high", "n_subjects", "protocol",
)  # fmt: skip


@dataclass(frozen=True)
class TargetResult:
    """Everything a report says about one target corpus."""

    target: str
    protocol: str
    labels: tuple[str, ...]
    scores: pd.DataFrame
    """Columns SCORES: mean over subjects, bootstrap interval, chance."""
    subjects: pd.DataFrame
    """target, method, readout, lds, metric, subject, value (mean over the folds that tested the subject)."""
    tests: pd.DataFrame
    """Paired comparisons of the trained encoder with each control (metrics.paired_tests)."""
    embedding: pd.DataFrame
    """target, method, subject, session, trial, stimulus, label, x, y: principal components of trial means."""
    confusion: list[dict[str, Any]]
    """method, readout, lds, labels, counts[truth][answer]; a window counts once for every fold that tested it."""
    affect: pd.DataFrame | None = None
    """target, method, readout, lds, subject, session, trial, stimulus, label, valence, arousal, answered_valence,
    answered_arousal (mean over the folds that tested the trial); None if coordinates were not read out."""
    notes: tuple[str, ...] = ()
    """What a reader must know, leaks of the published protocol first."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The evaluation's configuration."""

    def to_json(self) -> dict[str, Any]:
        """All but the per-subject table, the embedding and the answered trials; NaN becomes null."""
        tree = {
            "target": self.target,
            "protocol": self.protocol,
            "labels": list(self.labels),
            "notes": list(self.notes),
            "settings": self.settings,
            "scores": self.scores.to_dict("records"),
            "tests": self.tests.to_dict("records"),
        }
        plain: dict[str, Any] = _plain(tree)
        return plain


def write_result(result: TargetResult, folder: Path) -> None:
    """scores, subjects, embedding and, if there is one, affect.parquet, confusion.json, then results.json.

    Each file appears whole or not at all, results.json last: where it is, the others are.
    """
    for name in ("scores", "subjects", "embedding"):
        write_table(getattr(result, name), folder / f"{name}.parquet")
    if result.affect is not None:
        write_table(result.affect, folder / "affect.parquet")
    for name, tree in (("confusion", _plain(result.confusion)), ("results", result.to_json())):
        text = json.dumps(tree, indent=1, allow_nan=False)
        write_atomic(folder / f"{name}.json", text.encode())


def write_table(table: pd.DataFrame, path: Path) -> None:
    """A Parquet file, whole or not at all."""
    with replacing(path) as file:
        table.to_parquet(file, index=False)


def _plain(value: Any) -> Any:
    """JSON's own types: NumPy scalars unwrapped, NaN and infinities null."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
