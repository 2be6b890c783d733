"""From frozen features to answers for every test window, for each read-out and each smoothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mdjpt_model.layers import mean_statistics
from mdjpt_platform.config import EvaluateConfig
from mdjpt_platform.evaluate.linear import LINEAR, linear_scores
from mdjpt_platform.evaluate.probe import class_similarity, fit_probe
from mdjpt_platform.evaluate.protocols import (
    Split,
    affect_folds,
    few_shot_folds,
    loso,
    parts,
    stimulus_folds,
    zero_shot_folds,
)
from mdjpt_platform.evaluate.regression import Float, fit_ridge
from mdjpt_platform.evaluate.smoothing import LDS, Lds, Prior, normalise, prior_of, smooth, subject_moments
from mdjpt_platform.evaluate.task import Features, Task
from mdjpt_platform.evaluate.windows import Array, Rows, corpus_name

Splitter = Callable[[Sequence[str], EvaluateConfig, str], list[Split]]
SPLITTERS: dict[str, Splitter] = {
    "few_shot": lambda subjects, config, where: few_shot_folds(subjects, config.folds, config.seed, where),
    "zero_shot": lambda subjects, config, where: zero_shot_folds(subjects, config.folds, config.seed, where),
    "loso": lambda subjects, config, where: loso(subjects, where),
    "affect": lambda subjects, config, where: few_shot_folds(subjects, config.folds, config.seed, where),
}
STIMULI = "_stimuli"
"""Suffix of a read-out whose test stimuli were in no training window either."""


@dataclass(frozen=True)
class Prediction:
    """Class scores [n, classes], or valence and arousal [n, 2], of the windows `rows`, from one training."""

    fold: int
    rows: Rows
    scores: Array | Float
    blind: Float | None = None
    """Mean valence and arousal [2] of the training, where it was fitted to them."""


Predictions = dict[tuple[str, Lds], list[Prediction]]
"""By read-out and smoothing."""


def splits_of(readout: str, task: Task, config: EvaluateConfig) -> list[Split]:
    """Who trains and who is tested in a read-out inside the target. Raises BadInput: too few subjects."""
    return SPLITTERS[readout](task.subjects, config, corpus_name(task.store))


def predict(
    readout: str, features: Features, task: Task, config: EvaluateConfig, advance: Callable[[int], None]
) -> Predictions:
    """Answers for all test windows: few_shot, loso, zero_shot or affect, with and without held-out stimuli.

    Strict: everything learned (running prior, frozen statistics, probe, ridge) comes from the split's training
    subjects. Published: the prior comes from all subjects and the probe's epoch is chosen on the test subjects; the
    ridge, which the released code does not have, is fitted and chosen on the training subjects all the same.
    """
    sets: list[tuple[str, Sequence[frozenset[str]]]] = [(readout, ())]
    if config.stimulus_folds:
        where = corpus_name(task.store)
        if readout == "affect":
            held = affect_folds(task.table, task.points, config.stimulus_folds, config.seed, where)
        else:
            held = stimulus_folds(task.table, config.stimulus_folds, config.seed, where)
        sets.append((readout + STIMULI, held))
    found: Predictions = {(name, lds): [] for name, _ in sets for lds in LDS}
    for split in splits_of(readout, task, config):
        raw = features.given(split.train)
        known = task.subjects if config.protocol == "published" else split.train
        steady = normalise(raw, task.table, prior_of(subject_moments(raw, task.table), known), config.decay)
        for lds in LDS:
            x = smooth(steady, task.table, lds)
            for name, held_out in sets:
                for part in parts(task.table, split, held_out):
                    if not len(part.test):
                        continue
                    if readout == "affect":
                        found[name, lds].append(_regression(x, task, split.fold, part.train, part.test))
                        continue
                    if readout == "zero_shot":
                        pool = _pool(task.table, held_out[part.stimulus_fold - 1] if held_out else frozenset())
                        scores = _neighbours(x, task, config, part.test, pool)
                    else:
                        scores = _probe(x, task, config, part.train, part.test, (split.fold, part.stimulus_fold))
                    found[name, lds].append(Prediction(split.fold, part.test, scores))
        advance(1)
    return found


def predict_across(
    features: Features, task: Task, sources: dict[str, Features], config: EvaluateConfig, labels: Sequence[str]
) -> tuple[Predictions, Rows]:
    """Nearest neighbours in the source corpora, over the classes `labels` that they share with the target by name.

    Features of all corpora must have the same columns: band entropy needs the `windows.Unified` view of each store.
    No label of the target is used. Strict: running prior and frozen statistics come from the source subjects alone.
    Windows of other classes are left out on both sides. Also returns class codes (in `labels`) of every target window,
    -1 where it is left out.
    """
    steady, own = steady_across(features, task, sources, config)
    codes = codes_in(labels, task)
    rows = np.flatnonzero(codes >= 0)
    keep = {name: codes_in(labels, one.task) for name, one in sources.items()}
    known = np.concatenate([code[code >= 0] for code in keep.values()])
    found: Predictions = {}
    for lds in LDS:
        pool = np.concatenate(
            [smooth(steady[name], one.task.table, lds)[keep[name] >= 0] for name, one in sources.items()]
        )
        queries = smooth(own, task.table, lds)[rows]
        nobody, others = np.full(len(rows), -1), np.zeros(len(pool), np.int64)
        scores = class_similarity(queries, pool, known, len(labels), nobody, others)
        found["across", lds] = [Prediction(0, rows, scores)]
    return found, codes


def predict_affect_across(
    features: Features, task: Task, sources: dict[str, Features], config: EvaluateConfig
) -> Predictions:
    """Valence and arousal by a ridge fitted to the windows of the source corpora, in one scale for all of them.

    Features as for `predict_across`; no coordinate of the target is used. The penalty is chosen by leaving subjects of
    the sources out. Raises BadInput: the sources have a single subject.
    """
    steady, own = steady_across(features, task, sources, config)
    tasks = {name: one.task for name, one in sources.items()}
    points = np.concatenate([one.points for one in tasks.values()])
    names = np.concatenate([f"{name}/" + one.table["subject"].astype(str) for name, one in tasks.items()])
    owners = pd.factorize(names)[0].astype(np.int64)
    found: Predictions = {}
    for lds in LDS:
        x = np.concatenate([smooth(steady[name], one.table, lds) for name, one in tasks.items()])
        ridge = fit_ridge(x, points, owners, corpus_name(task.store))
        answers = ridge.predict(smooth(own, task.table, lds))
        found["affect_across", lds] = [Prediction(0, np.arange(len(task.table)), answers, points.mean(0))]
    return found


def steady_across(
    features: Features, task: Task, sources: dict[str, Features], config: EvaluateConfig
) -> tuple[dict[str, Array], Array]:
    """Features of the sources and of the target after running normalisation: by priors of the sources, if strict."""
    frozen = None
    if not features.fixed:
        frozen = mean_statistics(one for source in sources.values() for one in source.statistics.values())
    raw = {name: source.by(frozen) for name, source in sources.items()}
    own = features.by(frozen)
    moments = {
        f"{name}/{subject}": one
        for name, source in sources.items()
        for subject, one in subject_moments(raw[name], source.task.table).items()
    }
    prior = prior_of(moments, list(moments))
    steady = {
        name: normalise(raw[name], one.task.table, _prior(raw[name], one.task, prior, config), config.decay)
        for name, one in sources.items()
    }
    return steady, normalise(own, task.table, _prior(own, task, prior, config), config.decay)


def codes_in(labels: Sequence[str], task: Task) -> Rows:
    """Place of every window's class in `labels`, -1 where it has none there."""
    place = {name: code for code, name in enumerate(labels)}
    return np.array([place.get(task.labels[code], -1) for code in task.codes], np.int64)


