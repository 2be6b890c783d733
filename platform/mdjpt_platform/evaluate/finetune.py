"""Read-out `fine_tune`: encoder and a linear classifier trained end to end on the training subjects' windows.

One training gives the answers for every smoothing: the operators of smoothing.py act on the features of a test trial,
as they do in the other read-outs, and since their rows sum to 1 and the classifier is linear, that is the same as
smoothing its logits. Training windows stay unsmoothed, and there is no running normalisation: what sets subjects apart
is for the encoder to unlearn (mdJPT's own layers normalise every subject-session by itself).
The released mdJPT code does not fine-tune. EMOD's does, but keeps the epoch with the best kappa (SYSTEMS 2.6); here
the number of epochs is fixed and test windows are first looked at when the weights are final, whatever the protocol.
Shapes: B windows of a batch, M features.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mdjpt_model.layers import mean_statistics, pool
from mdjpt_platform.config import EvaluateConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.features import by_group, encode, group_statistics
from mdjpt_platform.evaluate.protocols import Part, parts, stimulus_folds
from mdjpt_platform.evaluate.readout import STIMULI, Prediction, Predictions, splits_of
from mdjpt_platform.evaluate.smoothing import LDS, Lds, smooth
from mdjpt_platform.evaluate.task import Task
from mdjpt_platform.evaluate.windows import Array, Rows, corpus_name, cut, groups

TUNED = "fine_tune"
"""Name of the read-out."""
FLOOR = 0.1
"""Least spread that a feature is divided by, in root mean squares of all spreads: a nearly dead one stays small."""


class Classifier(nn.Module):
    """Features [B, M] -> logits [B, classes]: one linear map of features brought to unit spread.

    Mean and spread are those of `start` [n, M], what the training windows are before any training: mdJPT's features
    are around 1e-3 and would take many epochs to move a linear map of unit-sized inputs.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, start: Array, classes: int, dropout: float) -> None:
        super().__init__()
        spread = start.std(0, dtype=np.float64)
        least = FLOOR * math.sqrt(float(np.square(spread).mean()))
        self.register_buffer("mean", torch.from_numpy(start.mean(0, dtype=np.float64)).float())
        self.register_buffer("spread", torch.from_numpy(np.maximum(spread, least or 1.0)).float())
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(start.shape[1], classes)

    def forward(self, features: Tensor) -> Tensor:
        """[B, M] -> [B, classes]."""
        out: Tensor = self.linear(self.dropout((features - self.mean) / self.spread))
        return out


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned copy of an encoder and its classifier, in evaluation mode."""

    model: nn.Module
    classifier: Classifier
    train: Rows
    """Windows that it was trained on: they give the statistics under `normalisation: frozen`."""

    def probabilities(self, task: Task, test: Rows, config: EvaluateConfig) -> dict[Lds, Array]:
        """[len(test), classes] by smoothing; `test` in ascending order, holding whole trials.

        An encoder that normalises by group takes its statistics as in the other read-outs: for `whole` and `causal`
        from all windows of the tested subject-sessions, for `frozen` from the training windows.
        Raises BadInput: a signal or feature that is not finite, a test group of a single window.
        """
        seen, frozen = test, None
        if by_group(self.model):
            if config.normalisation == "frozen":
                known = group_statistics(self.model, task.store, task.table.iloc[self.train], config)
                frozen = mean_statistics(known.values())
            tested = task.table["subject"].iloc[test].unique()
            seen = np.flatnonzero(task.table["subject"].isin(tested).to_numpy())
        features = encode(self.model, task.store, task.table.iloc[seen], _grouped(config), frozen=frozen)
        features = features[np.searchsorted(seen, test)]
        return {lds: self._answers(smooth(features, task.table.iloc[test], lds)) for lds in LDS}

    def _answers(self, features: Array) -> Array:
        with torch.inference_mode():
            logits = self.classifier(torch.from_numpy(features).to(self.classifier.mean.device))
            found: Array = logits.softmax(1).cpu().numpy()
        return found


@dataclass(frozen=True)
class Training:
    """One training of the read-out: its name, its fold of subjects, who trains and who is tested."""

    readout: str
    fold: int
    part: Part


def trainings(task: Task, config: EvaluateConfig) -> list[Training]:
    """All trainings of one encoder, with the folds of few_shot: without and with held-out stimuli.

    Raises BadInput: too few subjects or stimuli, a class without window in a training (it would never be answered).
    """
    where, held = corpus_name(task.store), {TUNED: list[frozenset[str]]()}
    if config.stimulus_folds:
        held[TUNED + STIMULI] = stimulus_folds(task.table, config.stimulus_folds, config.seed, where)
    found = [
        Training(name, split.fold, part)
        for name, held_out in held.items()
        for split in splits_of("few_shot", task, config)
        for part in parts(task.table, split, held_out)
        if len(part.test)
    ]
    for one in found:
        absent = [task.labels[code] for code in np.setdiff1d(task.codes, task.codes[one.part.train])]
        if absent:
            subjects = ", ".join(sorted({str(name) for name in task.table["subject"].iloc[one.part.train]}))
            what = f"{one.readout}: no training window of class {', '.join(absent)} (subjects {subjects or 'none'})"
            raise BadInput(where, f"fold {one.fold}", what, "every class in every training: fewer evaluate.folds")
    return found


def predict_tuned(model: nn.Module, task: Task, config: EvaluateConfig, advance: Callable[[int], None]) -> Predictions:
    """Answers for all test windows, with and without held-out stimuli; `advance` hears of every epoch.

    Raises BadInput: as `trainings`, `fine_tune` and `Tuned.probabilities`.
    """
    found: Predictions = {}
    for one in trainings(task, config):
        seed = (config.seed, one.fold, one.part.stimulus_fold)
        tuned = fine_tune(model, task, one.part.train, config, seed, advance)
        for lds, scores in tuned.probabilities(task, one.part.test, config).items():
            found.setdefault((one.readout, lds), []).append(Prediction(one.fold, one.part.test, scores))
    return found


def fine_tune(
    model: nn.Module,
    task: Task,
    train: Rows,
    config: EvaluateConfig,
    seed: Sequence[int],
    advance: Callable[[int], None],
) -> Tuned:
    """Train a copy of `model`, on its device, and a new classifier on the windows `train`; `model` stays as it is.

    AdamW, cosine to zero, label smoothing, clipped gradients, no class weights, `config.fine_tune.epochs` epochs.
    The order of windows comes from a generator of its own and dropout from a forked one, both seeded by `seed` =
    (seed, fold, ...), so a training depends on nothing that ran before it. `advance` hears of every epoch.
    An encoder that normalises by group gets batches of a few subject-sessions, at least `block` windows each, drawn at
    random over the whole session: statistics of one trial's windows would take out what tells its class, and those of
    a random share are close to the whole subject-session's, by which test windows are normalised.
    Raises BadInput: no training window, a training group of a single window, a signal or loss that is not finite.
    """
    settings, random = config.fine_tune, np.random.default_rng(np.random.SeedSequence([*seed]))
    device = next(model.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(random.integers(1 << 63)))
        model = copy.deepcopy(model).requires_grad_().train()
        start = encode(model, task.store, task.table.iloc[train], _grouped(config, "whole"))
        classifier = Classifier(start, len(task.labels), settings.dropout).to(device).train()
        rates = [(model, settings.lr * settings.encoder_lr), (classifier, settings.lr)]
        optimiser = torch.optim.AdamW(
            [{"params": list(part.parameters()), "lr": rate} for part, rate in rates],
            weight_decay=settings.weight_decay,
        )
        weights = [weight for part, _ in rates for weight in part.parameters()]
        done, total = 0, settings.epochs * len(batches(task, train, config, by_group(model), random))
        for _ in range(settings.epochs):
            for blocks in batches(task, train, config, by_group(model), random):
                rows = np.concatenate(blocks)
                truth = torch.from_numpy(task.codes[rows]).to(device)
                logits = classifier(_features(model, task, blocks, config).float())
                loss = functional.cross_entropy(logits, truth, label_smoothing=settings.label_smoothing)
                if not math.isfinite(loss.item()):
                    found = f"a loss of {loss.item()} in step {done} of {total}"
                    raise BadInput(corpus_name(task.store), "fine-tuning", found, "a finite one; try a lower lr")
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(weights, settings.clip)
                for group, (_, rate) in zip(optimiser.param_groups, rates, strict=True):
                    group["lr"] = rate * (1 + math.cos(math.pi * done / max(1, total - 1))) / 2
                optimiser.step()
                done += 1
            advance(1)
    return Tuned(model.eval(), classifier.eval(), train)


def _features(model: Any, task: Task, blocks: Sequence[Rows], config: EvaluateConfig) -> Tensor:
    """[B, M] of the windows of all blocks, with gradients."""
    windows = torch.from_numpy(cut(task.store, task.table, np.concatenate(blocks)))
    windows, channels = windows.to(next(model.parameters()).device), tuple(task.store.channels)
    if not by_group(model):
        out: Tensor = model.features(windows, channels)
        return out
    owners = torch.repeat_interleave(torch.arange(len(blocks)), torch.tensor([len(block) for block in blocks]))
    return pool(model(windows, channels, owners, embed=False).maps, config.feature)


def batches(
    task: Task, train: Rows, config: EvaluateConfig, grouped: bool, random: np.random.Generator
) -> list[list[Rows]]:
    """One epoch: batches of blocks, every training window once, sizes as equal as can be.

    A block holds windows of one subject-session, all of them where it has fewer than two blocks' worth; where nothing
    is normalised by group, a block is one window.
    """
    settings = config.fine_tune
    block = settings.block if grouped else 1
    sessions = [train[at] for at in groups(task.table.iloc[train]).values()]
    blocks = [part for one in sessions for part in np.array_split(random.permutation(one), max(1, len(one) // block))]
    count = math.ceil(len(blocks) * block / max(block, settings.batch))
    return [[blocks[i] for i in part] for part in np.array_split(random.permutation(len(blocks)), count)]


def _grouped(config: EvaluateConfig, normalisation: str | None = None) -> EvaluateConfig:
    """Statistics by subject-session under any protocol: the released halves of batches belong to frozen features."""
    return config.model_copy(update={"protocol": "strict", "normalisation": normalisation or config.normalisation})
