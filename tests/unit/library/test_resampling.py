"""Resampling as a matrix: what it does to signals, not how it is made."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.signal import resample_poly

from mdjpt_platform.library.resampling import resampling

RATIOS = [Fraction(8, 5), Fraction(256, 125), Fraction(16, 25), Fraction(1)]


@pytest.mark.parametrize("ratio", RATIOS)
def test_matrix_is_scipys_polyphase(ratio: Fraction) -> None:
    x = np.random.default_rng(0).standard_normal((3, 250)) + 5
    expected = resample_poly(x, ratio.numerator, ratio.denominator, axis=1, padtype="line")
    found = x @ resampling(250, ratio)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_slow_wave_keeps_its_course_and_a_line_stays_a_line(ratio: Fraction) -> None:
    samples, rate = 500, 125
    matrix = resampling(samples, ratio)
    before = np.arange(samples) / rate
    after = np.arange(matrix.shape[1]) / (rate * float(ratio))
    inside = (after > 0.3) & (after < 3.7)
    wave = np.sin(2 * np.pi * 10 * before) @ matrix
    np.testing.assert_allclose(wave[inside], np.sin(2 * np.pi * 10 * after[inside]), atol=0.01)
    np.testing.assert_allclose((2 + before) @ matrix, 2 + after, rtol=2e-3)


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    before = np.arange(500) / 125
    fast = np.sin(2 * np.pi * 55 * before) @ resampling(500, Fraction(16, 25))  # 80 Hz hold 40
    assert np.abs(fast[40:-40]).max() < 0.01
