"""The summary of a recording at one stage: spectra as SciPy has them, planted sines found, bounded, deterministic."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import signal as sp

from mdjpt_platform.corpora.base import Trial
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.quality import BANDS, QUANTILES, look
from mdjpt_platform.preprocess.signals import Array, Piece, Signals

NAMES = ("F3", "F4", "O1", "O2")


def recording(data: Array, rate: float = 250.0, cuts: tuple[tuple[float, float | None], ...] = ((0, None),)) -> Signals:
    """One piece with a trial for every (start, stop), in seconds."""
    trials = tuple(Trial(n, str(n), n, None, start=start, stop=stop) for n, (start, stop) in enumerate(cuts, 1))
    return Signals(NAMES[: len(data)], rate, (Piece(data, trials),), "sub-1")


def noise(seconds: float, rate: float = 250.0, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((4, round(seconds * rate))) * 10


def sine(data: Array, frequency: float, amplitude: float, rate: float = 250.0) -> Array:
    return data + amplitude * np.sin(2 * np.pi * frequency * np.arange(data.shape[1]) / rate)


def slow_bands(views: list[Array], rate: float) -> Array:
    """Welch by SciPy, trial by trial, each bin then shared out among the bands by its overlap with them."""
    length, total, weight = round(4 * rate), 0.0, 0
    for view in views:
        whole = view[:, : view.shape[1] // length * length]
        frequencies, density = sp.welch(whole, rate, nperseg=length, noverlap=0, detrend="constant")
        total, weight = total + density * whole.shape[1], weight + whole.shape[1]
    edges = np.geomspace(0.5, min(rate / 2, 100), BANDS + 1)
    found = np.zeros((len(views[0]), BANDS))
    for band in range(BANDS):
        for frequency, value in zip(frequencies, (total / weight).T, strict=True):
            low, high = max(edges[band], frequency - 0.125), min(edges[band + 1], frequency + 0.125)
            found[:, band] += value * max(0.0, high - low) / (edges[band + 1] - edges[band])
    return found


@pytest.mark.parametrize("rate", [250.0, 128.0])
def test_spectrum_is_welch_over_trials(rate: float) -> None:
    data = sine(noise(40, rate), 10.2, 30, rate) + 4200  # the offset of an amplifier
    found = look(recording(data, rate, ((1, 13), (20, 29), (30, 38.5))))
    views = [data[:, round(a * rate) : round(b * rate)] for a, b in ((1, 13), (20, 29), (30, 38.5))]
    np.testing.assert_allclose(found["power"], slow_bands(views, rate), rtol=6e-5)
    assert found["looked"] == 12 + 8 + 8 and found["seconds"] == 12 + 9 + 8.5 and found["trials"] == 3


def test_power_of_a_sine_is_kept_where_it_belongs() -> None:
    found = look(recording(sine(noise(60) / 1e4, 10, 30)))
    edges = np.geomspace(0.5, 100, BANDS + 1)
    power = np.array(found["power"]) * np.diff(edges)
    np.testing.assert_allclose(power.sum(axis=1), 30**2 / 2, rtol=1e-4)
    assert abs(found["frequencies"][int(power[0].argmax())] - 10) < 0.5
    np.testing.assert_allclose(found["sd"], 30 / 2**0.5, rtol=1e-4)


def test_trials_shorter_than_a_stretch_count_as_they_are() -> None:
    data = sine(noise(10), 20, 30)
    found = look(recording(data, cuts=tuple((n, n + 1) for n in range(10))))
    one = [sp.periodogram(data[:, n * 250 : (n + 1) * 250], 250, "hann", 1000)[1] for n in range(10)]
    mean = np.mean(one, axis=0)
    edges = np.geomspace(0.5, 100, BANDS + 1)
    power = np.array(found["power"]) * np.diff(edges)
    ends = (np.arange(502) - 0.5) / 4
    inside = np.clip(np.minimum(ends[1:], 100) - np.maximum(ends[:-1], 0.5), 0, None)
    np.testing.assert_allclose(power.sum(axis=1), (mean * inside).sum(axis=1), rtol=1e-4)
    assert found["looked"] == 10


def test_trials_count_by_their_length() -> None:
    data = noise(5)
    data[:, :250] *= 10
    one, both = (look(recording(data, cuts=cuts)) for cuts in (((0, 1),), ((0, 1), (1, 5))))
    long = look(recording(data, cuts=((1, 5),)))
    mixed = 0.2 * np.array(one["power"]) + 0.8 * np.array(long["power"])
    np.testing.assert_allclose(both["power"], mixed, rtol=2e-4)


def test_line_stands_above_its_neighbourhood() -> None:
    quiet, loud = look(recording(noise(60))), look(recording(sine(noise(60), 50, 20)))
    assert abs(quiet["line"]["50"]) < 2 and abs(quiet["line"]["60"]) < 2
    expected = 10 * np.log10(20**2 / 2 / 1.25 / (2 * 10**2 / 250))  # its power over five bins, the noise's density
    assert abs(loud["line"]["50"] - expected) < 1 and abs(loud["line"]["60"]) < 2
    slow = look(recording(noise(60, 100.0), 100.0))
    assert slow["line"] == {"50": None, "60": None}
    assert look(recording(noise(60, 125.0), 125.0))["line"]["60"] is None


@pytest.mark.parametrize(("seconds", "height"), [(1, 17), (4, 20)])
def test_the_edge_of_a_filter_is_no_line(seconds: int, height: float) -> None:
    sos = sp.butter(4, (0.5, 47), "bandpass", fs=125, output="sos")
    cuts = tuple((float(start), float(start + seconds)) for start in range(0, 120, seconds))
    for amplitude, expected in ((0.0, 0.0), (20.0, height)):
        data = sp.sosfiltfilt(sos, sine(noise(120, 125.0), 50.1, amplitude, 125.0), axis=1)
        assert abs(look(recording(data, 125.0, cuts))["line"]["50"] - expected) < 2


def test_amplitudes() -> None:
    data = noise(100, seed=3)
    data[1] = 7.0
    found = look(recording(data))
    blocks = data.reshape(4, 25, 1000)
    magnitude = np.abs(blocks - blocks.mean(axis=2, keepdims=True))
    np.testing.assert_allclose(found["sd"], np.median(blocks.std(axis=2), axis=1), rtol=6e-5, atol=1e-9)
    expected = np.percentile(magnitude, QUANTILES)
    np.testing.assert_allclose([found["quantiles"][f"{q:g}"] for q in QUANTILES], expected, rtol=5e-3, atol=1e-3)
    assert found["flat"] == 0.25 and found["beyond_100uv"] == 0 == found["nonfinite"]
    data[0, :500] = np.tile([-1000.0, 1000.0], 250)
    assert look(recording(data))["beyond_100uv"] == pytest.approx(500 / data.size)


def test_holes_are_counted_and_spoil_nothing() -> None:
    data = noise(8)
    data[2, 100:120], data[3] = np.nan, np.inf
    found = look(recording(data))
    assert found["nonfinite"] == pytest.approx((20 + 2000) / 8000) and found["sd"][3] == 0
    json.dumps(found, allow_nan=False)
    assert found["sd"][2] == pytest.approx(10, rel=0.1)


def test_long_recordings_are_thinned_evenly_and_always_alike() -> None:
    data = noise(2500, 64.0)[:2]
    data[:, 100_000:] *= 3  # stretches of both parts must be among those read
    found = look(recording(data, 64.0, ((0, 1000), (1000, 2500))))
    assert found == look(recording(data.copy(), 64.0, ((0, 1000), (1000, 2500))))
    assert found["seconds"] == 2500 and found["looked"] == 600
    assert found["quantiles"]["99.9"] > 70 and found["quantiles"]["50"] == pytest.approx(9.6, rel=0.05)


def test_left_out_trials_are_not_looked_at() -> None:
    data = noise(20)
    data[:, :2500] *= 1e3
    whole = recording(data, cuts=((0, 10), (10, 20)))
    kept = Signals(whole.names, whole.rate, whole.pieces, whole.where, dropped={1: "bad"})
    found = look(kept)
    assert found["trials"] == 1 and found["seconds"] == 10 and max(found["sd"]) < 15
    with pytest.raises(BadInput, match="trials: found none left"):
        look(Signals(whole.names, whole.rate, whole.pieces, whole.where, dropped={1: "bad", 2: "bad"}))


def test_summary_is_small_json_and_reads_only() -> None:
    data = noise(30)
    before = data.copy()
    found = look(recording(data))
    assert (data == before).all()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert len(json.dumps(found)) < 4000 and found["channels"] == list(NAMES) and found["rate"] == 250
    assert all(value == float(f"{value:.5g}") for row in found["power"] for value in row)
    assert len(found["frequencies"]) == BANDS and 0.5 < found["frequencies"][0] < found["frequencies"][-1] < 100


def test_a_rate_without_eeg_is_refused() -> None:
    with pytest.raises(BadInput, match="rate: found 1 Hz"):
        look(recording(noise(60), 1.0))
