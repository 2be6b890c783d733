from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mdjpt_model.layers import mean_statistics
from mdjpt_model.normalisation import stratified
from mdjpt_model.released import load_released
from mdjpt_platform.config import EvaluateConfig, WindowConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.features import encode, group_statistics, pool
from mdjpt_platform.evaluate.windows import cut, groups, window_table


def slow(model, store, table, feature="me"):
    """Features of every group in one batch, by the training path of the model."""
    out = None
    for at in groups(table).values():
        windows = torch.from_numpy(cut(store, table, at))
        with torch.no_grad():
            given = model(windows, store.channels, torch.zeros(len(at), dtype=torch.long), embed=False)
        values = pool(given.maps, feature).float().numpy()
        out = np.empty((len(table), values.shape[1]), np.float32) if out is None else out
        out[at] = values
    return out


@pytest.mark.parametrize("feature", ["me", "de"])
def test_whole_equals_one_batch_a_group(toy, build, settings, window, feature):
    store, model = toy(subjects=3, sessions=2), build()
    table = window_table(store, window)
    found = encode(model, store, table, settings(feature=feature))
    np.testing.assert_allclose(found, slow(model, store, table, feature), atol=1e-7, rtol=1e-5)
    assert found.dtype == np.float32
    assert model.training  # as it was found


def test_nothing_kept_in_memory_changes_nothing(toy, build, settings, window):
    store, model = toy(subjects=2), build()
    table = window_table(store, window)
    np.testing.assert_array_equal(
        encode(model, store, table, settings()), encode(model, store, table, settings(), cache_bytes=0)
    )


@pytest.mark.parametrize("normalisation", ["whole", "causal"])
def test_companions_and_batch_size_change_nothing(toy, build, settings, window, normalisation):
    store, model = toy(subjects=4, sessions=2), build()
    table = window_table(store, window)
    config = settings(normalisation=normalisation)
    everyone = encode(model, store, table, config)
    for subject in ("00", "02"):
        own = (table["subject"] == subject).to_numpy()
        alone = encode(model, store, table[own].reset_index(drop=True), config)
        assert torch.equal(torch.from_numpy(alone), torch.from_numpy(everyone[own]))
    mixed = np.random.default_rng(0).permutation(len(table))
    shuffled = encode(model, store, table.iloc[mixed], config)
    assert np.array_equal(shuffled, everyone[mixed])
    foreign = store.changed(np.flatnonzero(store.index["subject"] == "03"), lambda x: 9 * x[::-1] + 1)
    rest = (table["subject"] != "03").to_numpy()
    assert np.array_equal(encode(model, foreign, table, config)[rest], everyone[rest])
    for batch in (2, 7, 64):
        other = encode(model, store, table, settings(normalisation=normalisation, batch=batch))
        np.testing.assert_allclose(other, everyone, atol=1e-7, rtol=1e-5)


def test_causal_uses_no_future(toy, build, settings, window):
    store, model = toy(subjects=1, trials=5), build()
    table, config = window_table(store, window), settings(normalisation="causal")
    before = encode(model, store, table, config)
    last = table["row"].iloc[-1]
    after = encode(model, store.changed(np.array([last]), lambda x: 5 * x[::-1] + 3), table, config)
    past = (table["row"] != last).to_numpy()
    assert np.array_equal(before[past], after[past])
    assert not np.allclose(before[~past], after[~past])
    whole = settings()
    changed = encode(model, store.changed(np.array([last]), lambda x: 5 * x[::-1] + 3), table, whole)
    assert not np.allclose(encode(model, store, table, whole)[past], changed[past])


def test_causal_equals_a_slow_loop(toy, build, settings, window):
    store, model = toy(subjects=1, trials=2), build()
    table = window_table(store, window)
    found = encode(model, store, table, settings(normalisation="causal"))
    with torch.no_grad():
        tokens = model.tokens_first(torch.from_numpy(cut(store, table, np.arange(len(table)))), store.channels).double()

        def last(x):
            """Window k by windows 0..k."""
            done = []
            for k in range(len(x)):
                std, mean = torch.std_mean(x[: k + 1], dim=(0, 3), keepdim=True)
                done.append((x[k] - mean[0]) / (std[0] + 1e-3))
            return torch.stack(done)

        latent = model.latent(last(tokens).float()).double()
        expected = model.maps(last(latent).float()).mean(-1)
    np.testing.assert_allclose(found, expected, atol=1e-7, rtol=1e-4)


def test_frozen_statistics(toy, build, settings, window):
    store, model, config = toy(subjects=3), build(), settings(normalisation="frozen")
    table = window_table(store, window)
    with pytest.raises(BadInput, match="no statistics"):
        encode(model, store, table, config)
    each = group_statistics(model, store, table, config)
    assert set(each) == {("00", 1), ("01", 1), ("02", 1)}
    alone = encode(model, store, table, config, frozen=mean_statistics([each["01", 1]]))
    own = (table["subject"] == "01").to_numpy()
    np.testing.assert_allclose(alone[own], encode(model, store, table, settings())[own], atol=1e-7)
    both = mean_statistics([each["00", 1], each["01", 1]])
    expected = (each["00", 1].tokens.mean + each["01", 1].tokens.mean) / 2
    assert torch.allclose(both.tokens.mean, expected)
    root = ((each["00", 1].latent.std ** 2 + each["01", 1].latent.std ** 2) / 2).sqrt()
    assert torch.allclose(both.latent.std, root)
    with pytest.raises(ValueError, match="at least one"):
        mean_statistics([])
    # One window of a test subject is all that its feature depends on.
    changed = store.changed(np.array([int(table[table["subject"] == "02"]["row"].iloc[0])]), lambda x: x * 3)
    a, b = (encode(model, s, table, config, frozen=both) for s in (store, changed))
    rest = (table["row"] != table[table["subject"] == "02"]["row"].iloc[0]).to_numpy()
    assert np.array_equal(a[rest], b[rest]) and not np.allclose(a[~rest], b[~rest])


