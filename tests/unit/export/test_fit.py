"""Read-outs: what is told of them was measured on people who had no part in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mdjpt_model.readout import Readout
from mdjpt_platform.config import Config, EvaluateConfig, ProbeConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.probe import fit_probe
from mdjpt_platform.export import fit
from mdjpt_platform.export.fit import (
    calibration_error,
    class_worth,
    fit_layers,
    fit_readout,
    fit_temperature,
    folded,
    quantile_of_people,
)
from mdjpt_platform.export.material import Material, Truth, tasks_of, truth_of
from mdjpt_platform.families import new_model
from mdjpt_platform.train.prepared import open_stores

EMPTY = (torch.zeros(0), torch.zeros(0))
LINEAR = EvaluateConfig(probe=ProbeConfig(kind="logistic"))


def problem(classes: int, windows: int = 120, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(classes)
    codes = np.arange(windows) % classes
    x = random.standard_normal((windows, width)) * 3 + 5 + random.standard_normal((classes, width))[codes]
    return x.astype(np.float32), codes


@pytest.mark.parametrize("classes", [2, 3])
def test_a_logistic_regression_becomes_one_linear_map(classes: int) -> None:
    x, codes = problem(classes)
    expected = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x.astype(np.float64), codes)
    scores = Readout(*EMPTY, fit_layers(x, codes, classes, LINEAR)).scores(torch.from_numpy(x))
    assert scores is not None
    np.testing.assert_allclose(scores.softmax(1), expected.predict_proba(x.astype(np.float64)), atol=1e-5)


def test_a_class_without_a_window_is_never_answered() -> None:
    x, codes = problem(2)
    scores = Readout(*EMPTY, fit_layers(x, codes * 2, 3, LINEAR)).scores(torch.from_numpy(x))
    assert scores is not None and bool((scores.softmax(1)[:, 1] < 1e-6).all())


def test_the_run_s_own_probe_is_taken_over() -> None:
    x, codes = problem(3)
    config = EvaluateConfig(probe=ProbeConfig(hidden=(8, 4), epochs=3))
    scores = Readout(*EMPTY, fit_layers(x, codes, 3, config)).scores(torch.from_numpy(x))
    assert scores is not None
    expected = fit_probe(x, codes, 3, config.probe, (config.seed, 0)).probabilities(x)
    np.testing.assert_allclose(scores.softmax(1), expected, atol=1e-6)


def test_a_ridge_becomes_one_linear_map() -> None:
    x, _ = problem(2)
    points = np.random.default_rng(1).standard_normal((len(x), 2))
    pipeline = make_pipeline(StandardScaler(), Ridge(3.0)).fit(x.astype(np.float64), points)
    weight, bias = folded(pipeline, "ridge")
    found = torch.from_numpy(x) @ weight.T + bias
    np.testing.assert_allclose(found, pipeline.predict(x.astype(np.float64)), atol=1e-4)


def overconfident(people: int, windows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores whose softmax would be right if they were divided by 3."""
    random = np.random.default_rng(seed)
    sound = random.standard_normal((people * windows, 3))
    codes = np.array([random.choice(3, p=one) for one in softmax(sound, axis=1)])
    return 3 * sound, codes, np.repeat([f"p{n}" for n in range(people)], windows)


def test_the_temperature_makes_confidence_true() -> None:
    scores, codes, owners = overconfident(8, 400)
    assert fit_temperature(scores, codes, owners) == pytest.approx(3, rel=0.1)
    worth = class_worth(scores, codes, owners, EvaluateConfig(bootstrap=100))
    assert worth["calibration_error"] < 0.03 < 0.1 < worth["uncalibrated_error"]
    assert worth["low"] <= worth["balanced_accuracy"] <= worth["high"] and worth["chance"] == pytest.approx(1 / 3)


def test_a_person_with_many_windows_counts_like_any_other() -> None:
    scores, codes, owners = overconfident(2, 300)
    more = np.concatenate([np.arange(600), np.tile(np.arange(300), 5)])  # the first person six times
    found = fit_temperature(scores[more], codes[more], owners[more])
    assert found == pytest.approx(fit_temperature(scores, codes, owners), rel=1e-3)
    off = np.abs(np.random.default_rng(2).standard_normal((600, 2)))
    np.testing.assert_allclose(quantile_of_people(off[more], owners[more]), quantile_of_people(off, owners), rtol=0.02)


