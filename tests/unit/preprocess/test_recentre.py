"""After a recording is divided by its own covariance, what is left of its mixing is a rotation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import logm, sqrtm
from threadpoolctl import threadpool_limits
from toy import config, toy, write_raw

from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess import keys, recentre, resolve, steps
from mdjpt_platform.preprocess.run import prepare
from mdjpt_platform.preprocess.signals import Piece, Signals
from mdjpt_platform.store import open_store
from signal_cases import STANDARD, field, noise, recording, trial

BOTH = pytest.mark.parametrize("step", [steps.euclidean_alignment, steps.riemannian_recentring])
Step = Callable[..., Signals]
TRIALS, CHANNELS, SAMPLES = 6, 8, 1000


def mixed(seed: int = 0, trials: int = TRIALS) -> list[np.ndarray]:
    """Trials of one subject: sources of changing strength through one matrix."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((CHANNELS, CHANNELS)) + 2 * np.eye(CHANNELS)
    return [
        mixing @ (rng.uniform(0.3, 3, (CHANNELS, 1)) * noise(CHANNELS, SAMPLES, seed=100 * seed + k))
        for k in range(trials)
    ]


def covariances(state: Signals) -> np.ndarray:
    return np.array([np.cov(piece.data, bias=True) for piece in state.pieces])


def joined(state: Signals) -> np.ndarray:
    return np.concatenate([piece.data for piece in state.pieces], axis=1)


def gram(state: Signals, step: str) -> np.ndarray:
    """Inner products between samples, which no rotation changes, in units of the step's scale."""
    every = joined(state)[:, ::20] / state.notes[step]["sd"]
    return every.T @ every


# what the mean becomes -------------------------------------------------------------------------------


def test_mean_covariance_becomes_the_identity_times_the_median_variance() -> None:
    before = covariances(recording(*mixed())).mean(axis=0)
    out = steps.euclidean_alignment(recording(*mixed()))
    sd = np.median(np.sqrt(before.diagonal()))
    np.testing.assert_allclose(covariances(out).mean(axis=0), sd**2 * np.eye(CHANNELS), atol=1e-9 * sd**2)
    assert out.notes["euclidean_alignment"] == {"rank": CHANNELS, "sd": round(sd, 4)}


def test_every_trial_counts_the_same_whatever_its_length_and_offset() -> None:
    parts = mixed()
    parts[1] = np.tile(parts[1], 3) + 500.0
    out = steps.euclidean_alignment(recording(*parts))
    scale = out.notes["euclidean_alignment"]["sd"] ** 2
    np.testing.assert_allclose(covariances(out).mean(axis=0) / scale, np.eye(CHANNELS), atol=1e-4)


def test_geometric_mean_becomes_the_identity_by_its_definition() -> None:
    """The matrix at which the logarithms of the trials' covariances sum to zero, here the identity."""
    out = steps.riemannian_recentring(recording(*mixed()), shrinkage=0.0)
    each = covariances(out) / out.notes["riemannian_recentring"]["sd"] ** 2
    assert abs(sum(logm(one) for one in each)).max() < 2e-3  # the noted SD has four digits
    assert abs(logm(each.mean(axis=0))).max() > 0.05, "not the arithmetic mean's"


def test_geometric_mean_is_that_of_the_shrunk_covariances() -> None:
    out = steps.riemannian_recentring(recording(*mixed()), shrinkage=0.3)
    each = covariances(out) / out.notes["riemannian_recentring"]["sd"] ** 2
    arithmetic = each.mean(axis=0)
    shrunk = [0.7 * one + 0.3 * np.trace(np.linalg.solve(arithmetic, one)) / CHANNELS * arithmetic for one in each]
    assert abs(sum(logm(one) for one in shrunk)).max() < 2e-3
    assert abs(sum(logm(one) for one in each)).max() > 0.05


def test_geometric_mean_of_two_has_a_closed_form() -> None:
    a, b = covariances(recording(*mixed(trials=2)))
    root = sqrtm(a)
    inverse = np.linalg.inv(root)
    closed = root @ sqrtm(inverse @ b @ inverse) @ root
    out = steps.riemannian_recentring(recording(*mixed(trials=2)), shrinkage=0.0)
    whiten = np.linalg.inv(sqrtm(closed))
    expected = out.notes["riemannian_recentring"]["sd"] * whiten @ np.concatenate(mixed(trials=2), axis=1)
    np.testing.assert_allclose(joined(out), expected, rtol=0, atol=1e-4 * abs(expected).max())


