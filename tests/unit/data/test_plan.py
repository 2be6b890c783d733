"""The plan: pure, complete, the same for any number of workers, and never a torn pair."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mdjpt_platform.config import Positives
from mdjpt_platform.data.pairs import PairPlan, pairs
from mdjpt_platform.data.plan import Draw, Row
from mdjpt_platform.errors import BadInput

RATE = 125
LENGTH, HOP = 5 * RATE, 2 * RATE


def index(subjects: int, sessions: int, stimuli: int, seconds: Sequence[float] = (30,)) -> pd.DataFrame:
    """Every subject sees the same stimuli in every session, in an order of their own, recorded a little longer."""
    rows = []
    for subject in range(subjects):
        for session in range(1, sessions + 1):
            order = np.random.default_rng((subject, session)).permutation(stimuli)
            rows += [
                {
                    "subject": f"{subject:02d}",
                    "session": session,
                    "trial": trial + 1,
                    "stimulus": f"{session}-{stimulus}",
                    "samples": round(seconds[stimulus % len(seconds)] * RATE) + 300 * (2 * subject % 3),
                }
                for trial, stimulus in enumerate(order)
            ]
    return pd.DataFrame(rows)


INDEXES = {"seed": index(5, 3, 4, (24, 40)), "faced": index(4, 1, 6), "deap": index(3, 2, 3)}


def plan(
    corpora: Sequence[str] = ("seed", "faced", "deap"),
    seed: int = 3,
    episodes: int = 4,
    positives: Positives = "aligned",
) -> PairPlan:
    choices = {name: pairs(INDEXES[name], name, LENGTH, HOP) for name in corpora}
    return PairPlan(choices, dict.fromkeys(corpora, HOP), seed, episodes, positives)


def same(one: Row, other: Row) -> bool:
    left, right = one.flat(), other.flat()
    return left.keys() == right.keys() and all(np.array_equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize(
    ("corpus", "shape", "expected", "windows"),
    [
        ("SEED", (15, 3, 15), 315, 15),
        ("SEED-IV", (15, 3, 24), 315, 24),
        ("SEED-V", (16, 3, 15), 360, 15),
        ("SEED-VII", (20, 4, 20), 760, 20),
        ("FACED-20", (20, 1, 28), 190, 28),
        ("DEAP", (32, 1, 40), 496, 40),
    ],
)
def test_published_counts(corpus: str, shape: tuple[int, int, int], expected: int, windows: int) -> None:
    choices = pairs(index(*shape), corpus, LENGTH, HOP)
    assert len(choices) == expected
    assert PairPlan({corpus: choices}, {corpus: HOP}, 0, 1).windows == {corpus: 2 * windows}


def test_pairs_are_two_subjects_with_the_same_stimuli() -> None:
    table = INDEXES["seed"]
    for pair in pairs(table, "seed", LENGTH, HOP):
        one, other = (table.iloc[rows] for rows in pair.rows)
        assert {*one["subject"]} == {pair.subjects[0]} and {*other["subject"]} == {pair.subjects[1]}
        assert pair.subjects[0] != pair.subjects[1]
        assert {*one["session"], *other["session"]} == {pair.session}
        assert one["stimulus"].tolist() == other["stimulus"].tolist() and one["stimulus"].is_unique
        shorter = np.minimum(one["samples"].to_numpy(), other["samples"].to_numpy())
        assert (pair.cuts == (shorter - LENGTH) // HOP + 1).all()


@pytest.mark.parametrize(("samples", "cuts"), [(625, 1), (874, 1), (875, 2), (3750, 13), (29375, 116)])
def test_cuts_of_a_trial(samples: int, cuts: int) -> None:
    table = INDEXES["deap"].assign(samples=samples)
    assert {int(c) for pair in pairs(table, "deap", LENGTH, HOP) for c in pair.cuts} == {cuts}


def test_every_window_lies_in_both_trials_on_the_grid() -> None:
    chosen = plan()
    starts = set()
    for row in chosen.rows(0, 100):
        for name, draw in row.draws.items():
            table = INDEXES[name]
            one, other = table.iloc[draw.a], table.iloc[draw.b]
            assert one["stimulus"].tolist() == other["stimulus"].tolist()
            assert one["session"].tolist() == other["session"].tolist()
            assert one["subject"].nunique() == other["subject"].nunique() == 1
            assert one["subject"].iloc[0] != other["subject"].iloc[0]
            assert (draw.start_a % HOP == 0).all() and (draw.start_a >= 0).all()
            assert (draw.start_a + LENGTH <= one["samples"].to_numpy()).all()
            assert (draw.start_b + LENGTH <= other["samples"].to_numpy()).all()
            assert np.array_equal(draw.start_a, draw.start_b), "the same moment"
            starts |= set(draw.start_a.tolist())
    assert starts >= set(range(0, 40 * RATE - LENGTH + 1, HOP)), "every cut point comes up"


def test_rows_are_a_pure_function() -> None:
    forward = list(plan().rows(0, 20))
    fresh = plan()
    backward = [fresh.row(step, slot) for step in reversed(range(20)) for slot in reversed(range(4))][::-1]
    assert len(forward) == len(backward) == 80
    assert all(same(one, other) for one, other in zip(forward, backward, strict=True))
    assert all(same(one, other) for one, other in zip(plan().rows(13, 20), forward[52:], strict=True))


def flat_rows(start: int, stop: int) -> list[dict[str, Any]]:
    return [row.flat() for row in plan().rows(start, stop)]


def test_another_process_draws_the_same() -> None:
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(flat_rows, 5, 9).result(60)
    for one, other in zip(flat_rows(5, 9), there, strict=True):
        assert all(np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_ranks_share_out_the_schedule(world: int) -> None:
    shards = [list(plan().shard(rank, world, 2, 9)) for rank in range(world)]
    assert {len(shard) for shard in shards} == {7 * 4 // world}
    places = [(row.step, row.slot) for shard in shards for row in shard]
    assert len(set(places)) == len(places)
    joined = sorted((row for shard in shards for row in shard), key=lambda row: (row.step, row.slot))
    assert all(same(one, other) for one, other in zip(joined, plan().rows(2, 9), strict=True))
    for rank, shard in enumerate(shards):
        assert [row.step for row in shard] == sorted(row.step for row in shard)
        assert {row.slot % world for row in shard} == {rank}


def test_every_pair_once_before_any_twice() -> None:
    chosen = plan(episodes=1)
    for name, choices in chosen.pairs.items():
        known = {(pair.rows[0].tobytes(), pair.rows[1].tobytes()): i for i, pair in enumerate(choices)}
        count = len(choices)
        order = []
        for step in range(3 * count):
            draw = chosen.row(step, 0).draws[name]
            order.append(known[draw.a.tobytes(), draw.b.tobytes()])
        cycles = [order[i * count : (i + 1) * count] for i in range(3)]
        assert all(sorted(cycle) == list(range(count)) for cycle in cycles)
        assert cycles[0] != cycles[1]


def test_slots_continue_one_count() -> None:
    """K changes how episodes are grouped, not which come."""
    one, four = plan(episodes=1), plan(episodes=4)
    for number in range(24):
        left, right = one.row(number, 0).draws, four.row(number // 4, number % 4).draws
        assert all(
            np.array_equal(left[n].start_a, right[n].start_a) and np.array_equal(left[n].a, right[n].a) for n in left
        )


def test_other_corpora_change_nothing() -> None:
    alone, among = plan(["seed"]), plan(["deap", "seed", "faced"])
    for one, other in zip(alone.rows(0, 30), among.rows(0, 30), strict=True):
        a, b = one.draws["seed"], other.draws["seed"]
        assert all(np.array_equal(getattr(a, part), getattr(b, part)) for part in ("a", "b", "start_a", "start_b"))


def test_corpora_walk_independently() -> None:
    """Two corpora of the same shape do not show the same pairs in the same order."""
    choices = pairs(INDEXES["seed"], "x", LENGTH, HOP)
    twins = PairPlan({"one": choices, "two": choices}, {"one": HOP, "two": HOP}, 0, 1)
    rows = list(twins.rows(0, 30))
    assert any(not np.array_equal(row.draws["one"].a, row.draws["two"].a) for row in rows)
    assert any(not np.array_equal(row.draws["one"].start_a, row.draws["two"].start_a) for row in rows)


def test_seed_decides() -> None:
    differs = [not same(a, b) for a, b in zip(plan(seed=3).rows(0, 5), plan(seed=4).rows(0, 5), strict=True)]
    assert all(differs)


def against(positives: Positives, steps: int = 40) -> Iterator[tuple[pd.DataFrame, Draw, Draw]]:
    """Index of the corpus, draws of the aligned plan, those of another."""
    for one, other in zip(plan().rows(0, steps), plan(positives=positives).rows(0, steps), strict=True):
        for name in one.draws:
            yield INDEXES[name], one.draws[name], other.draws[name]


@pytest.mark.parametrize("positives", ["same_stimulus", "shuffled"])
def test_positives_change_the_partner_alone(positives: Positives) -> None:
    for table, aligned, draw in against(positives):
        assert np.array_equal(aligned.a, draw.a) and np.array_equal(aligned.start_a, draw.start_a)
        assert sorted(aligned.b) == sorted(draw.b), "the same trials of the same subject"
        assert (draw.start_b % HOP == 0).all() and (draw.start_b >= 0).all()
        assert (draw.start_b + LENGTH <= table.iloc[draw.b]["samples"].to_numpy()).all()


def test_shuffled_positives_never_meet_and_change_with_every_episode() -> None:
    seen: dict[bytes, int] = {}
    for table, aligned, draw in against("shuffled"):
        one, other = table.iloc[draw.a]["stimulus"].to_numpy(), table.iloc[draw.b]["stimulus"].to_numpy()
        assert (one != other).all()
        at = [draw.b.tolist().index(row) for row in aligned.b]
        assert np.array_equal(draw.start_b[at], aligned.start_b), "a window moves as a whole: side b holds what it held"
        if len(draw.a) == 6:
            order = np.argsort(at).astype(np.int64).tobytes()
            seen[order] = seen.get(order, 0) + 1
    assert len(seen) > 60 and max(seen.values()) < 10, "of 120 cycles of six"


def test_same_stimulus_at_moments_of_their_own() -> None:
    apart = []
    for table, aligned, draw in against("same_stimulus"):
        assert np.array_equal(aligned.b, draw.b)
        assert table.iloc[draw.a]["stimulus"].tolist() == table.iloc[draw.b]["stimulus"].tolist()
        apart += (draw.start_a != draw.start_b).tolist()
    assert 0.85 < np.mean(apart) < 1, "moments meet by chance, one in a dozen"


@pytest.mark.parametrize("positives", ["same_stimulus", "shuffled"])
def test_every_kind_of_positives_is_a_pure_function(positives: Positives) -> None:
    for row in plan(positives=positives).rows(3, 6):
        assert same(row, plan(positives=positives).row(row.step, row.slot))
        alone = plan(["deap"], positives=positives).row(row.step, row.slot)
        assert np.array_equal(alone.draws["deap"].b, row.draws["deap"].b)
        assert same(row, Row.from_flat(row.flat()))


def test_two_stimuli_can_only_swap() -> None:
    choices = pairs(index(2, 1, 2), "x", LENGTH, HOP)
    draw = PairPlan({"x": choices}, {"x": HOP}, 0, 1, "shuffled").row(0, 0).draws["x"]
    assert draw.b.tolist() == choices[0].rows[1][::-1].tolist()


def test_flat_and_back() -> None:
    row = plan().row(7, 2)
    back = Row.from_flat(row.flat())
    assert same(row, back) and list(back.draws) == list(row.draws)
    assert all(draw.a.dtype == draw.start_b.dtype == np.int64 for draw in back.draws.values())
    listed = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in row.flat().items()}
    assert same(row, Row.from_flat(listed))


def test_corpus_names_with_colons_survive() -> None:
    choices = pairs(INDEXES["deap"], "x", LENGTH, HOP)
    row = PairPlan({"lab:a": choices}, {"lab:a": HOP}, 0, 1).row(0, 0)
    assert list(Row.from_flat(row.flat()).draws) == ["lab:a"]


def test_short_trial_is_named() -> None:
    table = INDEXES["faced"].copy()
    table.loc[8, "samples"] = LENGTH - 1
    one = table.loc[8]
    with pytest.raises(BadInput) as refusal:
        pairs(table, "faced", LENGTH, HOP)
    assert f"faced: subject {one['subject']} session 1 trial {one['trial']}" in str(refusal.value)
    assert "found 624 samples, expected at least the window's 625" in str(refusal.value)


def test_one_subject_is_refused() -> None:
    with pytest.raises(BadInput, match="lonely: subjects: found 1 with no pair, expected two subjects who share"):
        pairs(index(1, 2, 5), "lonely", LENGTH, HOP)


def test_subjects_without_common_stimuli_are_refused() -> None:
    table = index(2, 1, 3)
    table.loc[table["subject"] == "01", "stimulus"] = ["x", "y", "z"]
    with pytest.raises(BadInput, match="found 2 with no pair"):
        pairs(table, "strange", LENGTH, HOP)


def test_pairs_keep_to_what_both_saw() -> None:
    table = index(3, 1, 4)
    table = table[~((table["subject"] == "02") & (table["stimulus"] == "1-0"))].reset_index(drop=True)
    by_subjects = {pair.subjects: pair for pair in pairs(table, "x", LENGTH, HOP)}
    assert len(by_subjects["00", "01"].cuts) == 4 and len(by_subjects["00", "02"].cuts) == 3
    stimuli = table.iloc[by_subjects["01", "02"].rows[0]]["stimulus"]
    assert "1-0" not in stimuli.tolist()


def test_stimulus_shown_twice_is_paired_by_occurrence() -> None:
    table = index(2, 1, 3)
    again = table[table["stimulus"] == "1-1"].assign(trial=9)
    table = pd.concat([table, again]).sort_values(["subject", "trial"]).reset_index(drop=True)
    (pair,) = pairs(table, "x", LENGTH, HOP)
    one, other = (table.iloc[rows] for rows in pair.rows)
    assert one["stimulus"].tolist() == other["stimulus"].tolist() == ["1-0", "1-1", "1-1", "1-2"]
    for side in (one, other):
        twice = side[side["stimulus"] == "1-1"]["trial"].tolist()
        assert len(set(side["trial"])) == 4 and twice == sorted(twice) and twice[1] == 9
