from __future__ import annotations

import numpy as np
import pytest

from mdjpt_platform.config import WindowConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.windows import cut, groups, label_codes, trials_of, window_table


def test_windows_stay_inside_their_trial_and_follow_play_order(toy, window):
    store = toy(subjects=2, sessions=2, trials=3, seconds=3.2)
    table = window_table(store, window)
    # floor((400 - 125) / 62) + 1 windows; half a second is 62 samples at 125 Hz.
    assert len(table) == 2 * 2 * 3 * 5
    assert (table["start"] + table["samples"] <= 400).all()
    expected = sorted(
        (s, e, p, start)
        for s, e, p in zip(store.index["subject"], store.index["session"], store.index["play_order"], strict=True)
        for start in range(0, 300, 62)
        if start + 125 <= 400
    )
    assert list(table[["subject", "session", "play_order", "start"]].itertuples(index=False, name=None)) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([30.0] * 28, 364),
        ([235, 233, 206, 238, 185, 195, 237, 216, 265, 237, 235, 233, 235, 238, 206], 1672),
    ],
    ids=["FACED subject", "SEED session"],
)
def test_published_counts(toy, seconds, expected):
    store = toy(subjects=1, trials=len(seconds))
    store.index["samples"] = [int(125 * one) for one in seconds]
    assert len(window_table(store, WindowConfig(seconds=5, step=2))) == expected


def test_cut_gives_the_samples_of_the_window(toy, window):
    store = toy(subjects=2)
    table = window_table(store, window)
    at = np.array([0, 7, 3, len(table) - 1])
    found = cut(store, table, at)
    for place, position in enumerate(at):
        row = table.iloc[position]
        expected = store.signals[row["row"]][row["start"] : row["start"] + 125].T
        np.testing.assert_array_equal(found[place], expected)


def test_short_trial_is_named(toy, window):
    store = toy(trials=3)
    store.index.loc[4, "samples"] = 90
    with pytest.raises(BadInput, match=r"toy: subject 01 session 1 trial 2: found 90 samples .*125 samples \(1 s\)"):
        window_table(store, window)


def test_unlabelled_trials_take_no_part(toy, window):
    store = toy(subjects=2, trials=3)
    store.index.loc[store.index["trial"] == 2, "label"] = None
    store.index.loc[store.index["trial"] == 2, "samples"] = 10  # would be an error if anybody looked
    table = window_table(store, window, labelled=True)
    assert set(table["trial"]) == {1, 3}
    assert list(table["row"].unique()) != [0, 1]
    store.index["label"] = None
    with pytest.raises(BadInput, match="no labelled trial"):
        window_table(store, window, labelled=True)


def test_real_index_with_missing_labels_as_pandas_strings(toy, window):
    store = toy(subjects=2, trials=3)
    store.index["label"] = store.index["label"].astype("str")
    store.index.loc[0, "label"] = None
    table = window_table(store, window, labelled=True)
    assert 0 not in set(table["row"])
    assert set(label_codes(store, table)) == {0, 1, 2}


def test_foreign_label_and_odd_window_are_refused(toy, window):
    store = toy(subjects=1, trials=3)
    with pytest.raises(BadInput, match="at least one sample"):
        window_table(store, WindowConfig(seconds=1, step=0.001))
    store.index.loc[1, "label"] = "bored"
    with pytest.raises(BadInput, match="found bored, expected one of: sad, calm, glad"):
        label_codes(store, window_table(store, window))


def test_groups_and_trials_do_not_depend_on_the_order_of_rows(toy, window):
    store = toy(subjects=2, sessions=2, trials=3)
    table = window_table(store, window)
    mixed = table.sample(frac=1, random_state=0)
    for name, at in groups(mixed).items():
        part = mixed.iloc[at]
        assert {(s, e) for s, e in zip(part["subject"], part["session"], strict=True)} == {name}
        keys = list(zip(part["play_order"], part["start"], strict=True))
        assert keys == sorted(keys)
    assert sum(len(at) for at in trials_of(mixed)) == len(table)
    assert all(mixed.iloc[at]["row"].nunique() == 1 for at in trials_of(mixed))
    assert list(groups(table)) == [("00", 1), ("00", 2), ("01", 1), ("01", 2)]