# what it is for --------------------------------------------------------------------------------------


@BOTH
def test_any_mixing_of_the_channels_leaves_a_rotation(step: Step) -> None:
    """So the mean follows the mixing congruently: x' R^-1 x is the same number before and after."""
    rng = np.random.default_rng(1)
    one = step(recording(*mixed()))
    for mixing in (rng.standard_normal((CHANNELS, CHANNELS)), np.diag(10.0 ** rng.uniform(-2, 2, CHANNELS))):
        other = step(recording(*(mixing @ part for part in mixed())))
        expected = gram(one, step.__name__)
        np.testing.assert_allclose(gram(other, step.__name__), expected, atol=2e-3 * expected.max())
        assert not np.allclose(joined(other), joined(one), rtol=0.1)


@BOTH
def test_a_gain_of_the_amplifier_stays_a_gain(step: Step) -> None:
    one, loud = step(recording(*mixed())), step(recording(*(3 * part for part in mixed())))
    np.testing.assert_allclose(joined(loud), 3 * joined(one), atol=1e-7)


@BOTH
def test_order_of_the_trials_does_not_matter(step: Step) -> None:
    parts = mixed()
    one, other = step(recording(*parts)), step(recording(*parts[::-1]))
    np.testing.assert_allclose(joined(other), np.concatenate([p.data for p in one.pieces[::-1]], axis=1), atol=1e-6)


def test_one_loud_trial_pulls_the_geometric_mean_less() -> None:
    quiet, loud = mixed(), mixed()
    loud[2] = 30 * loud[2]
    moved = []
    for step in (steps.euclidean_alignment, steps.riemannian_recentring):
        one, other = step(recording(*quiet)), step(recording(*loud))
        size = [abs(state.pieces[0].data).mean() / state.notes[step.__name__]["sd"] for state in (one, other)]
        moved.append(size[0] / size[1])
    assert moved[0] > 8 and moved[1] < 3


# rank and bad channels -------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("lost", [1, 3])
def test_directions_without_signal_stay_empty_and_the_others_are_whitened(step: Step, lost: int) -> None:
    rng = np.random.default_rng(2)
    keep = np.linalg.svd(rng.standard_normal((lost, CHANNELS)))[2][lost:]
    hole = keep.T @ keep
    out = step(recording(*(hole @ part for part in mixed())))
    assert out.notes[step.__name__]["rank"] == CHANNELS - lost
    np.testing.assert_allclose((np.eye(CHANNELS) - hole) @ joined(out), 0, atol=1e-6)
    if step is steps.euclidean_alignment:
        mean = covariances(out).mean(axis=0) / out.notes["euclidean_alignment"]["sd"] ** 2
        np.testing.assert_allclose(mean, hole, atol=1e-4)


def test_average_reference_is_kept() -> None:
    state = steps.average_reference(recording(*(field(2500, seed=k) + noise(31, 2500, k) for k in range(3))))
    out = steps.euclidean_alignment(state)
    assert out.notes["euclidean_alignment"]["rank"] == 30
    np.testing.assert_allclose(joined(out).mean(axis=0), 0, atol=1e-9)
    same = np.eye(31) - 1 / 31
    np.testing.assert_allclose(
        covariances(out).mean(axis=0) / out.notes["euclidean_alignment"]["sd"] ** 2, same, atol=1e-4
    )


@pytest.mark.parametrize(("floor", "rank"), [(1e-6, 8), (1e-3, 7)])
def test_floor_says_how_weak_is_too_weak(floor: float, rank: int) -> None:
    """Two channels that differ by a hundredth: half a ten-thousandth of the variance they share."""
    parts = mixed()
    for k, part in enumerate(parts):
        part[1] = part[0] + 0.01 * part[0].std() * noise(1, SAMPLES, seed=50 + k)[0] / 20
    out = steps.euclidean_alignment(recording(*parts), floor=floor)
    assert out.notes["euclidean_alignment"]["rank"] == rank


