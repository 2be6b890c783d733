"""Plans of regions: even over the plane, pure, the same for any number of workers, and any corpus with coordinates."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from mdjpt_platform.config import Empty
from mdjpt_platform.data.plan import Row
from mdjpt_platform.data.regions import REGIONS, Region, RegionPlan, regions
from mdjpt_platform.errors import BadInput

LENGTH, HOP = 500, 100
GRID = [(v, a) for a in range(9) for v in range(9)]
"""EMOD's grid 0..8."""


def index(points: list[tuple[float, float]], samples: int = 900) -> pd.DataFrame:
    """A trial a point of the grid, in the plane [-1, 1]."""
    plane = [(v / 4 - 1, a / 4 - 1) for v, a in points]
    table = pd.DataFrame(plane, columns=["valence", "arousal"])
    return table.assign(subject=[f"{n % 3:02}" for n in range(len(table))], session=1, trial=1, samples=samples)


def among(table: pd.DataFrame) -> np.ndarray:
    return np.arange(len(table))


def plan(seed: int = 3, episodes: int = 4) -> RegionPlan:
    tables = {"whole": index(GRID * 2), "three": index([(1, 1), (1, 2), (7, 7), (4, 4), (5, 3)])}
    found = {name: regions(table, name, among(table), LENGTH, HOP) for name, table in tables.items()}
    return RegionPlan(found, dict.fromkeys(found, HOP), seed, episodes)


def test_regions_are_the_thirds_of_the_published_grid() -> None:
    table = index(GRID)
    found = regions(table, "x", among(table), LENGTH, HOP)
    expected: dict[int, list[int]] = {}
    for row, (v, a) in enumerate(GRID):
        expected.setdefault(v // 3 + 3 * (a // 3), []).append(row)
    assert [region.rows.tolist() for region in found] == [expected[number] for number in range(9)]
    assert all((region.cuts == (900 - LENGTH) // HOP + 1).all() for region in found)


def test_every_region_is_drawn_equally_often_and_every_trial_before_any_twice() -> None:
    whole = plan()
    for name, episodes in (("whole", 36), ("three", 4)):
        drawn = Counter(int(row) for number in range(episodes) for row in whole.draw(name, number).rows)
        for region in whole.regions[name]:
            counts = [drawn[int(row)] for row in region.rows]
            assert max(counts) - min(counts) <= 1
            assert sum(counts) * len(whole.regions[name]) == episodes * REGIONS
    assert len(whole.regions["three"]) == 3
    assert whole.size("whole") == (18, 9.0) and whole.size("three") == (1, 9.0), "two trials at most x 3 regions / 9"


def test_windows_lie_inside_their_trials_and_move() -> None:
    starts = set()
    for number in range(40):
        draw = plan().draw("three", number)
        assert len(draw.rows) == len(draw.starts) == REGIONS and not len(draw.b) and not len(draw.start_b)
        assert (draw.starts % HOP == 0).all() and (draw.starts + LENGTH <= 900).all()
        starts |= set(draw.starts.tolist())
    assert starts == {0, 100, 200, 300, 400}


def test_rows_depend_on_nothing_but_their_number() -> None:
    one, four = plan(episodes=1), plan(episodes=4)
    for number in (0, 7, 30):
        left, right = one.row(number, 0).draws, four.row(number // 4, number % 4).draws
        assert all(np.array_equal(left[name].rows, right[name].rows) for name in left)
        assert all(np.array_equal(left[name].starts, right[name].starts) for name in left)
    late = plan().row(9, 2)
    early = next(row for row in plan().rows(0, 12) if (row.step, row.slot) == (9, 2))
    assert all(np.array_equal(late.flat()[key], early.flat()[key]) for key in late.flat())
    other = plan(seed=4).row(9, 2)
    assert not np.array_equal(other.draws["whole"].rows, late.draws["whole"].rows)
    back = Row.from_flat(late.flat())
    assert all(np.array_equal(back.draws[name].rows, late.draws[name].rows) for name in late.draws)


def test_workers_share_the_rows() -> None:
    rows = [(row.step, row.slot) for row in plan().rows(2, 5)]
    shared = [[(row.step, row.slot) for row in plan().shard(rank, 2, 2, 5)] for rank in range(2)]
    assert sorted(shared[0] + shared[1]) == rows and not set(shared[0]) & set(shared[1])


def test_trials_without_coordinates_are_left_out() -> None:
    table = index([(1, 1), (7, 7), (1, 2), (7, 6)])
    table.loc[0, "valence"] = np.nan
    table.loc[3, "arousal"] = np.nan
    assert sorted(row for region in regions(table, "x", among(table), LENGTH, HOP) for row in region.rows) == [1, 2]
    assert [region.rows.tolist() for region in regions(table, "x", np.array([0, 1, 3]), LENGTH, HOP)] == [[1]]


def test_what_cannot_be_drawn_is_named() -> None:
    table = index([(1, 1), (7, 7)])
    with pytest.raises(BadInput, match="store of lab: valence, arousal: found no trial with coordinates"):
        regions(table.assign(valence=np.nan), "lab", among(table), LENGTH, HOP)
    with pytest.raises(BadInput, match="lab: subject 01 session 1 trial 1: length: found 499 samples"):
        regions(table.assign(samples=[900, 499]), "lab", among(table), LENGTH, HOP)


def filled(empty: Empty, *numbers: set[int]) -> list[list[int]]:
    """Regions at the places of an episode, by corpus; a corpus has the regions of one set, two trials in each."""
    found = {
        str(n): tuple(Region(one, np.array([2 * one, 2 * one + 1]), np.array([3, 3])) for one in sorted(some))
        for n, some in enumerate(numbers)
    }
    plan = RegionPlan(found, dict.fromkeys(found, HOP), 0, 1, empty)
    return [[int(row) // 2 for row in plan.draw(name, 5).rows] for name in found]


def test_an_absent_region_is_filled_as_the_plan_says() -> None:
    """By hand from the published rule: the index goes on to the next region, and the shift stays."""
    first, second = {0, 1, 2, 3, 5, 6, 7, 8}, set(range(9))
    assert filled("next", first, second) == [[0, 1, 2, 3, 5, 5, 6, 7, 8], list(range(9))]
    assert filled("carried", first, second) == [[0, 1, 2, 3, 5, 6, 7, 8, 0], [1, 2, 3, 4, 5, 6, 7, 8, 0]]
    assert filled("next", {4}) == [[4] * 9]
    assert set(filled("turns", first)[0]) == first


@pytest.mark.parametrize("empty", ["next", "carried"])
def test_no_trial_of_a_region_comes_twice_before_all_came_once(empty: Empty) -> None:
    tables = {"whole": index(GRID), "three": index([(1, 1), (1, 2), (7, 7), (4, 4), (5, 3)])}
    found = {name: regions(table, name, among(table), LENGTH, HOP) for name, table in tables.items()}
    plan = RegionPlan(found, dict.fromkeys(found, HOP), 0, 1, empty)
    for name, there in found.items():
        episodes, windows = plan.size(name)
        drawn = Counter(int(row) for number in range(episodes) for row in plan.draw(name, number).rows)
        assert sum(drawn.values()) == episodes * windows and len(drawn) == sum(len(region.rows) for region in there)
        for region in there:
            counts = [drawn[int(row)] for row in region.rows]
            assert max(counts) - min(counts) <= 1
