"""Which trials calibrate and which test. Pure: labels, times and stimuli alone, no signal.

A trial is on one side as a whole, and so is a stimulus unless the same stimuli are allowed. The test trials of a draw
are the same for every number of calibration trials, and a larger calibration holds every smaller one, so a curve rises
or falls by what is added and by nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mdjpt_platform.adapt.settings import Settings
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.protocols import stimulus_folds
from mdjpt_platform.evaluate.windows import ORDER, Rows

TIME = ORDER[1:4]
"""Session, play order, trial: how a subject lived through it."""


@dataclass(frozen=True)
class Draw:
    """One way of dealing trials. Numbers are rows of the table of trials."""

    who: str
    """Subject; empty where subjects are dealt."""
    number: int
    calibration: Mapping[int, Rows]
    """By size: so many trials of every class, or all trials of so many subjects."""
    test: Rows


def trials_table(windows: pd.DataFrame, codes: Rows) -> pd.DataFrame:
    """One row a trial of a window table, with its class `code` and its number of windows, in the order of time."""
    table = windows.assign(code=codes, windows=1)
    columns = ["subject", "session", "play_order", "trial", "stimulus", "label", "row", "code"]
    found = table.groupby(columns, sort=False, as_index=False)["windows"].sum()
    return found.sort_values(ORDER[:4], kind="stable", ignore_index=True)


def draws(trials: pd.DataFrame, classes: int, settings: Settings, where: str) -> tuple[list[Draw], tuple[str, ...]]:
    """All draws, and the subjects left out because they cannot take part, sorted.

    Raises BadInput: fewer than two classes, nobody with enough trials, fewer trials or subjects than were asked for.
    """
    if classes < 2:
        raise BadInput(where, "label", "one class", "labelled trials of two or more classes")
    if settings.by == "corpus":
        return _corpus_draws(trials, classes, settings, where)
    return _subject_draws(trials, classes, settings, where)


def powers(most: int) -> tuple[int, ...]:
    """1, 2, 4, ... up to `most`."""
    return tuple(2**k for k in range(most.bit_length()))


def _subject_draws(
    trials: pd.DataFrame, classes: int, settings: Settings, where: str
) -> tuple[list[Draw], tuple[str, ...]]:
    least = max(settings.sizes, default=1)
    deals: dict[str, list[tuple[Rows, Rows]]] = {}
    room: dict[str, int] = {}
    names = sorted({str(name) for name in trials["subject"]})
    for place, name in enumerate(names):
        own = np.flatnonzero((trials["subject"] == name).to_numpy())
        if settings.order == "first":
            room[name] = _room_first(trials, own, classes, settings.same_stimuli)
            continue
        deals[name] = [
            _dealt(trials, own, np.random.default_rng(np.random.SeedSequence([settings.seed, place, number])), settings)
            for number in range(settings.draws)
        ]
        room[name] = min(_room(trials, *deal, classes) for deal in deals[name])
    chosen = [name for name in names if room[name] >= least]
    if not chosen:
        most = max(room.values())
        found = f"room for {most} of each class" if most else "nobody with trials of each class for both sides"
        expected = f"{least} of each class to calibrate with and at least as many others to test on"
        raise BadInput(where, "trials of a subject", found, f"{expected}; or --same-stimuli if stimuli are repeated")
    sizes = settings.sizes or powers(min(room[name] for name in chosen))
    dealt: list[Draw] = []
    for name in chosen:
        if settings.order == "first":
            own = np.flatnonzero((trials["subject"] == name).to_numpy())
            pools = [_first(trials, own, classes, max(sizes), settings.same_stimuli)]
        else:
            pools = deals[name]
        dealt += [
            Draw(name, number, {size: _of_each(trials, pool, size) for size in sizes}, np.sort(test))
            for number, (pool, test) in enumerate(pools)
        ]
    return dealt, tuple(name for name in names if name not in chosen)


def _dealt(trials: pd.DataFrame, own: Rows, random: np.random.Generator, settings: Settings) -> tuple[Rows, Rows]:
    """(calibration in random order, test): of every class up to half of the trials calibrate, stimuli kept whole."""
    part = trials.iloc[own]
    key = part["row"] if settings.same_stimuli else part["stimulus"]
    units = [own[at] for at in part.reset_index(drop=True).groupby(key.to_numpy(), sort=True).indices.values()]
    codes = trials["code"].to_numpy()
    kept: list[Rows] = []
    test: list[Rows] = []
    for code in np.unique(codes[own]):
        members = [unit for unit in units if codes[unit[0]] == code]
        total, taken = sum(len(unit) for unit in members), 0
        for at in random.permutation(len(members)):
            unit = members[at]
            if taken + len(unit) <= total // 2:
                kept.append(unit)
                taken += len(unit)
            else:
                test.append(unit)
    none = np.empty(0, np.int64)
    return random.permutation(np.concatenate([none, *kept])), np.concatenate([none, *test])


def _first(trials: pd.DataFrame, own: Rows, classes: int, size: int, same_stimuli: bool) -> tuple[Rows, Rows]:
    """(calibration in order of time, test): the beginning that holds `size` trials of every class, and all after it."""
    counts = np.cumsum(np.eye(classes, dtype=np.int64)[trials["code"].to_numpy()[own]], axis=0)
    reached = np.flatnonzero((counts >= size).all(1))
    if not len(reached):
        return own, own[:0]
    before, after = np.split(own, [int(reached[0]) + 1])
    if not same_stimuli:
        after = after[~trials["stimulus"].iloc[after].isin(trials["stimulus"].iloc[before]).to_numpy()]
    return before, after


def _room_first(trials: pd.DataFrame, own: Rows, classes: int, same_stimuli: bool) -> int:
    room = 0
    for size in range(1, len(own) // (2 * classes) + 1):
        before, after = _first(trials, own, classes, size, same_stimuli)
        if len(after) < size * classes or len(np.unique(trials["code"].iloc[after])) < classes:
            break
        room = min(size, _room(trials, before, after, classes))
    return room


def _room(trials: pd.DataFrame, pool: Rows, test: Rows, classes: int) -> int:
    """Trials of every class that the pool has; 0 where a class cannot be tested."""
    counts = [np.bincount(trials["code"].iloc[part], minlength=classes) for part in (pool, test)]
    return int(counts[0].min()) if counts[1].min() > 0 else 0


def _of_each(trials: pd.DataFrame, pool: Rows, size: int) -> Rows:
    """The first `size` trials of every class of the pool, sorted."""
    place = trials.iloc[pool].groupby("code", sort=False).cumcount().to_numpy()
    return np.sort(pool[place < size])


def _corpus_draws(
    trials: pd.DataFrame, classes: int, settings: Settings, where: str
) -> tuple[list[Draw], tuple[str, ...]]:
    names = sorted({str(name) for name in trials["subject"]})
    complete = trials.groupby("subject")["code"].nunique() == classes
    chosen = [name for name in names if complete[name]]
    most, least = len(chosen) // 2, max(settings.sizes, default=1)
    if most < least:
        found = f"{len(chosen)} with trials of every class"
        raise BadInput(where, "subjects", found, f"{2 * least}: {least} to calibrate with, as many to test on")
    sizes = settings.sizes or powers(most)
    found_draws = []
    for number in range(settings.draws):
        random = np.random.default_rng(np.random.SeedSequence([settings.seed, number]))
        order = [chosen[at] for at in random.permutation(len(chosen))]
        sides = order[:most], order[most:]
        pool, test = (np.flatnonzero(trials["subject"].isin(side).to_numpy()) for side in sides)
        if not settings.same_stimuli:
            pool, test = _apart(trials, pool, test, settings.seed + number, where)
        owners = trials["subject"].to_numpy()
        calibration = {size: pool[np.isin(owners[pool], order[:size])] for size in sizes}
        found_draws.append(Draw("", number, calibration, test))
    _every_class(trials, found_draws, classes, where)
    return found_draws, tuple(name for name in names if name not in chosen)


def _apart(trials: pd.DataFrame, pool: Rows, test: Rows, seed: int, where: str) -> tuple[Rows, Rows]:
    """Both sides with stimuli of their own: as they are, or each with its half of all stimuli."""
    stimuli = trials["stimulus"]
    if not set(stimuli.iloc[pool]) & set(stimuli.iloc[test]):
        return pool, test
    try:
        halves = stimulus_folds(trials, 2, seed, where)
    except BadInput as error:
        expected = f"{error.expected}, so that none is on both sides; or --same-stimuli"
        raise BadInput(where, "stimuli", error.found, expected) from None
    kept = [stimuli.iloc[rows].isin(half).to_numpy() for rows, half in zip((pool, test), halves, strict=True)]
    return pool[kept[0]], test[kept[1]]


def _every_class(trials: pd.DataFrame, found: Sequence[Draw], classes: int, where: str) -> None:
    codes = trials["code"].to_numpy()
    for draw in found:
        for rows in (*draw.calibration.values(), draw.test):
            there = len(np.unique(codes[rows]))
            if there < classes:
                text = f"{there} of {classes} classes on one side of draw {draw.number}"
                raise BadInput(where, "stimuli", text, "every class on both sides; --same-stimuli, or more stimuli")