def test_single_window_group_is_refused(toy, build, settings):
    store, model = toy(subjects=1, trials=1), build()
    table = window_table(store, WindowConfig(seconds=3, step=3))
    for normalisation in ("whole", "causal"):
        with pytest.raises(BadInput, match="toy: subject 00 session 1: found a single window"):
            encode(model, store, table, settings(normalisation=normalisation))


def test_not_finite_is_an_error_that_names_the_trial(toy, build, settings, window):
    store, model = toy(subjects=2), build()
    table = window_table(store, window)
    row = int(np.flatnonzero((store.index["subject"] == "01") & (store.index["trial"] == 3))[0])
    broken = store.changed(np.array([row]), lambda x: np.where(np.arange(len(x))[:, None] == 200, np.nan, x))
    with pytest.raises(BadInput, match=r"toy: signal: found NaN or infinity in subject 01 session 1 trial 3"):
        encode(model, broken, table, settings())
    with torch.no_grad():
        model.spatial.bias[0] = torch.inf
    with pytest.raises(BadInput, match="toy: features: found NaN or infinity in subject 00"):
        encode(model, store, table, settings())


def test_released_grouping_only_under_published(toy, build, settings, window):
    store, released = toy(subjects=3), build(switches={"feature_groups": "batch_halves"})
    table = window_table(store, window)
    published = settings(protocol="published", batch=14)
    strict = encode(released, store, table, settings(batch=14))
    np.testing.assert_allclose(strict, slow(released, store, table), atol=1e-7)
    assert np.array_equal(encode(build(), store, table, published), strict)

    order = table.sort_values(["subject", "session", "trial", "start"]).index.to_numpy()
    expected = np.empty_like(strict)
    for begin in range(0, len(order), 14):
        at = order[begin : begin + 14]
        half = torch.arange(len(at)) * 2 // len(at)
        with torch.no_grad():
            tokens = stratified(released.tokens_first(torch.from_numpy(cut(store, table, at)), store.channels), half)
            expected[at] = released.maps(stratified(released.latent(tokens), half)).mean(-1)
    found = encode(released, store, table, published)
    np.testing.assert_allclose(found, expected, atol=1e-7, rtol=1e-5)
    # The defect itself: a feature depends on its companions.
    foreign = store.changed(np.flatnonzero(store.index["subject"] == "01"), lambda x: 4 * x + 2)
    rest = (table["subject"] != "01").to_numpy()
    assert not np.allclose(encode(released, foreign, table, published)[rest], found[rest], atol=1e-4)
    with pytest.raises(BadInput, match="batch_halves"):
        encode(released, store, table, settings(protocol="published", normalisation="causal"))
    with pytest.raises(BadInput, match="leaves one window over"):
        encode(released, store, table.iloc[:15], published)


def test_odd_batch_of_the_released_grouping_leaves_its_last_window_as_it_is(toy, build, settings, window):
    store, released = toy(subjects=1), build(switches={"feature_groups": "batch_halves"})
    table = window_table(store, window).iloc[:7]
    found = encode(released, store, table, settings(protocol="published", batch=16))
    last = table.sort_values(["trial", "start"]).index[-1]
    with torch.no_grad():
        tokens = released.tokens_first(torch.from_numpy(cut(store, table, np.array([last]))), store.channels)
        expected = released.maps(released.latent(tokens)).mean(-1)
    np.testing.assert_allclose(found[last], expected[0], atol=1e-7)


def test_pool_against_reference(golden):
    given = np.load(golden / "postprocess.npz")
    maps = torch.from_numpy(given["maps"][:, :, 0])
    np.testing.assert_allclose(pool(maps, "me"), given["mean_of_maps"], atol=1e-7)
    np.testing.assert_allclose(pool(maps, "de"), given["de_of_maps"], atol=1e-7)


@pytest.mark.parametrize(("name", "protocol"), [("paper", "strict"), ("released", "strict"), ("released", "published")])
def test_features_of_reference_checkpoints(golden, toy, name, protocol):
    """Golden windows as a store: two subjects, three trials of one window; the feature is the mean of golden maps."""
    facts = json.loads((golden / f"{name}.json").read_text())
    vectors = load_file(golden / f"{name}.vectors.safetensors")
    switches = {"covariance": "channel", "block_output": "full"} if name == "paper" else {}
    neighbours = np.load(golden / "channel_neighbours_released.npy")
    model = load_released(golden / f"{name}.ckpt", "released", neighbours, **switches)
    config = EvaluateConfig(protocol=protocol, batch=6)
    for corpus, channels in facts["channels"].items():
        store = toy(subjects=2, trials=3, seconds=5, channels=tuple(channels))
        store.index["play_order"] = store.index["trial"]
        store.signals = [x.T.numpy() for x in vectors[f"{corpus}.input"]]
        table = window_table(store, WindowConfig())
        found = encode(model, store, table, config)[[0, 5]]
        np.testing.assert_allclose(found, vectors[f"{corpus}.features"].mean(-1), atol=5e-9, rtol=1e-5)
