"""The causal twins: no future sample, no trace of how the stream was cut, the offline step wherever they can be."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import signal as sp

from mdjpt_platform.config import StepConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess import PRESETS, STEPS, resolve
from mdjpt_platform.preprocess.causal import CAUSAL, LEFT_OUT, REFUSED
from mdjpt_platform.preprocess.causal_chain import Chain, Window
from mdjpt_platform.preprocess.causal_filters import Polyphase, Sections, group_delay
from mdjpt_platform.preprocess.causal_state import Held, Scale
from mdjpt_platform.preprocess.filters import resample
from mdjpt_platform.preprocess.statistics import clipped_moments
from signal_cases import STANDARD, field, noise, recording, sine

RATE = 500.0
NAMES = STANDARD[:19]
STEPPED = [
    StepConfig(step=name, params=params)
    for name, params in (
        ("channels", {}), ("unit", {}), ("line", {}), ("notch", {"frequency": 50.0}), ("resample", {"rate": 125.0}),
        ("band_pass", {}), ("bad_channels", {"deviation": 8.0, "correlation": 0.1}), ("average_reference", {}),
        ("scale", {}),
    )
]  # fmt: skip
"""Every step that has a twin."""


def pieces(data: np.ndarray, size: int) -> list[np.ndarray]:
    return [data[:, at : at + size] for at in range(0, data.shape[1], size)]


def run(chain: Chain, data: np.ndarray, size: int) -> list[Window]:
    return [window for chunk in pieces(data, size) for window in chain(chunk)]


def chain(recipe: object = "mdjpt_no_ica", rate: float = RATE, names: tuple[str, ...] = NAMES) -> Chain:
    return Chain(resolve(recipe), names, rate, "stream", (2.0, 0.5))  # type: ignore[arg-type]


def stream(seconds: float = 14.0, seed: int = 0) -> np.ndarray:
    """Scalp potentials with hum and an offset; one channel dies, one goes wild."""
    samples = round(seconds * RATE)
    data = field(samples, NAMES, seed) + noise(len(NAMES), samples, seed + 1) / 3
    data += 8 * sine(50.0, samples, RATE)
    data[4, 1500:] = data[4, 1500]
    data[7, 3000:4500] *= 40
    return data - 400 * np.arange(len(NAMES))[:, None]


def test_every_step_has_a_twin_or_a_reason() -> None:
    assert {*CAUSAL, *LEFT_OUT, *REFUSED} == set(STEPS)
    assert {step.step for step in STEPPED} == set(CAUSAL)


@pytest.mark.parametrize("recipe", [STEPPED, "mdjpt_no_ica", "mdjpt", "emod", "minimal"], ids=str)
def test_the_cut_leaves_no_trace(recipe: object) -> None:
    data = stream()
    data[2, 5000:5400] = np.nan
    whole = run(chain(recipe), data, data.shape[1])
    assert len(whole) >= 20
    for size in (7, 250, 1001):
        parts = run(chain(recipe), data, size)
        assert [(w.start, w.stop, w.last, w.replaced, w.why) for w in parts] == [
            (w.start, w.stop, w.last, w.replaced, w.why) for w in whole
        ]
        for one, other in zip(parts, whole, strict=True):
            assert one.data is not None and other.data is not None
            assert_allclose(one.data, other.data, atol=2e-6 * np.abs(other.data).max())  # a float32's last bits


def test_sample_by_sample() -> None:
    data = stream(5.0)
    one, all_at_once = (run(chain(STEPPED), data, size) for size in (1, data.shape[1]))
    assert len(one) == len(all_at_once) == 6
    for left, right in zip(one, all_at_once, strict=True):
        assert left.data is not None and right.data is not None
        assert_allclose(left.data, right.data, atol=2e-6 * np.abs(right.data).max())


@pytest.mark.parametrize("changed", [3100, 4444, 5200])
def test_a_sample_changes_nothing_before_it(changed: int) -> None:
    data = stream()
    other = data.copy()
    other[:, changed:] = 100 * np.random.default_rng(3).standard_normal(other[:, changed:].shape)
    before, after = run(chain(STEPPED), data, 250), run(chain(STEPPED), other, 250)
    early = [window.last < changed for window in before]
    assert any(early) and not all(early)
    for left, right, same in zip(before, after, early, strict=True):
        assert left.data is not None
        assert same == (right.data is not None and np.array_equal(left.data, right.data)), left.last


def test_last_is_the_very_sample_that_completes_a_window() -> None:
    data, made, at = stream(6.0), chain(STEPPED), 0
    for at in range(data.shape[1]):
        for window in made(data[:, at : at + 1]):
            assert window.last == at
    assert made.wait == pytest.approx(0.128)


@pytest.mark.parametrize(
    ("old", "new"), [(500.0, 125.0), (512.0, 125.0), (100.0, 125.0), (256.0, 200.0), (1000.0, 125.0)]
)
def test_change_of_rate_is_the_offline_one(old: float, new: float) -> None:
    data = noise(3, round(9 * old)) + 3000.0
    offline = resample(recording(data, rate=old), rate=new).pieces[0].data
    twin = Polyphase(old, new)
    found = np.concatenate([twin(chunk) for chunk in pieces(data, 37)], axis=1)
    edge = round(new)
    assert found.shape[1] == pytest.approx(offline.shape[1] - twin.wait * new, abs=1)
    assert_allclose(found[:, edge:], offline[:, edge : found.shape[1]], atol=0.02)  # uV
    assert twin.needs(found.shape[1]) >= data.shape[1] > twin.needs(found.shape[1] - 1)


def test_filter_is_one_pass_and_begins_at_rest() -> None:
    sos = sp.butter(4, (0.5, 47.0), "bandpass", fs=125.0, output="sos")
    twin = Sections(sos, 125.0)
    steady = np.full((2, 500), [[700.0], [-3.0]])
    assert_allclose(np.concatenate([twin(part) for part in pieces(steady, 33)], axis=1), 0, atol=1e-6)
    twin.restart()
    data = noise(2, 1000)
    data[:, 0] = 0
    assert_allclose(np.concatenate([twin(part) for part in pieces(data, 33)], axis=1), sp.sosfilt(sos, data, axis=1))


def test_group_delay_is_that_of_a_burst() -> None:
    rate = 125.0
    sos = sp.butter(4, (0.5, 47.0), "bandpass", fs=rate, output="sos")
    time = np.arange(-8, 8, 1 / rate)
    burst = np.exp(-((time / 0.6) ** 2)) * np.cos(2 * np.pi * 10 * time)
    envelope = np.abs(sp.hilbert(sp.sosfilt(sos, burst)))
    measured = np.average(time, weights=envelope**2)
    assert group_delay(sos, 10.0, rate) == pytest.approx(measured, abs=5e-4)
    assert Sections(sos, rate).lag == group_delay(sos, 10.0, rate) > 0.005


def test_missing_values_are_held_and_counted() -> None:
    guard = Held(10.0)
    data = np.arange(40.0).reshape(2, 20)
    data[1, 5:9] = np.nan
    data[0, 0] = np.inf
    found = np.concatenate([guard(part) for part in pieces(data, 3)], axis=1)
    assert_array_equal(found[1, 4:10], [24, 24, 24, 24, 24, 29])
    assert found[0, 0] == 0 and np.isfinite(found).all()
    assert_allclose(guard.share(0.0, 1.0, 2), [0.1, 0.4])
    assert_allclose(guard.share(0.8, 1.8, 2), [0.0, 0.1])


def test_a_missing_channel_comes_from_its_neighbours() -> None:
    data = field(5000, NAMES)
    whole = run(chain("minimal"), data, 250)
    gone = data.copy()
    gone[6] = np.nan
    found = run(chain("minimal"), gone, 250)
    for left, right in zip(whole, found, strict=True):
        assert right.replaced == (NAMES[6],) and left.replaced == ()
        assert left.data is not None and right.data is not None
        assert np.corrcoef(left.data[6], right.data[6])[0, 1] > 0.7
    gone[:10] = np.nan
    assert {(w.data is None, w.why) for w in run(chain("minimal"), gone, 250)} == {(True, "10 of 19 channels missing")}


def test_bad_channels_come_and_go() -> None:
    data = stream(40.0)
    windows = run(chain("mdjpt_no_ica"), data, 250)
    when = {name: [w.stop for w in windows if name in w.replaced] for name in NAMES}
    assert {name for name, found in when.items() if found} == {NAMES[4], NAMES[7]}
    assert 5 < when[NAMES[7]][0] < 9 and when[NAMES[7]][-1] < 25  # it was wild from 6 to 9 s, remembered for 10
    assert when[NAMES[4]][-1] == windows[-1].stop
    dead = stream()
    dead[:12] = 5.0
    assert {w.why for w in run(chain("mdjpt_no_ica"), dead, 250)} == {"12 of 19 channels bad"}


@pytest.mark.parametrize("factor", [1e-6, 1e3])
def test_unit_is_decided_on_the_first_stretch(factor: float) -> None:
    data = field(4000, NAMES)
    plain, wrong = chain("minimal"), chain("minimal")
    right, found = run(plain, data, 250), run(wrong, data * factor, 250)
    for left, other in zip(right, found, strict=True):
        assert left.data is not None and other.data is not None
        assert_allclose(left.data, other.data, atol=1e-4)
    assert plain.notes == [] and "unit" in wrong.notes[0]


def test_hum_is_heard_and_taken_out() -> None:
    samples = 20_000
    data = field(samples, NAMES) + 30 * sine(50.0, samples, RATE)
    recipe = [StepConfig(step="line", params={}), StepConfig(step="scale", params={})]
    made = Chain(resolve(recipe), NAMES, RATE, "stream", (5.0, 5.0))
    last = run(made, data, 250)[-1].data
    assert last is not None and "50 Hz" in made.notes[0]
    density = sp.welch(last, RATE, nperseg=500)[1].mean(axis=0)
    assert density[50] < 3 * density[[44, 56]].mean()
    quiet = Chain(resolve(recipe), NAMES, RATE, "stream", (5.0, 5.0))
    run(quiet, field(samples, NAMES), 250)
    assert quiet.notes == []


def test_running_scale_comes_to_the_offline_one() -> None:
    data = noise(5, 20_000) + 0.5
    data[0, 100:110] = 5000
    found = Scale(30.0)
    for part in pieces(data, 250):
        mean, spread = found.see(part)
    offline = clipped_moments([data.astype(np.float32)], 30.0)
    assert (mean, spread) == pytest.approx(offline, rel=2e-3)
    assert Scale(30.0).see(np.zeros((2, 50))) == (0.0, 0.0)


def test_a_gap_begins_the_filters_anew() -> None:
    data = stream()
    made, fresh = chain("mdjpt_no_ica"), chain("mdjpt_no_ica")
    run(made, data[:, :3111], 250)
    made.restart()
    after, alone = run(made, data[:, 3111:], 250), run(fresh, data[:, 3111:], 250)
    for left, right in zip(after, alone, strict=True):
        assert (left.start, left.last) == (right.start, right.last)
        assert left.data is not None and right.data is not None
        ratio = left.data / np.where(np.abs(right.data) > 0.1, right.data, np.nan)
        assert np.nanstd(ratio) < 0.05  # the same signal, by a scale that remembers what was before the gap


def test_refusals() -> None:
    for step in REFUSED:
        with pytest.raises(BadInput, match=step):
            chain([StepConfig(step="channels", params={}), StepConfig(step=step, params={})])
    with pytest.raises(BadInput, match="rate/2"):
        chain([StepConfig(step="band_pass", params={})], rate=80.0)
    with pytest.raises(BadInput, match="unknown"):
        chain(names=("FP1", "what", "C3"))
    assert any("ica" in note for note in chain("mdjpt").notes) and set(PRESETS) >= {"mdjpt"}
