"""Files copied over another's name are found; silence, gain and chance are no copies."""

from __future__ import annotations

import numpy as np

from mdjpt_platform.corpora.base import Trial
from mdjpt_platform.preprocess.identical import Prints, find_copies, prints_of
from mdjpt_platform.preprocess.signals import Piece, Signals

RATE = 100.0


def recording(data: np.ndarray, cuts: int = 4) -> Signals:
    """A continuous recording with trials of equal length."""
    seconds = data.shape[1] / RATE / cuts
    trials = tuple(Trial(k, f"s{k}", k, None, start=(k - 1) * seconds, stop=k * seconds) for k in range(1, cuts + 1))
    return Signals(tuple("ABC"), RATE, (Piece(data, trials),), "r")


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((3, 800))


def test_a_copy_names_the_first() -> None:
    prints = {name: prints_of(recording(noise(seed))) for name, seed in (("a", 1), ("b", 2), ("c", 1), ("d", 1))}
    copies, single = find_copies(prints)
    assert set(copies) == {"c", "d"} and not single
    assert copies["c"] == "c: signal: found that of a (4 of 4 trials), expected one of its own"
    assert "that of a " in copies["d"]
    assert all(len(mark) == 16 for mark in prints["a"].trials.values()) and len(set(prints["a"].trials.values())) == 4


def test_a_copy_with_other_marks_is_found_by_the_whole() -> None:
    copies, _ = find_copies({"a": prints_of(recording(noise(1))), "b": prints_of(recording(noise(1), cuts=5))})
    assert set(copies) == {"b"}


def mixed(other: int) -> np.ndarray:
    """The first trials of recording 1, `other` ones of its own."""
    data = noise(1)
    data[:, 800 - 200 * other :] = noise(9)[:, 800 - 200 * other :]
    return data


def test_half_of_the_trials_is_not_enough() -> None:
    first = prints_of(recording(noise(1)))
    copies, single = find_copies({"a": first, "b": prints_of(recording(mixed(1)))})
    assert "that of a (3 of 4 trials)" in copies["b"] and not single
    copies, single = find_copies({"a": first, "b": prints_of(recording(mixed(2)))})
    assert not copies and single == {("b", 1): "a trial 1", ("b", 2): "a trial 2"}


def test_a_trial_twice_in_one_recording_is_noted() -> None:
    data = noise(1)
    data[:, 400:600] = data[:, :200]
    copies, single = find_copies({"a": prints_of(recording(data))})
    assert not copies and single == {("a", 3): "a trial 1"}


def test_silence_is_no_copy() -> None:
    flat = prints_of(recording(np.repeat([[0.0], [1.0], [2.0]], 800, axis=1)))
    assert flat == Prints("", dict.fromkeys(range(1, 5), ""))
    assert find_copies({"a": flat, "b": flat}) == ({}, {})
    partly = noise(1)
    partly[:, 200:] = 0.0
    other = noise(2)
    other[:, 200:] = 0.0
    assert find_copies({"a": prints_of(recording(partly)), "b": prints_of(recording(other))}) == ({}, {})


def test_one_channel_that_moves_is_signal() -> None:
    data = np.zeros((3, 800))
    data[2] = noise(1)[2]
    assert all(prints_of(recording(data)).trials.values())


def test_pieces_count_apart() -> None:
    data = noise(1)
    pieces = tuple(Piece(data[:, k * 200 : (k + 1) * 200], (Trial(k + 1, "", k + 1, None),)) for k in range(4))
    cut = Signals(tuple("ABC"), RATE, pieces, "r")
    assert prints_of(cut).trials == prints_of(recording(data)).trials
    assert set(find_copies({"a": prints_of(cut), "b": prints_of(recording(data))})[0]) == {"b"}
