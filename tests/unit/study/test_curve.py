from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import statsmodels.api as sm

from mdjpt_platform.study.curve import EXPONENTS, curve_of, fit_curve, moments
from mdjpt_platform.study.simulated import Spread, draw
from mdjpt_platform.study.subsets import Subsets, subsets

COUNTS = np.arange(1.0, 7)


def covariance(size: int = 6) -> np.ndarray:
    return 1e-5 * (np.eye(size) + 3) * np.linspace(1, 2, size)[:, None] ** 0.5 * np.linspace(1, 2, size) ** 0.5


def designs(shape: Callable[[float], float], studies: int, spread: Spread, names: str = "abcde") -> list[Subsets]:
    cells = subsets(frozenset(names))
    values, _ = draw(spread, [shape(len(cell)) for cell in cells], studies, np.random.default_rng(0))
    targets = [f"t{place}" for place in range(len(values))]
    return [
        Subsets(dict.fromkeys(targets, tuple(cells)), {t: v[k] for t, v in zip(targets, values, strict=True)},
                tuple(range(spread.seeds)), ())
        for k in range(studies)
    ]  # fmt: skip


def test_law_without_noise_is_found_again():
    found = fit_curve(range(1, 7), 0.7 - 0.2 * COUNTS ** -EXPONENTS[70], covariance(), 42, 45)
    assert found.shape == "saturating" and found.exponent is not None and found.remaining is not None
    assert found.exponent.value == EXPONENTS[70] and found.exponent.low < EXPONENTS[70] < found.exponent.high
    assert found.remaining.value == pytest.approx(0.2 * 6 ** -EXPONENTS[70])
    assert found.remaining.low < found.remaining.value < found.remaining.high
    assert found.held_out["saturating"] == pytest.approx(0, abs=1e-9)
    assert found.fitted["saturating"] == pytest.approx(found.means)
    assert found.sentence().startswith("The score rises and levels off from 1 to 6 corpora: power law with exponent")


def test_line_and_nothing_without_noise():
    line = fit_curve(range(1, 7), 0.5 + 0.02 * COUNTS, covariance(), 42, 45)
    assert line.shape == "linear" and "no levelling off is shown" in line.sentence()
    falling = fit_curve(range(1, 7), 0.5 - 0.02 * COUNTS, covariance(), 42, 45)
    assert falling.sentence().startswith("The score falls about linearly")
    flat = fit_curve(range(1, 7), np.full(6, 0.5), covariance(), 42, 45)
    assert flat.shape == "no trend" and flat.sentence().startswith("No trend from 1 to 6 corpora is shown")


def test_logarithm_has_no_ceiling():
    found = fit_curve(range(1, 7), 0.5 + 0.05 * np.log(COUNTS), covariance(), 42, 45)
    assert found.shape == "not identifiable" and "the exponent's interval is open" in found.reason
    assert found.exponent is not None and found.exponent.low == 0


def test_misfit_is_that_of_statsmodels():
    means = 0.6 + np.random.default_rng(0).normal(0, 0.01, 6)
    known = sm.GLS(means, sm.add_constant(COUNTS), sigma=covariance()).fit()
    found = fit_curve(range(1, 7), means, covariance(), 42, 45)
    assert found.fitted["linear"] == pytest.approx(known.fittedvalues)
    misfit = known.ssr * (42 - 5 - 1) / 42
    assert found.aicc["linear"] == pytest.approx(misfit + 4 + 2 * 2 * 3 / (45 - 3))


def test_covariance_of_the_means():
    """Over many studies, but for shifts common to all numbers."""
    studies = designs(lambda n: 0.6, 600, Spread(subjects=(9, 9), training=0.02, noise=0.08), "abc")
    found = [moments(one, (1, 2, 3)) for one in studies]
    gaps = np.array([[1.0, -1, 0], [0, 1, -1]])
    true = np.cov(gaps @ np.array([mean for mean, _, _ in found]).T)
    estimated = np.mean([gaps @ cov @ gaps.T for _, cov, _ in found], 0)
    assert found[0][2] == 16
    np.testing.assert_allclose(estimated, true, rtol=0.15, atol=0.1 * true.max())


def test_an_encoder_that_two_targets_share_counts_once():
    cells = (frozenset("a"), frozenset("b"), frozenset("ab"))
    luck = np.random.default_rng(0).normal(0, 0.05, (1, 4, 3))
    block = np.broadcast_to(luck, (6, 4, 3))
    one = Subsets({"s": cells}, {"s": block}, (0, 1, 2, 3), ())
    two = Subsets({"s": cells, "t": cells}, {"s": block, "t": block}, (0, 1, 2, 3), ())
    np.testing.assert_allclose(moments(one, (1, 2))[1], moments(two, (1, 2))[1])


def test_what_too_little_can_say():
    (two,) = designs(lambda n: 0.7 - 0.2 / n, 1, Spread(), "ab")
    few = curve_of(two, (1, 2))
    assert few.shape == "not identifiable" and few.reason == "2 numbers of corpora, 3 needed"
    four = fit_curve(range(1, 5), 0.7 - 0.2 / COUNTS[:4], covariance(4), 42, 45)
    assert four.reason == "a trend, but 4 numbers of corpora, 5 needed to tell a line from a law"
    assert "saturating" not in four.aicc
    assert "too few" in fit_curve(range(1, 7), 0.7 - 0.2 / COUNTS, covariance(), 5, 6).reason
    assert "too alike" in fit_curve(range(1, 7), 0.7 - 0.2 / COUNTS, np.zeros((6, 6)), 42, 45).reason
    (one,) = designs(lambda n: 0.7 - 0.2 / n, 1, Spread(seeds=1))
    assert "one seed" in curve_of(one, range(1, 6)).sentence()
    assert curve_of(one, []).sentence().startswith("The shape of the curve over corpora is not identifiable")


@pytest.mark.parametrize(
    ("shape", "right", "least", "wrong", "most"),
    [
        (lambda n: 0.6, "no trend", 0.92, "saturating", 0.01),
        (lambda n: 0.5 + 0.02 * n, "linear", 0.6, "saturating", 0.01),
        (lambda n: 0.7 - 0.1 / n, "saturating", 0.75, "linear", 0.01),
        (lambda n: 0.6 + 0.04 * np.log(n), "not identifiable", 0.9, "saturating", 0.02),
    ],
    ids=["none", "linear", "saturating", "logarithm"],
)
def test_verdicts(shape, right, least, wrong, most):
    said = Counter(curve_of(one, range(1, 6)).shape for one in designs(shape, 150, Spread()))
    assert said[right] / 150 > least and said[wrong] / 150 <= most, said


def test_few_subjects_are_not_told_a_line_where_a_law_is_as_near():
    found = designs(lambda n: 0.6 + 0.04 * np.log(n), 150, Spread(subjects=(8,)))
    said = Counter(curve_of(one, range(1, 6)).shape for one in found)
    assert said["linear"] / 150 < 0.2 and said["saturating"] == 0, said