def _regression(x: Array, task: Task, fold: int, train: Rows, test: Rows) -> Prediction:
    owner = pd.factorize(task.table["subject"])[0].astype(np.int64)[train]
    if len(np.unique(owner)) == 1:  # the trials of a single training subject choose the penalty
        owner = task.table["row"].to_numpy(np.int64)[train]
    known = task.points[train]
    ridge = fit_ridge(x[train], known, owner, corpus_name(task.store))
    return Prediction(fold, test, ridge.predict(x[test]), known.mean(0))


def _probe(x: Array, task: Task, config: EvaluateConfig, train: Rows, test: Rows, seed: tuple[int, int]) -> Array:
    if config.probe.kind in LINEAR:
        return linear_scores(x[train], task.codes[train], x[test], len(task.labels), config.probe)
    chosen_on = (x[test], task.codes[test]) if config.protocol == "published" else None
    fitted = fit_probe(
        x[train], task.codes[train], len(task.labels), config.probe, (config.seed, *seed), select_on=chosen_on
    )
    return fitted.probabilities(x[test])


def _neighbours(x: Array, task: Task, config: EvaluateConfig, test: Rows, pool: Rows) -> Array:
    key = task.table["subject"] if config.exclude == "subject" else task.table["row"]
    owner = pd.factorize(key)[0].astype(np.int64)
    return class_similarity(x[test], x[pool], task.codes[pool], len(task.labels), owner[test], owner[pool])


def _pool(table: pd.DataFrame, held_out: frozenset[str]) -> Rows:
    return np.flatnonzero(~table["stimulus"].isin(held_out).to_numpy())


def _prior(raw: Array, task: Task, of_sources: Prior, config: EvaluateConfig) -> Prior:
    if config.protocol == "strict":
        return of_sources
    return prior_of(subject_moments(raw, task.table), task.subjects)
