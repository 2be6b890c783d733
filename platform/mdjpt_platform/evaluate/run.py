"""The whole evaluation of one target corpus. Pure: reads stores, writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from torch import nn

from mdjpt_platform.config import RunConfig, WindowConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.metrics import (
    METRICS,
    Chance,
    bootstrap_interval,
    chance_levels,
    confusion,
    paired_tests,
    scores_of,
)
from mdjpt_platform.evaluate.probe import shared_classes
from mdjpt_platform.evaluate.progress import progress_bar
from mdjpt_platform.evaluate.readout import (
    Features,
    Prediction,
    Predictions,
    Task,
    predict,
    predict_across,
    splits_of,
)
from mdjpt_platform.evaluate.result import SCORES, TargetResult
from mdjpt_platform.evaluate.windows import Rows, Unified, WindowStore, label_codes, trials_of, window_table

NAMES = {"trained": "mdjpt"}
"""Keys of `model_by_name` that are called otherwise in tables."""
MAIN = "mdjpt"
SIMULATIONS = 500
LEAKS = (
    "protocol published: running-normalisation priors include the test subjects",
    "protocol published: the probe's epoch is chosen by accuracy on the test subjects",
)


def evaluate_target(
    model_by_name: dict[str, nn.Module | None],
    store: WindowStore,
    run: RunConfig,
    target: str,
    source_stores: dict[str, WindowStore] | None = None,
    progress: bool = False,
) -> TargetResult:
    """Score every method on `target`: {method} x {read-out} x {without LDS, with, causal} x metrics.

    `model_by_name`: 'trained' (reported as 'mdjpt'), 'random', and 'de' -> None for band entropy. `source_stores` are
    needed by the read-out `across` alone. Windows without a label take no part at all.
    Raises BadInput: one subject, no shared class, values that are not finite, trials shorter than a window.
    """
    config = run.evaluate
    task = labelled_task(store, config.windows.get(target, run.window))
    inside = [readout for readout in config.readouts if readout != "across"]
    work = sum(len(splits_of(readout, task, config)) for readout in inside)
    shared = _shared(task, run, target, source_stores)
    across = _source_tasks(run, source_stores) if shared else {}
    collected: dict[str, list[pd.DataFrame]] = {"scores": [], "subjects": [], "embedding": []}
    matrices: list[dict[str, Any]] = []
    chance = _chance(task, task.codes, len(task.labels), config.seed) if inside else {}
    for key, model in model_by_name.items():
        method = NAMES.get(key, key)
        features = Features(model, task, config, progress)
        features.prepare()
        with progress_bar(work, f"read-outs of {method} on {target}", progress) as advance:
            for readout in inside:
                found = predict(readout, features, task, config, advance)
                _collect(collected, matrices, run, target, method, found, task, task.codes, task.labels, chance)
        if shared:
            sources = {name: _comparable(model, one, run, progress) for name, one in across.items()}
            own = features if model is not None else _comparable(model, task, run, progress)
            found, codes = predict_across(own, task, sources, config, shared)
            level = _chance(task, codes, len(shared), config.seed)
            _collect(collected, matrices, run, target, method, found, task, codes, shared, level)
        collected["embedding"].append(_embedding(features, task, target, method))
    tables = {name: pd.concat(parts, ignore_index=True) for name, parts in collected.items()}
    controls = [name for name in (NAMES.get(key, key) for key in model_by_name) if name != MAIN]
    return TargetResult(
        target=target,
        protocol=config.protocol,
        labels=task.labels,
        scores=tables["scores"],
        subjects=tables["subjects"],
        tests=paired_tests(tables["subjects"], MAIN, controls, config.seed),
        embedding=tables["embedding"],
        confusion=matrices,
        notes=LEAKS if config.protocol == "published" else (),
        settings=config.model_dump(mode="json"),
    )


def labelled_task(store: WindowStore, window: WindowConfig) -> Task:
    """All labelled windows of a store. Raises BadInput: no label, a trial shorter than a window."""
    table = window_table(store, window, labelled=True)
    return Task(store, table, label_codes(store, table), tuple(store.labels))


def _shared(task: Task, run: RunConfig, target: str, source_stores: dict[str, WindowStore] | None) -> list[str]:
    """Classes for the read-out `across`; empty if it is not asked for."""
    if "across" not in run.evaluate.readouts:
        return []
    if not source_stores:
        raise BadInput("evaluate.readouts", "across", "no source store", f"prepared data of {', '.join(run.sources)}")
    return shared_classes(task.labels, {name: tuple(one.labels) for name, one in source_stores.items()}, target)


def _comparable(model: nn.Module | None, task: Task, run: RunConfig, progress: bool) -> Features:
    """Features whose columns mean the same in every corpus."""
    if model is None:
        task = replace(task, store=Unified(task.store, run.model.neighbours))
    features = Features(model, task, run.evaluate, progress)
    features.prepare()
    return features


def _source_tasks(run: RunConfig, source_stores: dict[str, WindowStore] | None) -> dict[str, Task]:
    return {
        name: labelled_task(store, run.evaluate.windows.get(name, run.window))
        for name, store in (source_stores or {}).items()
    }


def _collect(
    collected: dict[str, list[pd.DataFrame]],
    matrices: list[dict[str, Any]],
    run: RunConfig,
    target: str,
    method: str,
    found: Predictions,
    task: Task,
    codes: Rows,
    labels: Sequence[str],
    chance: dict[str, Chance],
) -> None:
    config = run.evaluate
    for (readout, lds), predictions in found.items():
        key = {"target": target, "method": method, "readout": readout, "lds": lds}
        subjects = subject_scores(predictions, task.table, codes, len(labels))
        collected["subjects"].append(subjects.assign(**key)[[*key, "metric", "subject", "value"]])
        rows = []
        for metric in METRICS:
            values = subjects.loc[subjects["metric"] == metric, "value"].to_numpy(np.float64)
            known = values[np.isfinite(values)]
            low, high = bootstrap_interval(values, config.bootstrap, config.seed)
            level = chance[metric]
            rows.append(
                {
                    **key,
                    "metric": metric,
                    "value": float(known.mean()) if len(known) else float("nan"),
                    "low": low,
                    "high": high,
                    "chance": level.level,
                    "chance_low": level.low,
                    "chance_high": level.high,
                    "n_subjects": len(known),
                    "protocol": config.protocol,
                }
            )
        collected["scores"].append(pd.DataFrame(rows, columns=list(SCORES)))
        counts = sum(confusion(codes[one.rows], one.scores.argmax(1), len(labels)) for one in predictions)
        matrices.append({**key, "labels": list(labels), "counts": np.asarray(counts).tolist()})


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


def _chance(task: Task, codes: Rows, classes: int, seed: int) -> dict[str, Chance]:
    """`codes` -1: left out."""
    owner = task.table["subject"].to_numpy()
    trials: dict[str, list[tuple[int, int]]] = {}
    for at in trials_of(task.table):
        if codes[at[0]] >= 0:
            trials.setdefault(str(owner[at[0]]), []).append((int(codes[at[0]]), len(at)))
    pairs = [np.array(one, np.int64).T for one in trials.values()]
    return chance_levels([(one[0], one[1]) for one in pairs], classes, SIMULATIONS, seed)


def _embedding(features: Features, task: Task, target: str, method: str) -> pd.DataFrame:
    """First two principal components of trial means, features scaled to unit variance. Descriptive only."""
    values = features.given(task.subjects)
    trials = trials_of(task.table)
    means = np.stack([values[at].mean(0, dtype=np.float64) for at in trials])
    spread = means.std(0)
    scaled = (means - means.mean(0)) / np.where(spread > 0, spread, 1.0)
    flat = PCA(2, svd_solver="full").fit_transform(scaled)
    columns = ["subject", "session", "trial", "stimulus", "label"]
    rows = task.table.iloc[[int(at[0]) for at in trials]][columns].reset_index(drop=True)
    return rows.assign(target=target, method=method, x=flat[:, 0], y=flat[:, 1])[
        ["target", "method", *columns, "x", "y"]
    ]
