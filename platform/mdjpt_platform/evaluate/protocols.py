"""Who trains and who is tested: disjoint folds of subjects, one subject at a time, held-out stimuli."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.windows import Rows

DEALS = 1000
"""Deals of stimuli among which the most even one is taken."""


@dataclass(frozen=True)
class Split:
    """Disjoint subjects for training and for testing."""

    fold: int
    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """Rows of the window table for one training and its test; `stimulus_fold` is 0 if no stimulus is held out."""

    stimulus_fold: int
    train: Rows
    test: Rows


def few_shot_folds(subjects: Sequence[str], folds: int, seed: int, where: str = "target") -> list[Split]:
    """Train on one fold of the subjects, test on all others: 1:3 with four folds; every fold trains once.

    The folds are disjoint and as equal as can be (the released lists are 1:4 for two corpora and overlap, SYSTEMS
    1.13, 13), and depend on the set of subjects and the seed alone. Raises BadInput: fewer subjects than folds.
    """
    parts = _folds(subjects, folds, seed, where)
    everyone = sorted(set(subjects))
    return [Split(k, part, tuple(s for s in everyone if s not in part)) for k, part in enumerate(parts)]


def zero_shot_folds(subjects: Sequence[str], folds: int, seed: int, where: str = "target") -> list[Split]:
    """The same folds the other way round: each is tested once, its priors come from all other subjects."""
    return [Split(one.fold, one.test, one.train) for one in few_shot_folds(subjects, folds, seed, where)]


def loso(subjects: Sequence[str], where: str = "target") -> list[Split]:
    """Test each subject on a probe trained on all others. Raises BadInput: a single subject."""
    everyone = sorted(set(subjects))
    _several(everyone, 2, where)
    return [Split(k, tuple(s for s in everyone if s != one), (one,)) for k, one in enumerate(everyone)]


def stimulus_folds(table: pd.DataFrame, folds: int, seed: int, where: str = "target") -> list[frozenset[str]]:
    """Disjoint sets of stimuli that cover all; every class is dealt round-robin, so each set holds its share.

    A class that reaches every set is dealt from the first on: were the deal to go on where the last class ended, a set
    rich in one class would leave a training poor in it, and guessing from the training would fall below chance.

    Raises BadInput: fewer stimuli than folds, a class with one stimulus (a probe would never see the class).
    """
    usual = table.drop_duplicates("row").groupby("stimulus", sort=True)["label"].agg(lambda one: one.mode().iloc[0])
    _enough_stimuli(len(usual), folds, where)
    random = np.random.default_rng(np.random.SeedSequence([seed, folds]))
    dealt: list[list[str]] = [[] for _ in range(folds)]
    first = 0
    for label, names in usual.groupby(usual, sort=True).groups.items():
        if len(names) < 2:
            raise BadInput(where, "evaluate.stimulus_folds", f"one stimulus of class {label!r}", "two or more a class")
        first = 0 if len(names) >= folds else first
        for place, name in enumerate(random.permutation(sorted(map(str, names)))):
            dealt[(first + place) % folds].append(str(name))
        first += len(names)
    return [frozenset(one) for one in dealt]


def affect_folds(
    table: pd.DataFrame, points: NDArray[np.float64], folds: int, seed: int, where: str = "target"
) -> list[frozenset[str]]:
    """Disjoint sets of stimuli that cover all and are alike in mean valence and arousal: the most even of many deals.

    `points` [n, 2]: coordinates of every window. Classes need not be known. Were high valence held out all at once,
    its training would answer too low just there, and agreement by guessing would fall below chance.
    Raises BadInput: fewer stimuli than folds, a single fold.
    """
    means = pd.DataFrame(points).groupby(table["stimulus"].astype(str).to_numpy(), sort=True).mean()
    _enough_stimuli(len(means), folds, where)
    spread = means.std(ddof=0)
    off = ((means - means.mean()) / spread.where(spread > 0, 1)).to_numpy(np.float64)

    def unevenness(deal: Rows) -> float:
        # Rounded: many deals are equally even, and which one is taken shall not hang on the last digit.
        return round(sum(float(np.square(off[one].mean(0)).sum()) for one in np.array_split(deal, folds)), 9)

    random = np.random.default_rng(np.random.SeedSequence([seed, folds]))
    best = min((random.permutation(len(means)) for _ in range(DEALS)), key=unevenness)
    return [frozenset(means.index[one]) for one in np.array_split(best, folds)]


def parts(table: pd.DataFrame, split: Split, held_out: Sequence[frozenset[str]] = ()) -> Iterator[Part]:
    """Rows for each training of a split; with held-out stimuli one a set, tested on that set alone.

    No subject and, with `held_out`, no stimulus is on both sides. Together the parts test every window of the test
    subjects once.
    """
    subjects = table["subject"]
    train, test = subjects.isin(split.train).to_numpy(), subjects.isin(split.test).to_numpy()
    if not held_out:
        yield Part(0, np.flatnonzero(train), np.flatnonzero(test))
    for number, stimuli in enumerate(held_out, start=1):
        held = table["stimulus"].isin(stimuli).to_numpy()
        yield Part(number, np.flatnonzero(train & ~held), np.flatnonzero(test & held))


def _folds(subjects: Sequence[str], folds: int, seed: int, where: str) -> list[tuple[str, ...]]:
    everyone = sorted(set(subjects))
    _several(everyone, folds, where)
    order = np.random.default_rng(np.random.SeedSequence([seed, 1])).permutation(len(everyone))
    return [tuple(sorted(everyone[i] for i in part)) for part in np.array_split(order, folds)]


def _enough_stimuli(stimuli: int, folds: int, where: str) -> None:
    if folds < 2:
        raise BadInput(where, "evaluate.stimulus_folds", f"{folds} fold", "2 or more, or 0 for none held out")
    if stimuli < folds:
        raise BadInput(where, "evaluate.stimulus_folds", f"{stimuli} stimuli for {folds} folds", "fewer folds")


def _several(subjects: Sequence[str], least: int, where: str) -> None:
    if len(subjects) < max(2, least):
        raise BadInput(
            where,
            "subjects",
            f"{len(subjects)} with labels ({', '.join(subjects[:3]) or 'none'})",
            f"at least {max(2, least)} (evaluate.folds), so that some train and others are tested",
        )
