"""Criteria for bad channels beside the published ones: off unless asked for, and what they say they are."""

from __future__ import annotations

import numpy as np
import pytest

from mdjpt_platform.preprocess import steps
from mdjpt_platform.preprocess.statistics import bad_rows, deviant_rows, lonely_rows
from signal_cases import STANDARD, field, noise, recording

GOOD = np.zeros(len(STANDARD), dtype=bool)


def slow_lonely(x: np.ndarray, stretch: int, least: float, share: float) -> list[bool]:
    found = []
    for channel in range(len(x)):
        low = []
        for start in range(0, x.shape[1] - stretch + 1, stretch):
            part = x[:, start : start + stretch]
            r = [abs(np.corrcoef(part[channel], part[other])[0, 1]) for other in range(len(x)) if other != channel]
            low.append(np.percentile(r, 98) < least)
        found.append(np.mean(low) > share)
    return found


def test_published_thresholds_are_shares_above_the_median() -> None:
    x = field(20 * 125)
    for seed, row in enumerate((3, 9)):
        x[row] = 6 * (1 + seed) * noise(1, x.shape[1], seed)[0]
    level = np.median(np.abs(x))
    for limits in ([(3.0, 0.4), (30.0, 0.01)], [(3.0, 0.3)]):
        expected = [any((np.abs(row) > times * level).mean() > share for times, share in limits) for row in x]
        assert bad_rows([x[:, :1000], x[:, 1000:]], limits, 0.01) == expected
        assert 0 < sum(expected) < 5


def test_the_rule_of_emoeeg_mc() -> None:
    data = field(20 * 125)
    data /= data.std(axis=1, keepdims=True)
    data[5, ::3] = 4 * np.median(np.abs(data))  # a third of the samples above 3 times: bad for one rule alone
    data[7, :50] = 1e4  # 2 % above 30 times: for the other
    assert steps.bad_channels(recording(data.copy())).bad[1] == (STANDARD[7],)
    other = steps.bad_channels(recording(data.copy()), moderate_share=0.3, extreme=None)
    assert other.bad[1] == (STANDARD[5],)


def test_deviation_is_a_robust_z() -> None:
    x = field(20 * 125)
    x[4] *= 0.05
    x[11] *= 6
    spread = x.std(axis=1)
    middle = np.median(spread)
    z = np.abs(spread - middle) / (1.4826 * np.median(np.abs(spread - middle)))
    for most in (2.0, 4.0):
        np.testing.assert_array_equal(deviant_rows([x[:, :999], x[:, 999:]], GOOD, most), z > most)
    assert z[11] > 4.0


def test_a_channel_that_follows_no_other_is_lonely() -> None:
    x = field(20 * 125)
    x[6] = noise(1, x.shape[1], 3)[0] * x[6].std() / 20
    for least, share in ((0.4, 0.5), (0.8, 0.1)):
        assert lonely_rows([x], GOOD, 125, least, share).tolist() == slow_lonely(x, 125, least, share)
    assert lonely_rows([x], GOOD, 125, 0.6, 0.5).nonzero()[0].tolist() == [6]
    bad = np.array([name != "FP1" for name in STANDARD])
    assert not lonely_rows([x], bad, 125, 0.6, 0.5).any()  # nobody left to follow


def test_criteria_are_off_unless_asked_for() -> None:
    data = field(20 * 125)
    data[6] = noise(1, data.shape[1], 3)[0] * data[6].std() / 20
    data[11] *= 2.9 / 6
    assert steps.bad_channels(recording(data.copy())).bad == {}
    assert steps.bad_channels(recording(data.copy()), correlation=0.6).bad == {1: (STANDARD[6],)}
    assert STANDARD[6] not in steps.bad_channels(recording(data.copy()), correlation=0.6, protect=STANDARD[6:7]).bad
    lost = data.copy()
    lost[11] *= 0.05
    assert STANDARD[11] in steps.bad_channels(recording(lost), deviation=2.5).bad[1]


@pytest.mark.parametrize("criterion", [{"deviation": 3.0}, {"correlation": 0.4}])
def test_flat_channels_disturb_no_criterion(criterion: dict[str, float]) -> None:
    data = field(20 * 125)
    data[3] = 0.0
    data[9] = 0.0
    assert steps.bad_channels(recording(data), **criterion).bad[1][:2] == (STANDARD[3], STANDARD[9])
