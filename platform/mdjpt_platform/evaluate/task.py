"""What is read out: windows of one corpus with their truth, and their features by one method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from torch import nn

from mdjpt_model.layers import LayerStatistics, mean_statistics
from mdjpt_platform.config import EvaluateConfig, WindowConfig
from mdjpt_platform.evaluate.bands import differential_entropy
from mdjpt_platform.evaluate.features import Group, by_group, encode, group_statistics
from mdjpt_platform.evaluate.regression import Float
from mdjpt_platform.evaluate.windows import Array, Rows, WindowStore, label_codes, window_table


@dataclass(frozen=True)
class Task:
    """Windows of one corpus that have a label, or valence and arousal."""

    store: WindowStore
    table: pd.DataFrame
    codes: Rows
    """Class of every window; -1 where it has none, which only a task in valence and arousal admits."""
    labels: tuple[str, ...]

    @property
    def points(self) -> Float:
        """Valence and arousal of every window, [n, 2]; NaN where unknown."""
        trials: Float = self.store.index[["valence", "arousal"]].to_numpy(np.float64)
        return trials[self.table["row"].to_numpy()]

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
        return self.model is None or not by_group(self.model) or self.config.normalisation != "frozen"

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


def labelled_task(store: WindowStore, window: WindowConfig) -> Task:
    """All labelled windows of a store. Raises BadInput: no label, a trial shorter than a window."""
    table = window_table(store, window, labelled=True)
    return Task(store, table, label_codes(store, table), tuple(store.labels))


def rated_task(store: WindowStore, window: WindowConfig) -> Task:
    """All windows with valence and arousal, labelled or not. Raises BadInput: none, a trial shorter than a window."""
    table = window_table(store, window, rated=True)
    labelled = table["label"].notna().to_numpy()
    codes = np.full(len(table), -1, np.int64)
    codes[labelled] = label_codes(store, table[labelled])
    return Task(store, table, codes, tuple(store.labels))
