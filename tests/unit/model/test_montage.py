"""Electrode positions are MNE's, and the projection is what SYSTEMS 1.2 describes."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest

from mdjpt_model.montage import ALIASES, UNIFIED, canonical, electrodes, neighbour_ranking, projection

DEAP = """FP1 AF3 F7 F3 FC1 FC5 T7 C3 CP1 CP5 P7 P3 PZ PO3 O1 OZ O2 PO4 P4 P8 CP6 CP2 C4 T8 FC6 FC2 F4 F8 AF4 FP2 FZ
CZ""".split()  # noqa: SIM905


def test_positions_are_those_of_mne() -> None:
    theirs = mne.channels.make_standard_montage("colin27_1005").get_positions()["ch_pos"]
    expected = {name.upper(): position * 1000 for name, position in theirs.items()}
    ours = electrodes()
    assert set(UNIFIED) <= set(ours) <= set(expected)
    for site, position in ours.items():
        np.testing.assert_allclose(position, expected[site], atol=0.01, err_msg=site)


def test_ranking_agrees_with_the_published_one(shared: Path) -> None:
    published = np.load(shared / "golden" / "channel_neighbours_released.npy", allow_pickle=False)
    ours = neighbour_ranking()
    same = [len({*map(int, a[:3])} & {*map(int, b[:3])}) for a, b in zip(ours, published, strict=True)]
    assert sum(same) / (3 * 60) >= 0.97
    assert (ours[:, -1] == np.arange(60)).all() and (published[:, -1] == np.arange(60)).all()


def test_ranking_is_by_distance() -> None:
    ours, where = neighbour_ranking(), np.array([electrodes()[name] for name in UNIFIED])
    for row in range(60):
        assert sorted(ours[row]) == list(range(60))
        distance = np.linalg.norm(where[ours[row][:-1]] - where[row], axis=1)
        assert (np.diff(distance) >= 0).all()


def test_unified_order() -> None:
    assert len(UNIFIED) == len(set(UNIFIED)) == 60
    assert UNIFIED[:3] == ("FP1", "FPZ", "FP2") and UNIFIED[27] == "CZ" and UNIFIED[-1] == "O2"


def test_complete_cap_is_the_identity() -> None:
    np.testing.assert_array_equal(projection(UNIFIED), np.eye(60, dtype=np.float32))


@pytest.mark.parametrize("cap", [DEAP, ["CZ"], ["O1", "O2"], ["AF7", "F9", "CZ", "PZ", "OZ"]])
def test_rows_sum_to_one_and_present_channels_pass(cap: list[str]) -> None:
    matrix = projection(cap)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
    for row, name in enumerate(UNIFIED):
        if name in cap:
            assert matrix[row, cap.index(name)] == 1 and np.count_nonzero(matrix[row]) == 1
        else:
            assert np.count_nonzero(matrix[row]) == min(3, len(cap))


def test_absent_channel_is_the_mean_of_the_nearest() -> None:
    matrix = projection(DEAP)
    where = electrodes()
    nearest = sorted(DEAP, key=lambda name: np.linalg.norm(np.subtract(where[name], where["CPZ"])))[:3]
    filled = {DEAP[i]: matrix[UNIFIED.index("CPZ"), i] for i in np.flatnonzero(matrix[UNIFIED.index("CPZ")])}
    assert filled == {name: pytest.approx(1 / 3) for name in nearest}


def test_channels_outside_the_sixty_may_fill_in() -> None:
    matrix = projection(["AF7", "O1", "O2", "PZ"], count=1)
    assert matrix[UNIFIED.index("AF3"), 0] == 1


def test_given_ranking_decides_alone() -> None:
    reverse = np.tile(np.arange(60), (60, 1))
    matrix = projection(["AF7", "O2", "OZ", "O1", "FP1"], reverse, count=2)
    row = matrix[UNIFIED.index("POZ")]
    np.testing.assert_allclose(row, [0, 0, 0, 0.5, 0.5])  # FP1 is unified channel 0, O1 is 57; AF7 is no candidate


def test_order_of_the_cap_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(len(DEAP))
    np.testing.assert_array_equal(projection([DEAP[i] for i in order]), projection(DEAP)[:, order])


def test_names_in_any_case_and_old_names() -> None:
    assert canonical(" Fp1 ") == "FP1"
    assert {canonical(old) for old in ALIASES} == {"T7", "T8", "P7", "P8"}
    np.testing.assert_array_equal(projection(["t3", "Cz"]), projection(["T7", "CZ"]))


@pytest.mark.parametrize(
    ("cap", "said"),
    [
        (["CZ", "VEO", "HEO"], "without a 10-05 position: VEO, HEO"),
        (["CZ", "Cz"], "named twice: CZ"),
        (["T3", "T7"], "named twice: T7"),
        ([], "no channels"),
    ],
)
def test_refuses_names(cap: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        projection(cap)


def test_refuses_a_ranking_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"found shape \(62, 62\), expected \(60, 60\)"):
        projection(["CZ"], np.zeros((62, 62), dtype=np.int64))
