"""What is dealt to both sides of a calibration: properties that hold for every table."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mdjpt_platform.adapt.settings import Settings
from mdjpt_platform.adapt.split import Draw, draws, powers, trials_table
from mdjpt_platform.errors import BadInput
from planted_store import table

CASES = list(itertools.product(("random", "first"), (False, True), (1, 2), range(4)))


def dealt(trials: pd.DataFrame, classes: int = 3, **changes: Any) -> list[Draw]:
    return draws(trials, classes, Settings(**{"draws": 4, **changes}), "own")[0]


@pytest.mark.parametrize(("order", "same", "repeats", "seed"), CASES)
def test_no_trial_and_no_stimulus_is_on_both_sides(order: str, same: bool, repeats: int, seed: int) -> None:
    trials = table(subjects=3, classes=3, trials=36, repeats=repeats, seed=seed)
    found = dealt(trials, order=order, same_stimuli=same, seed=seed)
    assert {draw.who for draw in found} == {"s0", "s1", "s2"}
    for draw in found:
        for size, rows in draw.calibration.items():
            assert not set(rows) & set(draw.test)
            assert set(trials["subject"].iloc[[*rows, *draw.test]]) == {draw.who}
            assert np.bincount(trials["code"].iloc[rows], minlength=3).tolist() == [size] * 3
            if not same:
                assert not set(trials["stimulus"].iloc[rows]) & set(trials["stimulus"].iloc[draw.test])
        assert set(trials["code"].iloc[draw.test]) == {0, 1, 2}
        assert len(draw.test) >= 3 * max(draw.calibration)


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_order_first_calibrates_with_what_came_first(seed: int, same: bool) -> None:
    trials = table(subjects=2, classes=2, trials=40, repeats=1, seed=seed)
    for draw in dealt(trials, 2, order="first", same_stimuli=same):
        time = trials["play_order"].to_numpy()
        for size, rows in draw.calibration.items():
            assert time[rows].max() < time[draw.test].min()
            for code in (0, 1):  # the first of their class
                own = np.flatnonzero((trials["subject"] == draw.who) & (trials["code"] == code))
                assert set(own[:size]) <= set(rows)


def test_a_larger_calibration_holds_the_smaller_ones_and_is_tested_on_the_same() -> None:
    for draw in dealt(table(2, 2, 32, 1, 0), 2):
        parts = list(draw.calibration.values())
        assert list(draw.calibration) == [1, 2, 4, 8]
        assert all(set(small) < set(large) for small, large in itertools.pairwise(parts))


def test_draws_differ_and_repeat_with_their_seed() -> None:
    trials = table(2, 2, 32, 1, 0)
    first, again, other = (dealt(trials, 2, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a.test, b.test) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a.test, b.test) for a, b in zip(first, other, strict=True))
    assert len({tuple(draw.test) for draw in first}) == len(first)


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_by_corpus_keeps_subjects_and_stimuli_apart(seed: int, same: bool) -> None:
    trials = table(subjects=7, classes=2, trials=16, repeats=2, seed=seed)
    found = dealt(trials, 2, by="corpus", same_stimuli=same, seed=seed)
    for draw in found:
        assert list(draw.calibration) == [1, 2]
        for size, rows in draw.calibration.items():
            people = set(trials["subject"].iloc[rows])
            assert len(people) == size and not people & set(trials["subject"].iloc[draw.test])
            apart = not set(trials["stimulus"].iloc[rows]) & set(trials["stimulus"].iloc[draw.test])
            assert apart is not same
        assert trials["subject"].iloc[draw.test].nunique() == 4


def test_by_corpus_takes_every_trial_where_no_stimulus_is_shared() -> None:
    trials = table(4, 2, 8, 1, 0)
    trials["stimulus"] = trials["subject"] + trials["stimulus"]
    (draw,) = dealt(trials, 2, by="corpus", draws=1)
    assert (len(draw.calibration[2]), len(draw.test)) == (16, 16)


def test_who_cannot_take_part_is_left_out_and_named() -> None:
    trials = table(3, 2, 16, 1, 0)
    trials = trials[(trials["subject"] != "s1") | (trials["code"] == 0)].reset_index(drop=True)
    found, left_out = draws(trials, 2, Settings(), "own")
    assert left_out == ("s1",) and {draw.who for draw in found} == {"s0", "s2"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sizes": (9,)}, "room for 8 of each class, expected 9 of each class to calibrate with"),
        ({"order": "first", "sizes": (9,)}, "expected 9 of each class"),
        ({"by": "corpus", "sizes": (2,)}, "3 with trials of every class, expected 4: 2 to calibrate with"),
    ],
)
def test_more_than_there_is_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        dealt(table(3, 2, 32, 1, 0), 2, **changes)


def test_one_stimulus_a_class_needs_the_same_stimuli() -> None:
    trials = table(4, 2, 16, 8, 0)
    with pytest.raises(BadInput, match="--same-stimuli"):
        dealt(trials, 2)
    with pytest.raises(BadInput, match="--same-stimuli"):
        dealt(trials, 2, by="corpus")
    assert dealt(trials, 2, same_stimuli=True) and dealt(trials, 2, by="corpus", same_stimuli=True)


def test_one_class_is_refused() -> None:
    with pytest.raises(BadInput, match="own: label: found one class"):
        dealt(table(2, 1, 8, 1, 0), 1)


def test_trials_of_a_window_table() -> None:
    windows = pd.DataFrame({
        "subject": ["b", "b", "a", "a"], "session": 1, "play_order": [2, 1, 1, 1], "trial": [1, 2, 1, 1],
        "stimulus": ["x", "y", "x", "x"], "label": ["p", "q", "p", "p"], "row": [3, 2, 0, 0], "start": [0, 0, 0, 5],
    })  # fmt: skip
    found = trials_table(windows, np.array([0, 1, 0, 0]))
    assert found[["row", "code", "windows"]].to_numpy().tolist() == [[0, 0, 2], [2, 1, 1], [3, 0, 1]]


def test_powers() -> None:
    assert [powers(n) for n in (1, 2, 3, 8)] == [(1,), (1, 2), (1, 2), (1, 2, 4, 8)]
