"""Valence and arousal as a target: answers of windows -> trials -> scores by subject, and their summary.

Corpora with discrete emotions (whose classes have a place in the plane) and rated ones share this task. A trial is
answered by the mean over its windows, since it has one coordinate, not one a window.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mdjpt_platform.config import EvaluateConfig
from mdjpt_platform.evaluate.agreement import FLAT, Answers, coordinate_scores
from mdjpt_platform.evaluate.readout import Prediction
from mdjpt_platform.evaluate.scores import Scored
from mdjpt_platform.evaluate.task import Task

COORDINATES = ("valence", "arousal")
TRIAL = ["subject", "session", "trial", "stimulus", "label"]
SHOWN = [*TRIAL, *COORDINATES, *(f"answered_{name}" for name in COORDINATES)]


def affect_scores(predictions: Sequence[Prediction], task: Task, config: EvaluateConfig) -> Scored:
    """R2 and concordance of both coordinates (`agreement.coordinate_scores`), and the answered trials."""
    trials = answered_trials(predictions, task)
    stimuli = pd.factorize(trials["stimulus"], sort=True)[0].astype(np.int64)
    places = trials.groupby(["fold", "subject"], sort=True).indices
    people, summaries = [], []
    for name in COORDINATES:
        columns = [trials[column].to_numpy(np.float64) for column in (name, f"answered_{name}", f"blind_{name}")]
        found = [
            Answers(int(fold), str(subject), stimuli[at], *(column[at] for column in columns))
            for (fold, subject), at in places.items()
        ]
        by_subject, summary = coordinate_scores(found, name, config.bootstrap, config.seed)
        people.append(by_subject)
        summaries.append(summary)
    means = trials.groupby("row", sort=True)[[f"answered_{name}" for name in COORDINATES]].mean()
    shown = trials.drop_duplicates("row").set_index("row").sort_index()[[*TRIAL, *COORDINATES]].join(means)
    return Scored(
        pd.concat(people, ignore_index=True),
        pd.concat(summaries, ignore_index=True),
        answers=shown.reset_index(drop=True)[SHOWN],
    )


def answered_trials(predictions: Sequence[Prediction], task: Task) -> pd.DataFrame:
    """One row a fold and tested trial, answers being means over its windows.

    Columns fold, row, subject, session, trial, stimulus, label, then <name>, answered_<name> and blind_<name> (what
    the training says without features: its mean) for valence and arousal.
    """
    parts = []
    for one in predictions:
        assert one.blind is not None, "answers in valence and arousal know the mean of their training"
        part = task.table.iloc[one.rows][["row", *TRIAL]].assign(fold=one.fold)
        for place, name in enumerate(COORDINATES):
            part[name], part[f"blind_{name}"] = task.points[one.rows, place], one.blind[place]
            part[f"answered_{name}"] = one.scores[:, place]
        parts.append(part)
    windows = pd.concat(parts, ignore_index=True)
    each = windows.groupby(["fold", "row"], sort=True)
    first = each[["subject", "session", "trial", "stimulus"]].first()
    label = windows.drop_duplicates(["fold", "row"]).set_index(["fold", "row"])["label"]  # None stays None
    numbers = [f"{kind}{name}" for name in COORDINATES for kind in ("", "answered_", "blind_")]
    return first.join(label).join(each[numbers].mean()).reset_index()


def constant_coordinates(task: Task) -> tuple[str, ...]:
    """A sentence for each coordinate in which some subjects' trials do not differ, so that they have no score in it."""
    spread = pd.DataFrame(task.points, columns=list(COORDINATES)).groupby(task.table["subject"].to_numpy()).var(ddof=0)
    flat = {name: int((spread[name] <= FLAT).sum()) for name in COORDINATES}
    return tuple(
        f"{name}: {count} of {len(spread)} subjects have one value in all trials, hence no R2 or CCC of their own"
        for name, count in flat.items()
        if count
    )