@BOTH
def test_a_flat_channel_takes_no_part(step: Step) -> None:
    parts = mixed()
    alone = step(recording(*(part[1:] for part in parts)))
    for part in parts:
        part[0] = 4200 + 1e-3 * noise(1, SAMPLES)[0] / 20
    out = step(recording(*parts))
    assert out.notes[step.__name__]["rank"] == CHANNELS - 1
    np.testing.assert_allclose(joined(out)[0], 0, atol=1e-9)
    np.testing.assert_allclose(joined(out)[1:], joined(alone), atol=1e-7)


@BOTH
def test_a_loud_channel_does_not_spoil_the_others(step: Step) -> None:
    """10 mV of its own beside 20 uV: scale and rank stay, and but for chance correlations the rest."""
    clean = [np.concatenate([noise(1, 8000, seed=70 + k), part]) for k, part in enumerate(fields())]
    broken = [part.copy() for part in clean]
    for part in broken:
        part[0] *= 500
    one, other = step(recording(*clean)), step(recording(*broken))
    assert other.notes[step.__name__]["rank"] == one.notes[step.__name__]["rank"] == 12
    assert other.notes[step.__name__]["sd"] == pytest.approx(one.notes[step.__name__]["sd"], rel=0.1)
    assert joined(other)[0].std() < 2 * joined(one)[0].std()
    for a, b in zip(joined(one)[1:], joined(other)[1:], strict=True):
        assert np.corrcoef(a, b)[0, 1] > 0.98


def fields() -> list[np.ndarray]:
    return [field(8000, STANDARD[1:12], seed=k) + 0.5 * noise(11, 8000, seed=k + 9) for k in range(3)]


def test_a_repair_in_one_trial_costs_it_a_direction_and_not_the_mean() -> None:
    parts = mixed()
    parts[3][0] = parts[3][1:4].mean(axis=0)
    out = steps.riemannian_recentring(recording(*parts))
    whole = steps.riemannian_recentring(recording(*mixed()))
    for number, (piece, other) in enumerate(zip(out.pieces, whole.pieces, strict=True), 1):
        assert piece.data.std() / other.data.std() == pytest.approx(1, abs=1.0 if number == 4 else 0.1)
    with pytest.raises(BadInput, match=r"r: trial 4: found no signal in 1 of 8 directions, expected .*`shrinkage`"):
        steps.riemannian_recentring(recording(*parts), shrinkage=0.0)


# which samples ---------------------------------------------------------------------------------------


@BOTH
def test_trials_left_out_do_not_count_but_are_multiplied(step: Step) -> None:
    parts = mixed()
    without = step(recording(*parts[:-1]))
    out = step(replace(recording(*parts), dropped={TRIALS: "bad"}))
    for piece, other in zip(out.pieces, without.pieces, strict=False):
        np.testing.assert_allclose(piece.data, other.data, atol=1e-9)
    assert not np.allclose(out.pieces[-1].data, parts[-1])


@BOTH
def test_signal_between_trials_is_multiplied_and_does_not_count(step: Step) -> None:
    parts = mixed()
    long = np.concatenate([parts[0], 50 * noise(CHANNELS, 500), *parts[1:]], axis=1)
    starts = np.cumsum([0, SAMPLES + 500, *[SAMPLES] * (TRIALS - 2)]) / 125
    trials = tuple(trial(n, start, start + SAMPLES / 125) for n, start in enumerate(starts, 1))
    out = step(replace(recording(long.copy()), pieces=(Piece(long.copy(), trials),))).pieces[0].data
    apart = joined(step(recording(*parts)))
    np.testing.assert_allclose(np.delete(out, range(SAMPLES, SAMPLES + 500), axis=1), apart, atol=1e-7)
    mixing = np.linalg.lstsq(long.T, out.T, rcond=None)[0].T
    np.testing.assert_allclose(mixing @ long, out, atol=1e-7)


def test_number_of_threads_decides_nothing() -> None:
    """Of fewer than 160 channels no sum is long enough to be split over threads."""
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            state = recording(noise(160, 1800), noise(160, 1800, seed=1), names=tuple(map(str, range(160))))
            found.append(joined(steps.riemannian_recentring(state)))
    np.testing.assert_array_equal(*found)


# refusals --------------------------------------------------------------------------------------------


