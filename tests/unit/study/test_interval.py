from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mdjpt_platform.errors import BadInput
from mdjpt_platform.study.interval import bounds, estimate, spread
from mdjpt_platform.study.simulated import Spread, draw

STUDIES = 1000
TOLERANCE = 3.3 * np.sqrt(0.05 * 0.95 / STUDIES)
"""A right rate of 5 % is missed once in a thousand runs of a test; seeds are fixed."""


def gaps(design: Spread, studies: int = STUDIES) -> list[np.ndarray]:
    values, _ = draw(design, [0.6, 0.6], studies, np.random.default_rng(0))
    return [block[..., 1] - block[..., 0] for block in values]


def coverage(values: list[np.ndarray], drawn_targets: bool = False) -> float:
    low, high, p = bounds(*spread(values, drawn_targets))
    inside = (low <= 0) & (high >= 0)
    np.testing.assert_array_equal(inside, p >= 0.05)
    return float(inside.mean())


def test_one_seed_is_the_t_interval():
    values = np.random.default_rng(0).normal(0.02, 0.05, (9, 1))
    found, known = estimate([values]), stats.ttest_1samp(values[:, 0], 0)
    low, high = known.confidence_interval(0.95)
    assert (found.value, found.low, found.high, found.p) == pytest.approx((values.mean(), low, high, known.pvalue))
    assert (found.subjects, found.targets, found.seeds) == (9, 1, 1)
    assert found.basis() == "9 subjects of 1 target, 1 seed: chance of training not counted"


def test_parts_of_a_balanced_table_are_those_of_its_analysis_of_variance():
    block = np.random.default_rng(1).normal(0, 0.02, (7, 4)) + np.array([0.0, 0.05, -0.05, 0.1])
    _, ((subjects, df), (seeds, df_seeds)) = spread([block])
    rows, columns, mean = block.mean(1), block.mean(0), block.mean()
    rest = sum((block[i, j] - rows[i] - columns[j] + mean) ** 2 for i in range(7) for j in range(4)) / 18
    between = 7 * sum((column - mean) ** 2 for column in columns) / 3
    assert float(subjects) == pytest.approx(rows.var(ddof=1) / 7) and df == pytest.approx(6) and df_seeds == 3
    assert float(seeds) == pytest.approx((between - 2 / 3 * rest) / 28)  # of four seeds two thirds are taken off
    found = estimate([block])
    half = np.hypot(stats.t.ppf(0.975, 6) * np.sqrt(subjects), stats.t.ppf(0.975, 3) * np.sqrt(seeds))
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half))


def test_targets_weigh_the_same_and_have_welch_degrees_of_freedom():
    random = np.random.default_rng(2)
    one, two = random.normal(0.1, 0.1, (6, 1)), random.normal(0.0, 0.02, (20, 1))
    mean, ((variance, df),) = spread([one, two])
    welch = stats.ttest_ind(one[:, 0], -two[:, 0], equal_var=False)  # the sum of two means
    assert float(mean) == pytest.approx((one.mean() + two.mean()) / 2)
    assert float(df) == pytest.approx(welch.df)
    assert estimate([one, two]).p == pytest.approx(welch.pvalue)
    assert float(variance) == pytest.approx((one.var(ddof=1) / 6 + two.var(ddof=1) / 20) / 4)


def test_p_is_where_the_interval_ends_at_zero():
    block = np.random.default_rng(3).normal(0.03, 0.02, (8, 3)) + np.array([0.0, 0.04, -0.02])
    found, (_, ((subjects, df), (seeds, df_seeds))) = estimate([block]), spread([block])
    tail = found.p / 2
    half = np.hypot(stats.t.isf(tail, df) * np.sqrt(subjects), stats.t.isf(tail, df_seeds) * np.sqrt(seeds))
    assert seeds > 0 and half == pytest.approx(found.value)


def test_nothing_differs():
    same = estimate([np.zeros((6, 3))])
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    shifted = estimate([np.full((6, 3), 0.25)])
    assert (shifted.low, shifted.high) == (0.25, 0.25) and shifted.p < 1e-80


def test_refused():
    with pytest.raises(BadInput, match=r"subjects: found \[4, 1\], expected at least 2"):
        estimate([np.zeros((4, 2)), np.zeros((1, 2))])
    with pytest.raises(BadInput, match="at least 2"):
        estimate([])
    with pytest.raises(BadInput, match="targets: found 4, expected at least 5"):
        estimate([np.zeros((4, 2))] * 4, drawn_targets=True)
    assert "drawn from all targets" in estimate([np.zeros((4, 2))] * 5, drawn_targets=True).basis()


@pytest.mark.parametrize("subjects", [(8,), (15,), (15, 15, 15), (8, 15, 30)], ids=str)
@pytest.mark.parametrize("training", [0.0, 0.01, 0.02])
@pytest.mark.parametrize("seeds", [3, 5])
def test_coverage(subjects, training, seeds):
    found = coverage(gaps(Spread(subjects=subjects, training=training, seeds=seeds)))
    assert 0.95 - TOLERANCE - 0.01 < found < 0.97 + TOLERANCE


def test_coverage_without_luck_of_training_is_exact():
    assert abs(coverage(gaps(Spread(training=0, seeds=1))) - 0.95) < TOLERANCE


def test_leaving_luck_of_training_out_covers_too_little():
    values = [block.mean(-1, keepdims=True) for block in gaps(Spread(training=0.02))]
    assert coverage(values) < 0.86


def test_coverage_of_targets_at_large():
    values = gaps(Spread(subjects=(10,) * 6, target=0.03))
    assert 0.95 - TOLERANCE < coverage(values, drawn_targets=True) < 0.97 + TOLERANCE
    assert coverage(values) < 0.75  # speaks of these targets alone
