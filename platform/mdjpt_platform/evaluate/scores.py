"""From the class scores of windows to scores by subject, and their summary with interval and chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mdjpt_platform.config import EvaluateConfig
from mdjpt_platform.evaluate.metrics import METRICS, Chance, bootstrap_interval, chance_levels, confusion, scores_of
from mdjpt_platform.evaluate.readout import Prediction
from mdjpt_platform.evaluate.task import Task
from mdjpt_platform.evaluate.windows import Rows, trials_of

SIMULATIONS = 500


@dataclass(frozen=True)
class Scored:
    """What one read-out with one smoothing gives, whatever it answers with."""

    subjects: pd.DataFrame
    """metric, subject, value."""
    summary: pd.DataFrame
    """metric, value, low, high, chance, chance_low, chance_high, n_subjects."""
    confusion: dict[str, Any] | None = None
    """labels, counts[truth][answer]; of classes alone."""
    answers: pd.DataFrame | None = None
    """Trials with true and answered coordinates; of valence and arousal alone."""


def class_scores(
    predictions: Sequence[Prediction],
    task: Task,
    codes: Rows,
    labels: Sequence[str],
    chance: dict[str, Chance],
    config: EvaluateConfig,
) -> Scored:
    """Mean of every metric over subjects; `codes` are places in `labels`, -1: left out."""
    subjects = subject_scores(predictions, task.table, codes, len(labels))
    rows = []
    for metric in METRICS:
        values = subjects.loc[subjects["metric"] == metric, "value"].to_numpy(np.float64)
        known = values[np.isfinite(values)]
        low, high = bootstrap_interval(values, config.bootstrap, config.seed)
        level = chance[metric]
        rows.append(
            {
                "metric": metric,
                "value": float(known.mean()) if len(known) else float("nan"),
                "low": low,
                "high": high,
                "chance": level.level,
                "chance_low": level.low,
                "chance_high": level.high,
                "n_subjects": len(known),
            }
        )
    counts = sum(confusion(codes[one.rows], one.scores.argmax(1), len(labels)) for one in predictions)
    matrix = {"labels": list(labels), "counts": np.asarray(counts).tolist()}
    return Scored(subjects, pd.DataFrame(rows), confusion=matrix)


def subject_scores(predictions: Sequence[Prediction], table: pd.DataFrame, codes: Rows, classes: int) -> pd.DataFrame:
    """Columns metric, subject, value: scores inside each fold, then the mean over the folds that tested a subject."""
    owner = table["subject"].to_numpy()
    rows = []
    for fold in sorted({one.fold for one in predictions}):
        mine = [one for one in predictions if one.fold == fold]
        at, scores = np.concatenate([one.rows for one in mine]), np.concatenate([one.scores for one in mine])
        for subject in np.unique(owner[at].astype(str)):
            own = owner[at] == subject
            values = scores_of(codes[at[own]], scores[own], classes)
            rows += [{"metric": name, "subject": subject, "value": value} for name, value in values.items()]
    return pd.DataFrame(rows).groupby(["metric", "subject"], as_index=False)["value"].mean()


def class_chance(task: Task, codes: Rows, classes: int, seed: int) -> dict[str, Chance]:
    """What guessing gives on the task's trials; `codes` -1: left out."""
    owner = task.table["subject"].to_numpy()
    trials: dict[str, list[tuple[int, int]]] = {}
    for at in trials_of(task.table):
        if codes[at[0]] >= 0:
            trials.setdefault(str(owner[at[0]]), []).append((int(codes[at[0]]), len(at)))
    pairs = [np.array(one, np.int64).T for one in trials.values()]
    return chance_levels([(one[0], one[1]) for one in pairs], classes, SIMULATIONS, seed)
