"""Each preparation step against what it must do to a signal whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import mne
import numpy as np
import pytest
from scipy.signal import welch

from mdjpt_platform.corpora.base import Segment
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess import montage, signals, steps
from mdjpt_platform.preprocess.signals import Piece
from mdjpt_platform.preprocess.statistics import clipped_moments, median_magnitude
from signal_cases import STANDARD, field, noise, recording, sine, trial

# names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Fp1", "FP1"), ("EEG Fp1-REF", "FP1"), ("EEG T5-LE", "P7"), ("T3", "T7"), ("Fc5.", "FC5"), (" oz ", "OZ"),
     ("EEG A2-A1", "A2-A1"), ("PO10", "PO10"), ("EEG F1-Ref-1", "F1")],
)  # fmt: skip
def test_canonical_names(name: str, expected: str) -> None:
    assert montage.canonical(name) == expected


def test_channels_drops_what_is_not_scalp_and_takes_the_declared_order() -> None:
    data = np.arange(6.0)[:, None] * np.ones((6, 10))
    state = recording(data, names=("EEG O2", "M1", "T3", "CB1", "Fp1", "EEG A2-A1"))
    assert steps.channels(state).names == ("O2", "T7", "FP1")
    ordered = steps.channels(replace(state, declared=("Fp1", "M1", "T7", "O2")))
    assert ordered.names == ("FP1", "T7", "O2")
    assert ordered.pieces[0].data[:, 0].tolist() == [4, 2, 0]


@pytest.mark.parametrize(
    ("names", "declared", "message"),
    [
        (("Fp1", "Banana", "X9"), (), "unknown Banana, X9"),
        (("Fp1", "EEG FP1-REF"), (), "the same position twice: Fp1 and EEG FP1-REF"),
        (("T3", "T7"), (), "the same position twice: T3 and T7"),
        (("M1", "CB2"), (), "no scalp channel"),
        (("Fp1", "Fp2"), ("Fp1", "Oz"), "no OZ; extra FP2"),
    ],
)
def test_channels_refuses(names: tuple[str, ...], declared: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        steps.channels(replace(recording(np.ones((len(names), 10)), names=names), declared=declared))


def test_only_channels_typed_eeg_enter_and_volts_become_microvolts() -> None:
    info = mne.create_info(["Fp1", "HEO", "Oz", "STI"], 200.0, ["eeg", "eog", "eeg", "stim"])
    raw = mne.io.RawArray(np.full((4, 50), 2e-6), info, verbose="ERROR")
    state = signals.begin([Segment(raw, (trial(),))], "r")
    assert state.names == ("Fp1", "Oz") and state.rate == 200.0
    np.testing.assert_allclose(state.pieces[0].data, 2.0)


def test_begin_refuses_empty_and_contradictory_recordings() -> None:
    def raw(names: list[str], rate: float, kind: str = "eeg") -> mne.io.BaseRaw:
        return mne.io.RawArray(np.zeros((len(names), 50)), mne.create_info(names, rate, kind), verbose="ERROR")

    with pytest.raises(BadInput, match="segments: found none"):
        signals.begin([], "r")
    with pytest.raises(BadInput, match="no channel of type EEG"):
        signals.begin([Segment(raw(["a"], 100.0, "misc"), (trial(),))], "r")
    with pytest.raises(BadInput, match="trials: found none"):
        signals.begin([Segment(raw(["a"], 100.0), ())], "r")
    with pytest.raises(BadInput, match="number 1 twice"):
        signals.begin([Segment(raw(["a"], 100.0), (trial(), trial()))], "r")
    with pytest.raises(BadInput, match="in segment 2"):
        signals.begin([Segment(raw(["a"], 100.0), (trial(1),)), Segment(raw(["a"], 200.0), (trial(2),))], "r")


# unit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wrong", "factor"), [(1.0, 1.0), (1e6, 1e-6), (1e-6, 1e6), (1e3, 1e-3), (380.0, 1e-3)])
def test_unit_is_found_and_mended(wrong: float, factor: float) -> None:
    truth = noise(4, 2000)
    out = steps.unit(recording(truth * wrong))
    assert out.factor == factor
    np.testing.assert_allclose(out.pieces[0].data, truth * wrong * factor)


def test_unit_is_not_fooled_by_drift_or_a_flat_channel() -> None:
    truth = noise(4, 60 * 125)
    truth += np.linspace(0, 20_000, truth.shape[1])  # a DC-coupled amplifier: the SD of the whole is 5.8 mV
    truth[2] = 7.0
    assert steps.unit(recording(truth)).factor == 1.0


def test_unit_refuses() -> None:
    with pytest.raises(BadInput, match="a median SD of"):
        steps.unit(recording(noise(4, 2000) * 1e6), action="refuse")
    with pytest.raises(BadInput, match="a median SD of"):
        steps.unit(recording(noise(4, 2000) * 1e9), action="correct")
    with pytest.raises(BadInput, match="every channel flat"):
        steps.unit(recording(np.full((3, 500), 4200.0)))
    for value in (np.nan, np.inf):
        broken = noise(4, 500)
        broken[2, 100] = value
        with pytest.raises(BadInput, match=r"segment 2: found NaN or infinity in FP2"):
            steps.unit(recording(noise(4, 500), broken))


# rate and band ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [128.0, 200.0, 250.0, 256.0, 500.0, 512.0, 1000.0, 2048.0, 100.0])
def test_resampled_sine_is_the_sine_at_125(rate: float) -> None:
    seconds = 4
    samples = int(seconds * rate)
    state = recording(np.stack([4200 + 10 * sine(10, samples, rate), sine(3, samples, rate)]), rate=rate)
    out = steps.resample(state)
    assert out.rate == 125.0 and out.pieces[0].data.shape == (2, seconds * 125)
    inner = slice(30, -30)
    np.testing.assert_allclose(
        out.pieces[0].data[0, inner], (4200 + 10 * sine(10, seconds * 125, 125.0))[inner], atol=2e-3
    )


def test_resampling_keeps_aliases_out() -> None:
    for frequency in (80.0, 115.0, 240.0):  # would fold to 45, 10 and 10 Hz
        out = steps.resample(recording(sine(frequency, 5000, 500.0)[None].repeat(2, 0), rate=500.0))
        assert np.abs(out.pieces[0].data[:, 50:-50]).max() < 1e-3


def test_resampling_a_second_of_epoch_on_an_offset_leaves_no_edge() -> None:
    out = steps.resample(recording(4200 + 10 * sine(10, 256, 256.0)[None].repeat(2, 0), rate=256.0))
    assert out.pieces[0].data.shape == (2, 125)
    np.testing.assert_allclose(out.pieces[0].data[0], 4200 + 10 * sine(10, 125, 125.0), atol=3.0)


def test_resample_refuses_a_rate_without_a_ratio() -> None:
    with pytest.raises(BadInput, match="rate"):
        steps.resample(recording(np.zeros((2, 100)), rate=123.45678901))


def test_band_pass_keeps_alpha_and_removes_drift_and_60_hz() -> None:
    n = 60 * 125
    alpha = 10 * sine(10, n, 125.0)
    state = recording(np.stack([alpha + 4200 + np.linspace(0, 300, n) + 50 * sine(60, n, 125.0)] * 2))
    out = steps.band_pass(state).pieces[0].data[0]
    np.testing.assert_allclose(out[250:-250], alpha[250:-250], atol=1.0)
    frequency, power = welch(out, 125.0, nperseg=1250)
    assert power[np.argmin(abs(frequency - 60))] < 1e-9 * power[np.argmin(abs(frequency - 10))]


def test_notch_removes_what_the_published_band_lets_through() -> None:
    n = 20 * 125
    state = steps.band_pass(recording(np.stack([sine(50, n, 125.0)] * 2)))
    left = np.abs(state.pieces[0].data[:, 250:-250]).max()
    assert 0.1 < left < 0.2
    assert np.abs(steps.notch(state).pieces[0].data[:, 250:-250]).max() < 1e-3
    sixteen = steps.notch(recording(np.stack([sine(16, n, 125.0)] * 2))).pieces[0].data[:, 250:-250]
    np.testing.assert_allclose(sixteen[0], sine(16, n, 125.0)[250:-250], atol=0.02)


def test_filters_refuse_frequencies_above_half_the_rate() -> None:
    with pytest.raises(BadInput, match="low < high < rate/2"):
        steps.band_pass(recording(np.zeros((2, 100)), rate=90.0))
    with pytest.raises(BadInput, match="a frequency below rate/2"):
        steps.notch(recording(np.zeros((2, 100)), rate=90.0))


def test_short_cuts_filter_nearly_as_the_whole_does() -> None:
    """1-s epochs on an offset of 4200 uV: no transient, alpha in place, within a third of the uncut truth."""
    n, cut = 120 * 125, 125
    whole = noise(1, n)[0] + 10 * sine(10, n, 125.0) + 4200
    truth = steps.band_pass(recording(np.stack([whole] * 2))).pieces[0].data[0]
    starts = range(1250, n - 1250, cut)
    out = steps.band_pass(recording(*(np.stack([whole[a : a + cut]] * 2) for a in starts)))
    found = np.array([piece.data[0] for piece in out.pieces])
    expected = np.array([truth[a : a + cut] for a in starts])
    assert np.sqrt(((found - expected) ** 2).mean() / (expected**2).mean()) < 0.33
    assert np.abs(found).max() < 2 * np.abs(expected).max()


# bad channels ----------------------------------------------------------------------------------------


def test_a_bad_channel_is_found_and_restored_close_to_the_truth() -> None:
    truth = field(20 * 125)
    broken = truth.copy()
    row = STANDARD.index("C3")
    broken[row] = 40 * noise(1, truth.shape[1], seed=5)[0]
    out = steps.bad_channels(recording(broken))
    assert out.bad == {1: ("C3",)}
    restored = out.pieces[0].data[row]
    assert np.corrcoef(restored, truth[row])[0, 1] > 0.98
    assert np.sqrt(((restored - truth[row]) ** 2).mean()) < 0.2 * truth[row].std()
    others = [r for r in range(len(STANDARD)) if r != row]
    np.testing.assert_array_equal(out.pieces[0].data[others], broken[others])


def test_repair_is_mnes_interpolation() -> None:
    truth = field(500) * 1e-6
    info = mne.create_info(list(STANDARD), 125.0, "eeg", verbose="ERROR")
    place = montage.positions()
    info.set_montage(mne.channels.make_dig_montage({n: place[n] for n in STANDARD}, coord_frame="head"))
    raw = mne.io.RawArray(truth, info, verbose="ERROR")
    raw.info["bads"] = ["C3", "PZ"]
    raw.interpolate_bads(origin=(0.0, 0.0, 0.0), verbose="ERROR")
    rows = [STANDARD.index(n) for n in ("C3", "PZ")]
    weights = montage.repair(STANDARD, ("C3", "PZ"), "auto")
    np.testing.assert_allclose(weights @ truth, raw.get_data()[rows], rtol=1e-9, atol=1e-15)
    assert np.all(weights[:, rows] == 0)


def test_flat_channels_and_pops_are_bad_and_blinks_can_be_protected() -> None:
    data = field(20 * 125)
    data[3] = 5.0
    data[7, :40] = 1e4  # 1.6 % of the samples above 30 times the median
    state = recording(data - data.mean(axis=1, keepdims=True))
    assert steps.bad_channels(state).bad == {1: ("F7", "F8")}
    again = recording(data - data.mean(axis=1, keepdims=True))
    assert steps.bad_channels(again, protect=("F7",)).bad == {1: ("F8",)}


def test_few_channels_are_restored_from_the_three_nearest() -> None:
    names = ("OZ", "O1", "O2", "PO3", "POZ", "PO7", "PO8", "PO4")
    weights = montage.repair(names, ("OZ",), "auto")
    assert np.count_nonzero(weights) == 3 and weights.sum() == pytest.approx(1.0) and (weights >= 0).all()
    assert {names[c] for c in np.flatnonzero(weights[0])} == {"O1", "O2", "POZ"}


def test_scope_of_the_judgement() -> None:
    parts = [field(5 * 125, seed=seed) for seed in range(4)]
    parts[1][0] = 50 * noise(1, 5 * 125)[0]
    by_trial = steps.bad_channels(recording(*parts))
    assert by_trial.bad == {2: ("FP1",)}
    at_once = steps.bad_channels(recording(*parts), scope="recording", moderate_share=0.2)
    assert at_once.bad == dict.fromkeys((1, 2, 3, 4), ("FP1",))


def test_a_hopeless_trial_is_left_out_and_a_hopeless_recording_refused() -> None:
    good, dead = field(5 * 125), np.zeros((len(STANDARD), 5 * 125))
    out = steps.bad_channels(recording(good, dead, good))
    assert out.dropped == {2: "31 of 31 channels bad"}
    assert [member.trial for member, _ in signals.cut(out)] == [1, 3]
    with pytest.raises(BadInput, match="none left"):
        steps.bad_channels(recording(dead))


def test_average_reference_has_zero_mean() -> None:
    out = steps.average_reference(recording(noise(5, 500)))
    np.testing.assert_allclose(out.pieces[0].data.mean(axis=0), 0, atol=1e-12)
    with pytest.raises(BadInput, match="one channel"):
        steps.average_reference(recording(noise(1, 500)))


# scale -----------------------------------------------------------------------------------------------


def slow_scale(parts: list[np.ndarray], multiple: float) -> tuple[float, float]:
    everything = np.concatenate([part.ravel() for part in parts]).astype(np.float64)
    kept = everything[np.abs(everything) < multiple * np.median(np.abs(everything))]
    return float(kept.mean()), float(kept.std())


@pytest.mark.parametrize("sizes", [(101,), (100, 7), (1, 2, 3, 64)])
@pytest.mark.parametrize("multiple", [30.0, 2.0])
def test_scale_is_the_formula(sizes: tuple[int, ...], multiple: float) -> None:
    rng = np.random.default_rng(sum(sizes))
    parts = [(rng.standard_t(2, (n, 3)) * 20 + 1).astype(np.float32) for n in sizes]
    parts[0][0, 0] = 1e6
    np.testing.assert_allclose(steps.scale(parts, multiple=multiple), slow_scale(parts, multiple), rtol=1e-6)


def test_median_is_exact() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 1000, 1001):
        x = rng.standard_normal((size, 1)).astype(np.float32)
        x[:: max(2, size // 3)] = -0.0
        assert median_magnitude([x[: size // 2], x[size // 2 :]]) == pytest.approx(np.median(np.abs(x)), rel=1e-7)


def test_scale_undoes_a_gain() -> None:
    part = np.random.default_rng(0).standard_normal((500, 4)).astype(np.float32)
    mean, spread = steps.scale([part])
    mean_of_gained, spread_of_gained = steps.scale([part * 8])  # a power of two: exact
    np.testing.assert_array_equal((part - mean) / spread, (part * 8 - mean_of_gained) / spread_of_gained)


def test_scale_refuses_what_has_no_scale() -> None:
    with pytest.raises(ValueError, match="zero"):
        clipped_moments([np.zeros((10, 2), np.float32)], 30.0)
    with pytest.raises(ValueError, match="vary"):
        clipped_moments([np.ones((10, 2), np.float32)], 30.0)


# cutting ---------------------------------------------------------------------------------------------


def test_trials_are_cut_by_seconds_and_equal_seconds_are_equal_samples() -> None:
    data = np.arange(2000.0)[None].repeat(2, 0)
    starts = [0.0, 1.0031, 2.0071, 7.9999]
    trials = tuple(trial(n, start, start + 3.0) for n, start in enumerate(starts, 1))
    state = replace(recording(data), pieces=(Piece(data, (*trials, trial(9, 10.0))),))
    found = signals.cut(state)
    assert [len(x) for _, x in found] == [375, 375, 375, 375, 750]
    assert [int(x[0, 0]) for _, x in found] == [0, 125, 251, 1000, 1250]
    assert found[0][1].dtype == np.float32 and found[0][1].flags.c_contiguous


def test_trials_outside_their_segment_are_refused() -> None:
    data = np.zeros((2, 1000))
    for start, stop in ((7.0, 8.1), (8.5, None), (-1.0, 2.0), (3.0, 3.0)):
        state = replace(recording(data), pieces=(Piece(data, (trial(4, start, stop),)),))
        with pytest.raises(BadInput, match="trial 4"):
            signals.cut(state)
    end = replace(recording(data), pieces=(Piece(data, (trial(4, 7.0, 8.004),)),))  # a sample too many: rounding
    assert len(signals.cut(end)[0][1]) == 125


def test_nothing_infinite_leaves() -> None:
    data = np.zeros((2, 100))
    data[1, 3] = np.nan
    with pytest.raises(BadInput, match="NaN"):
        signals.cut(recording(data))