def test_calibration_error_of_a_plain_case() -> None:
    stated = np.array([0.95] * 4 + [0.55] * 4)
    right = np.array([True] * 2 + [False] * 2 + [True] * 2 + [False] * 2)
    assert calibration_error(stated, right) == pytest.approx((0.45 + 0.05) / 2)


def test_intervals_hold_at_least_what_they_say_of_new_people() -> None:
    """People differ in spread; the half-width of 12 is tried on people who are not among them."""
    random = np.random.default_rng(3)
    held = []
    for _ in range(300):
        spread = random.lognormal(0, 0.5, 13)
        off = np.abs(random.standard_normal((13, 40, 2))) * spread[:, None, None]
        owners = np.repeat([f"p{n:02}" for n in range(12)], 40)
        held.append((off[12] <= quantile_of_people(off[:12].reshape(-1, 2), owners)).mean())
    assert 0.9 < np.mean(held) < 0.99


@pytest.fixture
def material(tiny: Config) -> tuple[Material, Truth]:
    store = open_stores(tiny, ("three",), verify=False)["three"]
    tasks = tasks_of({"three": store}, ["three"], tiny.run)
    return Material(new_model(tiny.run).eval(), tasks, LINEAR, "whole"), truth_of(tasks)


@pytest.mark.parametrize("mode", ["whole", "frozen"])
def test_nobody_has_a_part_in_his_own_score(
    material: tuple[Material, Truth], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, truth = replace(material[0], mode=mode), material[1]  # type: ignore[arg-type]
    owners = np.array(given.owners)
    asked: list[tuple[str, ...]] = []
    real = Material.given
    monkeypatch.setattr(Material, "given", lambda self, people: (asked.append(tuple(people)), real(self, people))[1])
    fitted: list[set[int]] = []
    plain = fit.fit_layers

    def watched(x: np.ndarray, *rest: object) -> object:
        fitted.append({hash(row.tobytes()) for row in x})
        return plain(x, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(fit, "fit_layers", watched)
    fit_readout(given, truth, LINEAR)
    assert len(asked) == 6 and asked[-1] == given.people  # five folds of six people, then everybody
    left = [set(given.people) - set(people) for people in asked[:-1]]
    assert sorted(one for fold in left for one in fold) == list(given.people)
    for fold, people, rows in zip(left, asked[:-1], fitted[:-1], strict=True):
        x, _ = real(given, people)
        assert not {hash(row.tobytes()) for row in x[np.isin(owners, sorted(fold))]} & rows


def test_priors_and_layer_statistics_are_of_the_people_given(material: tuple[Material, Truth]) -> None:
    given = replace(material[0], mode="frozen")
    few, all_of_them = given.given(given.people[:3])[1], given.given(given.people)[1]
    assert few.frozen is not None and all_of_them.frozen is not None
    assert not torch.equal(few.prior_mean, all_of_them.prior_mean)
    assert not torch.equal(few.frozen.tokens.mean, all_of_them.frozen.tokens.mean)


def test_one_person_cannot_be_left_out(tiny: Config) -> None:
    store = open_stores(tiny, ("three",), verify=False)["three"]
    tasks = tasks_of({"three": store}, ["three"], tiny.run)
    task = tasks["three"]
    alone = (task.table["subject"] == "00").to_numpy()
    task = replace(task, table=task.table[alone].reset_index(drop=True), codes=task.codes[alone])
    with pytest.raises(BadInput, match="subjects: found 1 with labels"):
        fit_readout(Material(new_model(tiny.run), {"three": task}, LINEAR, "causal"), truth_of({"three": task}), LINEAR)


def test_label_schemes_must_agree(tiny: Config, tmp_path: Path) -> None:
    stores = open_stores(tiny, ("one", "three"), verify=False)
    tasks = tasks_of(dict(stores), ["one", "three"], tiny.run)
    assert truth_of(tasks).labels == ("negative", "positive")
    other = {**tasks, "one": replace(tasks["one"], labels=("calm", "tense"))}
    with pytest.raises(BadInput, match=r"--on: found one: calm, tense; three: negative, positive"):
        truth_of(other)