@BOTH
def test_refusals_name_what_was_found(step: Step) -> None:
    name = step.__name__
    with pytest.raises(BadInput, match=f"r: {name}: found 79 samples of trials for 8 channels, expected at least 10 a"):
        step(recording(noise(8, 79)))
    assert step(recording(noise(8, 80))).notes[name]["rank"] == 8
    with pytest.raises(BadInput, match=f"r: {name}: found 1 channels that move, expected two or more"):
        step(recording(np.concatenate([noise(1, 500), np.full((2, 500), 7.0)])))
    broken = mixed()
    broken[1][3, 10] = np.nan
    with pytest.raises(BadInput, match="r: trial 2: found NaN or infinity, expected finite samples"):
        step(recording(*broken))
    with pytest.raises(BadInput, match=f"r: {name}: found 0 channels that move"):
        step(replace(recording(*mixed()), dropped=dict.fromkeys(range(1, TRIALS + 1), "bad")))


def test_a_mean_that_is_not_found_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recentre, "ITERATIONS", 1)
    with pytest.raises(BadInput, match="r: geometric mean: found none after 1 iterations"):
        steps.riemannian_recentring(recording(*mixed()))


# in a recipe -----------------------------------------------------------------------------------------

RECIPE = [
    {"step": "channels"}, {"step": "unit"}, {"step": "resample"}, {"step": "band_pass"}, {"step": "bad_channels"},
    {"step": "average_reference"},
]  # fmt: skip


@BOTH
def test_recipe_with_the_step_through_the_real_preparation(step: Step, tmp_path: Path) -> None:
    """The store is in microvolts, and a recording comes out the same whoever else is prepared."""
    raw = write_raw(tmp_path / "raw")
    recipe = [*RECIPE, {"step": step.__name__}]
    together = prepare(config(raw, tmp_path / "a", recipe=recipe), corpora={"toy": toy()}).corpora["toy"]
    alone = prepare(config(raw, tmp_path / "b", recipe=recipe, subjects=["02"]), corpora={"toy": toy()}).corpora["toy"]
    assert len(together.done) == 6 and not together.failed
    many, few = open_store(together.folder), open_store(alone.folder)
    assert many.manifest.unit == "uV"
    rows = many.index.index[many.index["subject"] == "02"]
    assert len(few) == len(rows) == 4
    for row, place in enumerate(rows):
        np.testing.assert_array_equal(few.signal(row), many.signal(place))
    if step is steps.euclidean_alignment:
        for _, places in many.index.groupby(["subject", "session"]).groups.items():
            mean = np.mean([np.cov(many.signal(place).T, bias=True) for place in places], axis=0)
            size = np.trace(mean) / 11
            np.testing.assert_allclose(mean / size, np.eye(12) - 1 / 12, atol=1e-5)
            assert 3 < size**0.5 < 30


def test_scale_after_it_takes_the_factor_out(tmp_path: Path) -> None:
    recipe = [*RECIPE, {"step": "euclidean_alignment"}, {"step": "scale"}]
    report = prepare(config(write_raw(tmp_path / "raw"), tmp_path / "a", recipe=recipe), corpora={"toy": toy()})
    store = open_store(report.corpora["toy"].folder)
    assert store.manifest.unit == "SD of the subject"
    for rows in store.index.groupby("subject").groups.values():
        assert np.concatenate([store.signal(row) for row in rows]).std() == pytest.approx(1, abs=0.01)


def test_key_follows_the_library_behind_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys.code_of(steps.riemannian_recentring)
    monkeypatch.setattr(keys, "version", lambda name: "another" if name == "pyriemann" else "1")
    other = keys.code_of(steps.riemannian_recentring)
    monkeypatch.setattr(keys, "version", lambda name: "1")
    assert other != keys.code_of(steps.riemannian_recentring) != before


@pytest.mark.parametrize(("param", "value"), [("floor", 0), ("shrinkage", 1), ("shrinkage", -0.1)])
def test_parameters_out_of_range_are_refused(param: str, value: float) -> None:
    with pytest.raises(BadInput, match=f"recipe.6.params.{param}"):
        resolve(config(Path(), Path(), recipe=[*RECIPE, {"step": "riemannian_recentring", "params": {param: value}}])
                .run.recipe)  # fmt: skip
