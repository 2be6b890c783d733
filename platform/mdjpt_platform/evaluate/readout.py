"""From frozen features to class scores of every test window, for each read-out and each smoothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from torch import nn

from mdjpt_platform.config import EvaluateConfig
from mdjpt_platform.evaluate.bands import differential_entropy
from mdjpt_platform.evaluate.features import Group, encode, group_statistics
from mdjpt_platform.evaluate.layers import LayerStatistics, mean_statistics
from mdjpt_platform.evaluate.probe import class_similarity, fit_probe
from mdjpt_platform.evaluate.protocols import Split, few_shot_folds, loso, parts, stimulus_folds, zero_shot_folds
from mdjpt_platform.evaluate.smoothing import LDS, Lds, Prior, normalise, prior_of, smooth, subject_moments
from mdjpt_platform.evaluate.windows import Array, Rows, WindowStore, corpus_name

Splitter = Callable[[Sequence[str], EvaluateConfig, str], list[Split]]
SPLITTERS: dict[str, Splitter] = {
    "few_shot": lambda subjects, config, where: few_shot_folds(subjects, config.folds, config.seed, where),
    "zero_shot": lambda subjects, config, where: zero_shot_folds(subjects, config.folds, config.seed, where),
    "loso": lambda subjects, config, where: loso(subjects, where),
}
STIMULI = "_stimuli"
"""Suffix of a read-out whose test stimuli were in no training window either."""


@dataclass(frozen=True)
class Prediction:
    """Class scores [n, classes] of the windows `rows`, from one training."""

    fold: int
    rows: Rows
    scores: Array


Predictions = dict[tuple[str, Lds], list[Prediction]]
"""By read-out and smoothing."""


@dataclass(frozen=True)
class Task:
    """Labelled windows of one corpus."""

    store: WindowStore
    table: pd.DataFrame
    codes: Rows
    labels: tuple[str, ...]

    @property
    def subjects(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted({str(subject) for subject in self.table["subject"]}))


@dataclass
class Features:
    """Features of a corpus by one method: an encoder, or band entropy where `model` is None."""

    model: nn.Module | None
    task: Task
    config: EvaluateConfig
    progress: bool = False

    @cached_property
    def _alone(self) -> Array:
        if self.model is None:
            return differential_entropy(self.task.store, self.task.table, progress=self.progress)
        return encode(self.model, self.task.store, self.task.table, self.config, progress=self.progress)

    @cached_property
    def statistics(self) -> dict[Group, LayerStatistics]:
        """Layer statistics of every subject and session by itself; only under `normalisation: frozen`."""
        assert self.model is not None, "band entropy has no layers"
        return group_statistics(self.model, self.task.store, self.task.table, self.config, progress=self.progress)

    @property
    def fixed(self) -> bool:
        """Whether features depend on nobody else."""
        return self.model is None or self.config.normalisation != "frozen"

    def prepare(self) -> None:
        """Do the part that is the same for every split, with its own progress bar."""
        _ = self._alone if self.fixed else self.statistics

    def given(self, train: Sequence[str]) -> Array:
        """[n, M] when `train` are the subjects that may be learned from."""
        if self.fixed:
            return self._alone
        return self.by(mean_statistics(one for (subject, _), one in self.statistics.items() if subject in train))

    def by(self, frozen: LayerStatistics | None) -> Array:
        """[n, M] under the given frozen statistics."""
        if self.model is None or frozen is None:
            return self._alone
        return encode(self.model, self.task.store, self.task.table, self.config, frozen=frozen)


def splits_of(readout: str, task: Task, config: EvaluateConfig) -> list[Split]:
    """Who trains and who is tested in a read-out inside the target. Raises BadInput: too few subjects."""
    return SPLITTERS[readout](task.subjects, config, corpus_name(task.store))


def predict(
    readout: str, features: Features, task: Task, config: EvaluateConfig, advance: Callable[[int], None]
) -> Predictions:
    """Scores of all test windows for few_shot, loso or zero_shot, with and without held-out stimuli.

    Strict: everything learned (running prior, frozen statistics, probe) comes from the split's training subjects.
    Published: the prior comes from all subjects and the probe's epoch is chosen on the test subjects.
    """
    sets: list[tuple[str, Sequence[frozenset[str]]]] = [(readout, ())]
    if config.stimulus_folds:
        held = stimulus_folds(task.table, config.stimulus_folds, config.seed, corpus_name(task.store))
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
    steady_own = normalise(own, task.table, _prior(own, task, prior, config), config.decay)
    codes = _codes_in(labels, task)
    rows = np.flatnonzero(codes >= 0)
    keep = {name: _codes_in(labels, one.task) for name, one in sources.items()}
    known = np.concatenate([code[code >= 0] for code in keep.values()])
    found: Predictions = {}
    for lds in LDS:
        pool = np.concatenate(
            [smooth(steady[name], one.task.table, lds)[keep[name] >= 0] for name, one in sources.items()]
        )
        queries = smooth(steady_own, task.table, lds)[rows]
        nobody, others = np.full(len(rows), -1), np.zeros(len(pool), np.int64)
        scores = class_similarity(queries, pool, known, len(labels), nobody, others)
        found["across", lds] = [Prediction(0, rows, scores)]
    return found, codes


def _probe(x: Array, task: Task, config: EvaluateConfig, train: Rows, test: Rows, seed: tuple[int, int]) -> Array:
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


def _codes_in(labels: Sequence[str], task: Task) -> Rows:
    place = {name: code for code, name in enumerate(labels)}
    return np.array([place.get(task.labels[code], -1) for code in task.codes], np.int64)
