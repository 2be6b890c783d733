from __future__ import annotations

import math

import mne
import numpy as np
import pytest
from scipy.stats import norm

from mdjpt_platform.config import WindowConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.bands import BANDS, band_filter, band_pass, differential_entropy
from mdjpt_platform.evaluate.windows import window_table


@pytest.mark.parametrize("rate", [125.0, 128.0, 200.0, 250.0])
@pytest.mark.parametrize("band", BANDS)
def test_filter_is_the_default_of_mne(rate, band):
    expected = mne.filter.create_filter(None, rate, *band, verbose="error")
    np.testing.assert_allclose(band_filter(rate, *band), expected, atol=1e-15)


@pytest.mark.filterwarnings("ignore:filter_length:RuntimeWarning")
@pytest.mark.parametrize("samples", [2000, 1000, 413, 200])
def test_filtering_equals_mne(samples):
    x = np.random.default_rng(1).normal(size=(samples, 3)) + 5
    for band in BANDS:
        expected = mne.filter.filter_data(x.T.copy(), 125.0, *band, verbose="error").T
        np.testing.assert_allclose(band_pass(x, band_filter(125.0, *band)), expected, atol=1e-12)


def test_reference_vectors(golden, toy):
    given = np.load(golden / "postprocess.npz")
    assert [tuple(band) for band in given["bands"]] == [tuple(band) for band in BANDS]
    windows = given["eeg_seconds"]
    store = toy(subjects=1, trials=1, channels=("FZ", "CZ", "PZ", "OZ", "FP1"))
    store.signals = [windows.transpose(0, 2, 1).reshape(-1, 5)]
    store.index["samples"] = len(store.signals[0])
    found = differential_entropy(store, window_table(store, WindowConfig(seconds=1, step=1)))
    np.testing.assert_allclose(found.reshape(8, 5, 5), given["band_de"], atol=2e-7)


def test_equals_the_textbook_per_window(toy, window):
    store = toy(subjects=2, trials=2)
    table = window_table(store, window)
    found = differential_entropy(store, table.sample(frac=1, random_state=1)).reshape(len(table), 4, 5)
    for place, (_, row) in enumerate(table.sample(frac=1, random_state=1).iterrows()):
        for band, edges in enumerate(BANDS):
            whole = mne.filter.filter_data(store.signals[row["row"]].T.astype(float), 125.0, *edges, verbose="error")
            part = whole[:, row["start"] : row["start"] + 125]
            expected = [norm(scale=one.std()).entropy() for one in part]
            np.testing.assert_allclose(found[place, :, band], expected, atol=1e-6)


def test_a_tone_lands_in_its_band(toy, window):
    store = toy(subjects=1, trials=1, seconds=8)
    time = np.arange(1000) / 125
    for band, hertz in enumerate((2.5, 6, 11, 22, 40)):
        store.signals = [
            (np.sin(2 * math.pi * hertz * time)[:, None] + 1e-3 * store.signals[0]).astype(np.float32).copy()
        ]
        found = differential_entropy(store, window_table(store, window)).reshape(-1, 4, 5)
        assert (found.argmax(-1) == band).all()


def test_flat_channel_is_named(toy, window):
    store = toy(subjects=1, trials=2)
    store = store.changed(np.array([1]), lambda x: x * np.array([1, 0, 1, 1], np.float32))
    with pytest.raises(BadInput, match="band entropy: found NaN or infinity in subject 00 session 1 trial 2"):
        differential_entropy(store, window_table(store, window))


def test_rate_too_low():
    with pytest.raises(BadInput, match="30-47 Hz"):
        band_filter(80.0, 30, 47)
