"""What a read-out is fitted on: windows of one or several corpora, with their features as people left out would have
them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from mdjpt_model.layers import LayerStatistics, Mode, mean_statistics
from mdjpt_model.readout import Readout
from mdjpt_platform.config import EvaluateConfig, RunConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.features import by_group
from mdjpt_platform.evaluate.protocols import Split, zero_shot_folds
from mdjpt_platform.evaluate.regression import Float
from mdjpt_platform.evaluate.smoothing import Prior, normalise, prior_of, subject_moments
from mdjpt_platform.evaluate.task import Features, Task
from mdjpt_platform.evaluate.windows import Array, Rows, WindowStore, corpus_name, window_table

FOLDS = 5
"""Most folds of people left out."""


@dataclass
class Material:
    """Windows of the corpora, one corpus after the other, read in one mode. People are called `corpus/subject`."""

    model: nn.Module
    tasks: dict[str, Task]
    config: EvaluateConfig
    mode: Mode
    progress: bool = False
    _raw: dict[str, Features] = field(default_factory=dict)

    @property
    def owners(self) -> list[str]:
        """Whose window it is, window by window."""
        return [f"{name}/{subject}" for name, task in self.tasks.items() for subject in task.table["subject"]]

    @property
    def people(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted(set(self.owners)))

    def splits(self, seed: int) -> list[Split]:
        """Everybody left out once. Raises BadInput: a single person."""
        return zero_shot_folds(self.people, min(FOLDS, len(self.people)), seed, ", ".join(self.tasks))

    def given(self, people: Collection[str]) -> tuple[Array, Readout]:
        """Normalised features [n, M] of all windows when `people` are who may be learned from, and by what."""
        frozen = self._frozen(people)
        raw = {name: self._features(name).by(frozen) for name in self.tasks}
        moments = {
            f"{name}/{subject}": one
            for name, task in self.tasks.items()
            for subject, one in subject_moments(raw[name], task.table).items()
        }
        prior = prior_of(moments, sorted(set(people) & set(moments)))
        readout = Readout(torch.from_numpy(prior.mean), torch.from_numpy(prior.var), frozen=frozen)
        return np.concatenate(
            [self._steady(raw[name], task, prior, readout) for name, task in self.tasks.items()]
        ), readout

    def _steady(self, raw: Array, task: Task, prior: Prior, readout: Readout) -> Array:
        if self.mode == "frozen":  # every window by itself
            return readout.normalise(torch.from_numpy(raw), "frozen", self.config.decay).numpy()
        return normalise(raw, task.table, prior, self.config.decay)

    def _features(self, name: str) -> Features:
        if name not in self._raw:
            config = self.config.model_copy(update={"normalisation": self.mode})
            self._raw[name] = Features(self.model, self.tasks[name], config, self.progress)
        return self._raw[name]

    def _frozen(self, people: Collection[str]) -> LayerStatistics | None:
        if self.mode != "frozen" or not by_group(self.model):
            return None
        return mean_statistics(
            one
            for name in self.tasks
            for (subject, _), one in self._features(name).statistics.items()
            if f"{name}/{subject}" in people
        )


@dataclass(frozen=True)
class Truth:
    """What the windows of a material are, [n]: class codes (-1: none) and coordinates (NaN: unknown)."""

    labels: tuple[str, ...]
    codes: Rows
    points: Float


def tasks_of(stores: dict[str, WindowStore], names: Sequence[str], run: RunConfig) -> dict[str, Task]:
    """Windows with a label or with coordinates, or both. Raises BadInput: none of a corpus, a trial too short."""
    found = {}
    for name in names:
        store = stores[name]
        table = window_table(store, run.evaluate.windows.get(name, run.window))
        known = table["label"].isin(list(store.labels)).to_numpy()
        rated = store.index[["valence", "arousal"]].notna().all(axis=1).to_numpy()[table["row"].to_numpy()]
        table = table[known | rated].reset_index(drop=True)
        if table.empty:
            raise BadInput(corpus_name(store), "label, valence, arousal", "none", "labelled or rated trials")
        code = {label: number for number, label in enumerate(store.labels)}
        codes = np.array([code.get(label, -1) for label in table["label"]], np.int64)
        found[name] = Task(store, table, codes, tuple(store.labels))
    return found


def truth_of(tasks: dict[str, Task]) -> Truth:
    """Classes that occur, in the order of the label scheme. Raises BadInput: corpora with different label schemes."""
    schemes = {task.labels for task in tasks.values()}
    if len(schemes) > 1:
        found = "; ".join(f"{name}: {', '.join(task.labels)}" for name, task in tasks.items())
        raise BadInput(
            "command line", "--on", found, "corpora with one label scheme (corpora.NAME.labels), or one corpus"
        )
    (labels,) = schemes
    codes = np.concatenate([task.codes for task in tasks.values()])
    there = [code for code in range(len(labels)) if (codes == code).any()]
    place = np.full(len(labels) + 1, -1, np.int64)
    place[there] = np.arange(len(there))
    points = np.concatenate([task.points for task in tasks.values()])
    return Truth(tuple(labels[code] for code in there), place[codes], points)
