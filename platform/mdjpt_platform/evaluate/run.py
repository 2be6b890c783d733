"""The whole evaluation of one target corpus. Pure: reads stores, writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from torch import nn

from mdjpt_model.spec import ModelSpec
from mdjpt_platform.config import EvaluateConfig, RunConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.affect import affect_scores, constant_coordinates
from mdjpt_platform.evaluate.finetune import TUNED, predict_tuned, trainings
from mdjpt_platform.evaluate.metrics import paired_tests
from mdjpt_platform.evaluate.probe import shared_classes
from mdjpt_platform.evaluate.progress import progress_bar
from mdjpt_platform.evaluate.readout import (
    Prediction,
    Predictions,
    codes_in,
    predict,
    predict_across,
    predict_affect_across,
    splits_of,
)
from mdjpt_platform.evaluate.result import SCORES, TargetResult
from mdjpt_platform.evaluate.scores import Scored, class_chance, class_scores
from mdjpt_platform.evaluate.task import Features, Task, labelled_task, rated_task
from mdjpt_platform.evaluate.windows import Unified, WindowStore, corpus_name, trials_of

MAIN = "trained"
"""The pre-trained encoder, whose controls are the other methods."""
LEAKS = (
    "protocol published: running-normalisation priors include the test subjects",
    "protocol published: the probe's epoch is chosen by accuracy on the test subjects",
)
UNTUNED = "fine_tune: band entropy has no encoder to train and takes no part"
AFFECT = ("affect", "affect_across")
"""Read-outs of valence and arousal; all others are of classes."""
ACROSS = ("across", "affect_across")
"""Read-outs that learn from the source corpora and use no truth of the target."""


def evaluate_target(
    model_by_name: dict[str, nn.Module | None],
    store: WindowStore,
    run: RunConfig,
    target: str,
    source_stores: dict[str, WindowStore] | None = None,
    progress: bool = False,
) -> TargetResult:
    """Score every method on `target`: {method} x {read-out} x {without LDS, with, causal} x metrics.

    `model_by_name`: 'trained', 'random', and 'de' -> None for band entropy. `source_stores` are
    needed by the read-outs ACROSS alone; the target itself is never one of them. Windows without a label take no part
    at all, and in the read-outs AFFECT those without valence and arousal.
    Raises BadInput: one subject, no shared class, no coordinates, values that are not finite, trials shorter than a
    window.
    """
    config = run.evaluate
    readouts: Sequence[str] = config.readouts
    made = {kind: _task(kind, store, run, target) for kind in dict.fromkeys(one in AFFECT for one in readouts)}
    tasks = {readout: made[readout in AFFECT] for readout in readouts}
    sources = {readout: _sources(readout, source_stores, run, target) for readout in readouts if readout in ACROSS}
    shared: list[str] = []
    if "across" in sources:
        labels: dict[str, Sequence[str]] = {name: one.labels for name, one in sources["across"].items()}
        shared = shared_classes(tasks["across"].labels, labels, target)
    work = sum(
        len(splits_of(readout, tasks[readout], config)) for readout in readouts if readout not in (*ACROSS, TUNED)
    )
    tuning = config.fine_tune.epochs * len(trainings(tasks[TUNED], config)) if TUNED in tasks else 0
    score = {readout: _scorer(readout, tasks[readout], shared, config) for readout in readouts}
    found = _Found(target, config)
    for method, model in model_by_name.items():
        shelf = _Shelf(model, run, progress)
        shown = shelf.features(made.get(False) or made[True])
        own = {readout: shelf.features(task, readout in ACROSS) for readout, task in tasks.items()}
        theirs = {
            readout: {name: shelf.features(one, True) for name, one in every.items()}
            for readout, every in sources.items()
        }
        steps = work if model is None else work + tuning
        with progress_bar(steps, f"read-outs of {method} on {target}", progress) as advance:
            for readout, task in tasks.items():
                if readout == "across":
                    answers, _ = predict_across(own[readout], task, theirs[readout], config, shared)
                elif readout == "affect_across":
                    answers = predict_affect_across(own[readout], task, theirs[readout], config)
                elif readout == TUNED:
                    if model is None:
                        continue
                    answers = predict_tuned(model, task, config, advance)
                else:
                    answers = predict(readout, own[readout], task, config, advance)
                found.add(method, answers, score[readout])
        found.embedding.append(_embedding(shown, shown.task, target, method))
    controls = [name for name in model_by_name if name != MAIN]
    subjects = pd.concat(found.subjects, ignore_index=True)
    return TargetResult(
        target=target,
        protocol=config.protocol,
        labels=tuple(store.labels),
        scores=pd.concat(found.scores, ignore_index=True),
        subjects=subjects,
        tests=paired_tests(subjects, MAIN, controls, config.seed),
        embedding=pd.concat(found.embedding, ignore_index=True),
        confusion=found.confusion,
        affect=pd.concat(found.affect, ignore_index=True) if found.affect else None,
        notes=(LEAKS if config.protocol == "published" else ())
        + (constant_coordinates(made[True]) if True in made else ())
        + ((UNTUNED,) if TUNED in tasks and None in model_by_name.values() else ()),
        settings=config.model_dump(mode="json"),
    )


@dataclass
class _Found:
    """Tables of the result, as they grow."""

    target: str
    config: EvaluateConfig
    scores: list[pd.DataFrame] = field(default_factory=list)
    subjects: list[pd.DataFrame] = field(default_factory=list)
    affect: list[pd.DataFrame] = field(default_factory=list)
    embedding: list[pd.DataFrame] = field(default_factory=list)
    confusion: list[dict[str, Any]] = field(default_factory=list)

    def add(self, method: str, answers: Predictions, score: Callable[[Sequence[Prediction]], Scored]) -> None:
        """Score the answers of one read-out and enter them."""
        for (readout, lds), predictions in answers.items():
            key = {"target": self.target, "method": method, "readout": readout, "lds": lds}
            scored = score(predictions)
            self.subjects.append(scored.subjects.assign(**key)[[*key, "metric", "subject", "value"]])
            self.scores.append(scored.summary.assign(**key, protocol=self.config.protocol)[list(SCORES)])
            if scored.confusion is not None:
                self.confusion.append({**key, **scored.confusion})
            if scored.answers is not None:
                self.affect.append(scored.answers.assign(**key)[[*key, *scored.answers.columns]])


@dataclass
class _Shelf:
    """Features by one method, made once for all read-outs of the same windows."""

    model: nn.Module | None
    run: RunConfig
    progress: bool
    made: dict[tuple[str, bool, bytes], Features] = field(default_factory=dict)

    def features(self, task: Task, comparable: bool = False) -> Features:
        """Prepared; `comparable`: with columns that mean the same in every corpus."""
        unified = comparable and self.model is None
        key = (corpus_name(task.store), unified, task.table["row"].to_numpy(np.int64).tobytes())
        if key not in self.made:
            if unified:  # a family that does not fill channels in leaves its controls to mdJPT's way
                spec = self.run.model if isinstance(self.run.model, ModelSpec) else ModelSpec()
                task = replace(task, store=Unified(task.store, spec.neighbours))
            self.made[key] = Features(self.model, task, self.run.evaluate, self.progress)
            self.made[key].prepare()
        return self.made[key]


def _task(affect: bool, store: WindowStore, run: RunConfig, name: str) -> Task:
    return (rated_task if affect else labelled_task)(store, run.evaluate.windows.get(name, run.window))


def _sources(
    readout: str, source_stores: dict[str, WindowStore] | None, run: RunConfig, target: str
) -> dict[str, Task]:
    """What a read-out learns from; for coordinates the sources that have any."""
    stores = {name: store for name, store in (source_stores or {}).items() if name != target}
    if not stores:
        raise BadInput("evaluate.readouts", readout, "no source store", f"prepared data of {', '.join(run.sources)}")
    if readout in AFFECT:
        known = {name: store.index[["valence", "arousal"]].notna().all(axis=1).any() for name, store in stores.items()}
        if not any(known.values()):
            expected = "a source with ratings, or with classes in its table `affect`"
            raise BadInput(", ".join(stores), "valence, arousal", "no label coordinates", expected)
        stores = {name: store for name, store in stores.items() if known[name]}
    return {name: _task(readout in AFFECT, store, run, name) for name, store in stores.items()}


def _scorer(
    readout: str, task: Task, shared: Sequence[str], config: EvaluateConfig
) -> Callable[[Sequence[Prediction]], Scored]:
    if readout in AFFECT:
        return partial(affect_scores, task=task, config=config)
    labels, codes = task.labels, task.codes
    if readout == "across":
        labels, codes = tuple(shared), codes_in(shared, task)
    chance = class_chance(task, codes, len(labels), config.seed)
    return partial(class_scores, task=task, codes=codes, labels=labels, chance=chance, config=config)


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
