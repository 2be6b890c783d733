"""Windows cut from a store, ahead of time and in order, without ever being overwritten while they are held."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import write_tiny
from mdjpt_platform.config import Config, Positives
from mdjpt_platform.data.episode import Episode, assemble, cut
from mdjpt_platform.data.local import prefetch
from mdjpt_platform.data.plan import Row
from mdjpt_platform.train.prepared import Prepared, open_stores, prepare_plan


@pytest.fixture
def prepared(tiny: Config) -> Prepared:
    return prepare_plan(tiny.run, open_stores(tiny, tiny.run.sources, verify=False))


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    yield
    assert "episodes" not in [thread.name for thread in threading.enumerate()]


def ahead(prepared: Prepared, rows: Iterator[Row], held: int = 1) -> Iterator[Episode]:
    return prefetch(rows, prepared.stores, prepared.length, prepared.plan.windows, held)


def equal(one: Episode, other: Episode) -> bool:
    return one.windows.keys() == other.windows.keys() and all(
        torch.equal(one.windows[name], other.windows[name])
        and torch.equal(one.labels[name], other.labels[name])
        and np.array_equal(one.affect[name].numpy(), other.affect[name].numpy(), equal_nan=True)
        for name in one.windows
    )


@pytest.mark.parametrize("positives", ["aligned", "same_stimulus", "shuffled"])
def test_windows_are_the_samples_of_the_trials(prepared: Prepared, positives: Positives) -> None:
    row = replace(prepared.plan, positives=positives).row(3, 1)
    episode = assemble(row, prepared.stores, prepared.length)
    for name, draw in row.draws.items():
        store, length, windows = prepared.stores[name], prepared.length[name], episode.windows[name]
        count = len(draw.a)
        assert windows.shape == (2 * count, len(store.channels), length) and windows.dtype == torch.float32
        for i in range(count):
            for place, trial, start in ((i, draw.a[i], draw.start_a[i]), (i + count, draw.b[i], draw.start_b[i])):
                expected = store.signal(int(trial))[start : start + length].T
                assert torch.equal(windows[place], torch.from_numpy(expected.copy()))


def test_labels_are_those_of_the_trials(tiny: Config, tmp_path: Path) -> None:
    """Of each subject's own trials: two who saw the same may have rated it otherwise, or not at all."""
    own = (None, "positive", "negative", "joy", "negative", "positive")
    codes = (-1, 1, 0, -1, 0, 1)
    config = tiny.model_copy(update={"exec": tiny.exec.model_copy(update={"store": str(tmp_path / "store")})})
    write_tiny(tmp_path / "store", config, lambda subject, stimulus: own[(subject + stimulus) % 6], ("one", "two"))
    prepared = prepare_plan(config.run, open_stores(config, config.run.sources, verify=False))
    for row in prepared.plan.rows(0, 3):
        for name, labels in assemble(row, prepared.stores, prepared.length).labels.items():
            shown = prepared.stores[name].index.iloc[[*row.draws[name].a, *row.draws[name].b]]
            who, what = shown["subject"].astype(int), shown["stimulus"].astype(int) - 1
            assert labels.tolist() == [codes[(s + v) % 6] for s, v in zip(who, what, strict=True)]
            assert labels.dtype == torch.int64


def test_cut_fills_given_memory(prepared: Prepared) -> None:
    draw, store = prepared.plan.row(0, 0).draws["one"], prepared.stores["one"]
    memory = torch.full((2 * len(draw.a) + 3, 320, len(store.channels)), 7.0)
    found = cut(store, draw, 320, memory)
    assert found.data_ptr() == memory.data_ptr() and torch.equal(found, cut(store, draw, 320))
    assert (memory[len(found) :] == 7).all()


def test_torn_pair_is_impossible(prepared: Prepared) -> None:
    episode = assemble(prepared.plan.row(0, 0), prepared.stores, prepared.length)
    with pytest.raises(ValueError, match=r"one: windows, labels, affect: \(7, 8, 8\) of them for a plan row of 8"):
        replace(episode, windows=episode.windows | {"one": episode.windows["one"][:7]})
    with pytest.raises(ValueError, match=r"one: windows, labels, affect: \(8, 7, 8\) of them for a plan row of 8"):
        replace(episode, labels=episode.labels | {"one": episode.labels["one"][:7]})
    with pytest.raises(ValueError, match=r"one: windows, labels, affect: \(8, 8, 7\) of them for a plan row of 8"):
        replace(episode, affect=episode.affect | {"one": episode.affect["one"][:7]})


def test_prefetched_episodes_are_those_assembled(prepared: Prepared) -> None:
    for number, episode in enumerate(ahead(prepared, prepared.plan.rows(0, 6))):
        expected = prepared.plan.row(number // 4, number % 4)
        assert (episode.row.step, episode.row.slot) == (expected.step, expected.slot)
        assert equal(episode, assemble(expected, prepared.stores, prepared.length))
    assert number == 23


@pytest.mark.parametrize("held", [1, 4])
def test_held_episodes_are_not_overwritten(prepared: Prepared, held: int) -> None:
    kept: list[Episode] = []
    for episode in ahead(prepared, prepared.plan.rows(0, 8), held):
        kept = [*kept, episode][-held:]
        time.sleep(0.01)  # lets the thread run as far ahead as it may
        for one in kept:
            assert equal(one, assemble(one.row, prepared.stores, prepared.length))


def test_memory_is_reused(prepared: Prepared) -> None:
    places = [episode.windows["one"].data_ptr() for episode in ahead(prepared, prepared.plan.rows(0, 10))]
    assert len(set(places)) < 8 < len(places)


def test_error_on_the_thread_is_raised_in_its_place(prepared: Prepared) -> None:
    def rows() -> Iterator[Row]:
        yield from prepared.plan.rows(0, 1)
        raise OSError("the disk is gone")

    seen = []
    with pytest.raises(OSError, match="the disk is gone"):
        for episode in ahead(prepared, rows()):
            seen.append(episode.row.slot)
    assert seen == [0, 1, 2, 3]


def test_row_that_does_not_fit_is_raised_too(prepared: Prepared) -> None:
    row = prepared.plan.row(0, 0)
    outside = Row(0, 0, {n: replace(draw, start_a=draw.start_a + 10_000) for n, draw in row.draws.items()})
    with pytest.raises(ValueError, match=r"window \[10\d{3}, 10\d{3}\) outside trial \d+ of 700 samples"):
        next(ahead(prepared, iter([outside])))


def test_leaving_early_ends_the_thread(prepared: Prepared) -> None:
    episodes = ahead(prepared, prepared.plan.rows(0, 1000))
    next(episodes)
    assert "episodes" in [thread.name for thread in threading.enumerate()]
    episodes.close()  # type: ignore[attr-defined]


def test_nothing_to_do(prepared: Prepared) -> None:
    assert list(ahead(prepared, iter(()))) == []


def test_to_a_device_keeps_the_row(prepared: Prepared) -> None:
    episode = assemble(prepared.plan.row(0, 0), prepared.stores, prepared.length)
    moved = episode.to(torch.device("cpu"))
    assert moved.row is episode.row and equal(moved, episode)
