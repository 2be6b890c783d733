"""The shape of a spectrum, its distance from others, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

from mdjpt_platform.predict.novelty import amplitude, distance, profile

NAMES = ("FZ", "CZ", "PZ")


def noise(seed: int = 0, seconds: int = 40) -> np.ndarray:
    white = np.random.default_rng(seed).standard_normal((seconds * 125 + 4, 3))
    return np.stack([np.convolve(row, np.ones(5), "valid") for row in white.T]).T.astype(np.float32)


def test_a_profile_knows_no_amplitude_and_no_flat_channel() -> None:
    signal = noise()
    found = profile(signal, NAMES, 125.0)
    assert found.frequencies.tolist() == list(range(1, 46)) and (10 ** (found.power / 10)).sum() == pytest.approx(
        1, rel=0.1
    )
    assert np.allclose(profile(1e3 * signal, NAMES, 125.0).power, found.power, atol=1e-3)
    flat = np.c_[signal, np.zeros(len(signal), np.float32)]
    assert np.array_equal(profile(flat, (*NAMES, "OZ"), 125.0).power, found.power)


def test_a_line_and_a_slope_are_far_from_noise() -> None:
    shown = np.stack([profile(noise(seed), NAMES, 125.0).power for seed in range(8)])
    spectrum = {"frequencies": list(range(1, 46)), "mean": shown.mean(0), "sd": shown.std(0)}
    time = np.arange(40 * 125)[:, None] / 125
    near = distance(profile(noise(9), NAMES, 125.0), spectrum)
    alpha = distance(profile(noise(9) + 3 * np.sin(2 * np.pi * 40 * time), NAMES, 125.0), spectrum)
    slope = distance(profile(np.cumsum(noise(9), 0), NAMES, 125.0), spectrum)
    assert near < 1.6 < 2 * near < min(alpha, slope)
    still = {**spectrum, "sd": np.zeros(45)}  # recordings that do not differ are no reason for infinite distances
    assert np.isfinite(distance(profile(noise(9), NAMES, 125.0), still))


def test_what_has_no_spectrum() -> None:
    with pytest.raises(ValueError, match="at least 2 s"):
        profile(noise()[:249], NAMES, 125.0)
    with pytest.raises(ValueError, match="no channel moves"):
        profile(np.zeros((500, 3), np.float32), NAMES, 125.0)
    with pytest.raises(ValueError, match="2 names for 3"):
        profile(noise(), NAMES[:2], 125.0)
    slow = profile(noise()[:, :], NAMES, 60.0)
    with pytest.raises(ValueError, match="29 bins, the model has 45"):
        distance(slow, {"frequencies": list(range(1, 46)), "mean": [0] * 45, "sd": [1] * 45})


def test_amplitude_is_a_root_mean_square() -> None:
    assert amplitude([3.0, 4.0]) == pytest.approx(12.5**0.5)
