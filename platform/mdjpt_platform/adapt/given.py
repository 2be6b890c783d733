"""What an adaptation starts from: model and store held against each other, and every method's features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from mdjpt_model.layers import Mode
from mdjpt_model.pretrained import MODES, Pretrained
from mdjpt_model.readout import Readout
from mdjpt_platform.adapt.settings import Method
from mdjpt_platform.config import EvaluateConfig, StepConfig, WindowConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.bands import differential_entropy
from mdjpt_platform.evaluate.features import by_group, encode
from mdjpt_platform.evaluate.smoothing import Float, Prior, normalise, prior_of, subject_moments
from mdjpt_platform.evaluate.task import Task, labelled_task
from mdjpt_platform.evaluate.windows import Array, cut, groups
from mdjpt_platform.export.folder import load
from mdjpt_platform.families import FAMILIES
from mdjpt_platform.preprocess.recipe import recipe_hash
from mdjpt_platform.store import Store, open_store


@dataclass(frozen=True)
class Given:
    """A model and the labelled windows of a store that was prepared as the model asks for."""

    model: Pretrained
    store: Store
    task: Task
    """Windows of labelled trials; classes are those that occur."""

    @property
    def corpus(self) -> str:
        """Name of the corpus in the store."""
        return self.store.manifest.corpus

    @property
    def modes(self) -> tuple[Mode, ...]:
        """Ways of reading features that this model has: `frozen` needs the statistics of its training subjects."""
        known = not by_group(self.model.encoder) or "frozen" in self.model.readouts
        return tuple(mode for mode in MODES if mode != "frozen" or known)

    def config(self, mode: Mode, **changes: Any) -> EvaluateConfig:
        """How features are read; the probe is a logistic regression whose penalty is not chosen."""
        base = EvaluateConfig.model_validate({"feature": self.model.feature, "normalisation": mode})
        return base.model_copy(update={"probe": base.probe.model_copy(update={"kind": "logistic"}), **changes})


def open_both(model_folder: Path, store_folder: Path, classes: Sequence[str] = ()) -> Given:
    """Open model and store; `classes` are the labels that take part, all that occur by default.

    Raises BadInput: either is absent or damaged, another recipe or rate, a channel without a place, no labels, a class
    that nobody has, a trial shorter than a window.
    """
    model, store = load(model_folder), open_store(store_folder)
    own, wanted = recipe_hash(store.manifest.recipe), recipe_hash_of(model, model_folder)
    if own != wanted:
        raise BadInput(store_folder, "recipe", own, f"{wanted}, by which the model's recordings were prepared")
    if store.rate != model.rate:
        raise BadInput(store_folder, "rate", f"{store.rate:g} Hz", f"{model.rate:g} Hz, the model's")
    try:
        model.coverage(store.channels)
    except ValueError as error:
        raise BadInput(store_folder, "channels", error, "channels that the model has a place for") from None
    task = labelled_task(store, WindowConfig(seconds=model.seconds, step=model.step))
    return Given(model, store, _of_classes(task, classes))


def _of_classes(task: Task, classes: Sequence[str]) -> Task:
    """Windows of these classes, which are numbered anew in the store's order."""
    there = [task.labels[code] for code in np.unique(task.codes)]
    for name in classes:
        if name not in there:
            raise BadInput("command line", "--classes", repr(name), f"some of: {', '.join(there)}")
    kept = [name for name in there if not classes or name in classes]
    rows = task.table["label"].isin(kept).to_numpy()
    table = task.table[rows].reset_index(drop=True)
    codes = np.array([kept.index(name) for name in table["label"]], np.int64)
    return replace(task, table=table, codes=codes, labels=tuple(kept))


def recipe_hash_of(model: Pretrained, folder: Path) -> str:
    """The hash of the steps in the model's folder. Raises BadInput: steps that this version does not know."""
    try:
        return recipe_hash(tuple(StepConfig(step=one["step"], params=one["params"]) for one in model.recipe))
    except (KeyError, TypeError, ValueError, BadInput) as error:
        raise BadInput(folder, "recipe", error, "steps of this version") from None


@dataclass(frozen=True)
class View:
    """Features of all windows by one method, and what they are normalised by for a calibration."""

    raw: Array
    """[n, M]."""
    task: Task
    running: bool
    """By corpus: a prior of the calibration's subjects, along every recording. By subject: as they are, since the
    read-out standardises by the calibration's own windows, and a prior of other people would only fade in time."""
    mode: Mode
    decay: float

    def given(self, subjects: list[str]) -> tuple[Array, Prior]:
        """[n, M] when `subjects` calibrate, and the prior."""
        if not self.running:
            width = self.raw.shape[1]
            return self.raw, Prior(np.zeros(width), np.ones(width))
        prior = prior_of(subject_moments(self.raw, self.task.table), subjects)
        if self.mode == "frozen":  # every window by itself
            readout = Readout(torch.from_numpy(prior.mean), torch.from_numpy(prior.var))
            return readout.normalise(torch.from_numpy(self.raw), "frozen", self.decay).numpy(), prior
        return normalise(self.raw, self.task.table, prior, self.decay), prior


def features(given: Given, task: Task, method: Method, mode: Mode, seed: int, progress: bool) -> Array:
    """[n, M] of all windows of the task. `untrained`: the same architecture with random weights."""
    if method == "de":
        return differential_entropy(task.store, task.table, progress=progress)
    model: nn.Module = given.model.encoder
    frozen = None
    if method == "untrained":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = FAMILIES[given.model.family].build(cast(Any, given.model.encoder).spec).eval()
    elif mode == "frozen" and by_group(model):
        frozen = given.model.readouts["frozen"].frozen
    return encode(model, task.store, task.table, given.config(mode), frozen=frozen, progress=progress)


def own_answers(given: Given, mode: Mode) -> Float:
    """[n, K] probabilities by the model's own read-out, of the store's classes alone."""
    table, found = given.task.table, np.zeros((len(given.task.table), len(given.task.labels)))
    columns = [given.model.labels.index(name) for name in given.task.labels]
    for at in groups(table).values():
        probabilities = given.model.predict(cut(given.store, table, at), given.store.channels, mode).probabilities
        found[at] = cast(Tensor, probabilities).double().numpy()[:, columns]
    total: Float = found.sum(1, keepdims=True)
    return np.asarray(found / np.maximum(total, np.finfo(float).tiny))


def without_own(given: Given, mode: Mode) -> str:
    """Why the model's own read-out cannot be asked, or may not be; empty if it can."""
    model = given.model
    if mode not in model.modes or not model.readouts[mode].layers:
        return f"the model has no classifier for mode {mode}"
    absent = [name for name in given.task.labels if name not in model.labels]
    if absent:
        return f"it knows no class {', '.join(absent)}"
    if any("read-out" in row["part"] and same(row, given.store) for row in model.config["trained"]["corpora"]):
        return "it was fitted on this very corpus"
    return ""


def same(row: dict[str, Any], store: Store) -> bool:
    """Whether a corpus that the model was made of is the one in the store: the same data, or the same name."""
    named = (row["name"], row["layout"]) == (store.manifest.corpus, store.manifest.layout)
    return bool(named or row["fingerprint"] == store.fingerprint)
