"""The mains hum: found where it is, at its frequency; what is beside it and what has none stays as it was."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt, welch

from corpora_cases import config, listed, read, real
from mdjpt_platform.preprocess import signals, steps
from signal_cases import field, noise, recording, sine


def hum(frequency: float, samples: int, rate: float, size: float) -> np.ndarray:
    """A sine whose strength wavers over seconds."""
    t = np.arange(samples) / rate
    return size * (1 + 0.3 * np.sin(0.4 * t)) * sine(frequency, samples, rate)


def found(state: signals.Signals) -> list[dict[str, float]]:
    return list(state.notes["line"]["found"])


def power(x: np.ndarray, rate: float, low: float, high: float) -> float:
    frequency, spectrum = welch(x, rate, nperseg=min(x.shape[-1], int(4 * rate)))
    return float(spectrum[..., (frequency >= low) & (frequency <= high)].mean())


@pytest.mark.parametrize("frequency", [50.0, 49.87, 60.04])
def test_hum_is_found_measured_and_taken_out(frequency: float) -> None:
    rate, samples = 250.0, 60 * 250
    truth = field(samples) + 0.7 * np.random.default_rng(0).standard_normal((31, samples))
    gains = np.random.default_rng(1).uniform(0.2, 1, 31)[:, None]
    out = steps.line(recording(truth + gains * hum(frequency, samples, rate, 5), rate=rate))
    (line,) = found(out)
    assert line["frequency"] == pytest.approx(frequency, abs=0.01)
    assert line["ratio_db_before"] > 25 and abs(line["ratio_db_after"]) < 6
    left = out.pieces[0].data - truth
    assert (left**2).mean() < 0.01 * ((gains * hum(frequency, samples, rate, 5)) ** 2).mean()
    assert power(left, rate, 0, 45) < 1e-3 * power(truth, rate, 0, 45)


def test_harmonics_and_two_mains() -> None:
    rate, samples = 500.0, 40 * 500
    x = noise(8, samples)
    for frequency, size in ((50.02, 5), (150.06, 3), (60.0, 4)):
        x = x + hum(frequency, samples, rate, size)
    assert [line["frequency"] for line in found(steps.line(recording(x.copy(), rate=rate)))] == pytest.approx(
        [50.02, 60.0, 150.06], abs=0.02
    )
    only = steps.line(recording(x.copy(), rate=rate), mains=(50.0,), harmonics=False)
    assert [line["frequency"] for line in found(only)] == pytest.approx([50.02], abs=0.02)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("cuts", [[60], [5] * 12, [1] * 60])
def test_nothing_is_touched_where_nothing_is_found(cuts: Sequence[int], seed: int) -> None:
    rate = 250.0
    x = field(60 * 250, seed=seed) + 0.7 * np.random.default_rng(seed).standard_normal((31, 60 * 250))
    starts = np.cumsum([0, *cuts[:-1]]) * 250
    parts = [x[:, start : start + cut * 250] for start, cut in zip(starts, cuts, strict=True)]
    out = steps.line(recording(*parts, rate=rate))
    assert out.notes == {"line": {"found": []}}
    for piece, part in zip(out.pieces, parts, strict=True):
        np.testing.assert_array_equal(piece.data, part)


def test_a_broad_rhythm_is_no_line() -> None:
    rate, samples = 250.0, 120 * 250
    rng = np.random.default_rng(0)
    beta = np.fft.irfft(
        np.fft.rfft(rng.standard_normal((31, samples)))
        * np.exp(-(((np.fft.rfftfreq(samples, 1 / rate) - 50) / 3) ** 2)),
        samples,
    )
    assert found(steps.line(recording(field(samples) + 10 * beta / beta.std(), rate=rate))) == []


def test_on_a_slope_a_line_is_judged_by_the_slope() -> None:
    rate, samples = 128.0, 120 * 128
    sos = butter(4, 30, fs=rate, output="sos")
    falling = sosfiltfilt(sos, np.random.default_rng(0).standard_normal((31, samples)))
    assert found(steps.line(recording(100 * falling, rate=rate))) == []
    weak = 100 * falling + 0.3 * sine(50.0, samples, rate)
    assert [line["frequency"] for line in found(steps.line(recording(weak, rate=rate)))] == [50.0]


def test_short_cuts_keep_their_edges() -> None:
    """Cuts of 5 s, whose hum starts anywhere in its cycle: no more error at the edges than a few times the middle's."""
    rate, length = 250.0, 5 * 250
    rng = np.random.default_rng(0)
    truth = [field(length, seed=n) + 0.7 * rng.standard_normal((31, length)) for n in range(12)]
    wave = 8 * sine(50.03, 100_000, rate)
    parts = [x + wave[start : start + length] for x, start in zip(truth, rng.integers(0, 90_000, 12), strict=True)]
    out = steps.line(recording(*parts, rate=rate))
    assert found(out)[0]["frequency"] == pytest.approx(50.03, abs=0.02)
    left = np.array([piece.data - x for piece, x in zip(out.pieces, truth, strict=True)])
    edge, middle = (left[..., :60] ** 2).mean() + (left[..., -60:] ** 2).mean(), (left[..., 300:-300] ** 2).mean()
    assert np.sqrt(edge / 2) < 0.4 and np.sqrt(edge / 2) < 4 * np.sqrt(middle)


def test_a_flat_channel_and_the_shortest_pieces_do_no_harm() -> None:
    rate = 250.0
    x = noise(8, 20 * 250) + hum(50.0, 20 * 250, rate, 5)
    x[3] = 0
    short = x[:, :100].copy()
    out = steps.line(recording(x.copy(), x.copy(), short.copy(), rate=rate))
    assert len(found(out)) == 1 and not out.pieces[0].data[3].any()
    np.testing.assert_array_equal(out.pieces[2].data, short)
    assert found(steps.line(recording(short, rate=rate))) == []


def test_notes_are_json_and_a_second_use_notes_apart() -> None:
    state = steps.line(steps.line(recording(noise(8, 5000) + hum(50.0, 5000, 250.0, 5), rate=250.0)))
    assert set(json.loads(json.dumps(state.notes))) == {"line", "line#2"}
    assert len(state.notes["line"]["found"]) == 1 and state.notes["line#2"] == {"found": []}


@pytest.mark.parametrize(
    ("layout", "subject", "lines"), [("eegmat", "00", 0), ("ssvep_exo", "12", 0), ("ssvep_exo", "08", 2)]
)
def test_real_recordings(layout: str, subject: str, lines: int) -> None:
    """eegmat was notched by its makers; subject 12 of the SSVEP set has no hum, subject 08 has it and its harmonic."""
    (one,) = listed(real(layout), config(layout, subjects=(subject,)))
    state = steps.unit(signals.begin(read(one), one.id))
    before = [piece.data.copy() for piece in state.pieces]
    out = steps.line(state)
    assert len(found(out)) == lines
    for line in found(out):
        assert line["ratio_db_before"] > 20 and line["ratio_db_after"] < 3
    for old, piece in zip(before, out.pieces, strict=True):
        assert power(piece.data - old, out.rate, 0, 45) < 1e-4 * power(old, out.rate, 0, 45)
