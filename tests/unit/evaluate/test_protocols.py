from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.protocols import few_shot_folds, loso, parts, stimulus_folds, zero_shot_folds
from mdjpt_platform.evaluate.windows import window_table

PEOPLE = [f"p{k}" for k in range(15)]


@pytest.mark.parametrize("count", [4, 15, 16, 20])
def test_folds_are_disjoint_and_each_trains_once(count):
    people = PEOPLE[:count] + [f"q{k}" for k in range(count - 15)]
    splits = few_shot_folds(people, 4, seed=3)
    assert len(splits) == 4
    assert sorted(s for one in splits for s in one.train) == sorted(people)
    for one in splits:
        assert set(one.train).isdisjoint(one.test) and set(one.train) | set(one.test) == set(people)
        assert abs(len(one.train) - count / 4) < 1
    for given, swapped in zip(splits, zero_shot_folds(people, 4, seed=3), strict=True):
        assert (given.train, given.test) == (swapped.test, swapped.train)


def test_folds_depend_on_the_set_of_subjects_and_the_seed():
    assert few_shot_folds(PEOPLE, 4, 3) == few_shot_folds(PEOPLE[::-1] * 2, 4, 3)
    assert few_shot_folds(PEOPLE, 4, 3) != few_shot_folds(PEOPLE, 4, 4)


def test_loso_trains_on_all_others():
    splits = loso(PEOPLE)
    assert [one.test for one in splits] == [(p,) for p in sorted(PEOPLE)]
    assert all(len(one.train) == 14 and one.test[0] not in one.train for one in splits)


def test_too_few_subjects():
    for call in (lambda: few_shot_folds(["a"], 2, 0, "toy"), lambda: loso(["a"], "toy")):
        with pytest.raises(BadInput, match=r"toy: subjects: found 1 with labels \(a\), expected at least 2"):
            call()
    with pytest.raises(BadInput, match="expected at least 4"):
        few_shot_folds(["a", "b", "c"], 4, 0)


def test_held_out_stimuli_are_on_one_side_only(toy, window):
    table = window_table(toy(subjects=4, sessions=2, trials=9), window)
    held = stimulus_folds(table, 3, seed=0)
    assert set.union(*map(set, held)) == set(table["stimulus"]) and sum(map(len, held)) == 18
    label_of = dict(zip(table["stimulus"], table["label"], strict=True))
    for one in held:
        assert {label_of[name] for name in one} == {"sad", "calm", "glad"}
    split = few_shot_folds(table["subject"], 2, 0)[0]
    tested = []
    for part in parts(table, split, held):
        train, test = table.iloc[part.train], table.iloc[part.test]
        assert set(train["stimulus"]).isdisjoint(test["stimulus"])
        assert set(train["subject"]) == set(split.train) and set(test["subject"]) == set(split.test)
        tested.append(part.test)
    whole = next(iter(parts(table, split)))
    np.testing.assert_array_equal(np.sort(np.concatenate(tested)), whole.test)
    assert len(whole.train) + len(whole.test) == len(table)


def test_stimulus_folds_refuse_what_cannot_be_held_out(toy, window):
    table = window_table(toy(subjects=2, trials=3), window)
    with pytest.raises(BadInput, match="3 stimuli for 4 folds"):
        stimulus_folds(table, 4, 0)
    with pytest.raises(BadInput, match="one stimulus of class 'calm'"):
        stimulus_folds(table, 2, 0)
    with pytest.raises(BadInput, match="1 fold"):
        stimulus_folds(table, 1, 0)


def test_held_out_sets_are_balanced_where_every_class_reaches_every_set():
    rows = [(f"{label}{number}", label) for label in ("negative", "positive") for number in range(4)]
    table = pd.DataFrame([{"row": at, "stimulus": name, "label": label} for at, (name, label) in enumerate(rows)])
    for held in stimulus_folds(table, 3, seed=0):
        assert sum(name.startswith("negative") for name in held) == sum(name.startswith("positive") for name in held)
