"""Valence and arousal as a target: who is learned from, who takes part, what is refused, what is handed on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import make_scorer, mean_squared_error
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate import readout
from mdjpt_platform.evaluate.affect import affect_scores, answered_trials, constant_coordinates
from mdjpt_platform.evaluate.protocols import affect_folds
from mdjpt_platform.evaluate.readout import Prediction, predict, predict_affect_across, splits_of
from mdjpt_platform.evaluate.regression import ALPHAS, fit_ridge
from mdjpt_platform.evaluate.result import write_result
from mdjpt_platform.evaluate.run import evaluate_target
from mdjpt_platform.evaluate.task import Features, rated_task
from mdjpt_platform.evaluate.windows import trials_of
from mdjpt_platform.report.build import render
from mdjpt_platform.report.inputs import ReportInputs, load_target

PLACE = {"sad": (-0.6, -0.2), "calm": (0.2, -0.5), "glad": (0.7, 0.5)}
METRICS = [f"{name}_{kind}" for name in ("valence", "arousal") for kind in ("r2", "ccc")]


class Given(Features):
    """Features that are already there."""

    def __init__(self, values, task, config):
        super().__init__(None, task, config)
        self.values = values

    def given(self, train):
        return self.values

    def by(self, frozen):
        return self.values


def ignore(count):
    pass


def placed(store):
    """Every trial where its class lies."""
    for number, name in enumerate(("valence", "arousal")):
        store.index[name] = [PLACE.get(label, (0.1, 0.1))[number] for label in store.index["label"]]
    return store


def rated(store, seed=0):
    """Every stimulus somewhere, and every rating of it a little off."""
    random = np.random.default_rng(seed)
    stimuli = {name: random.uniform(-0.8, 0.8, 2) for name in sorted(store.index["stimulus"].unique())}
    points = np.stack([stimuli[name] for name in store.index["stimulus"]])
    store.index[["valence", "arousal"]] = np.clip(points + random.normal(0, 0.05, points.shape), -1, 1)
    return store


def features_of(task, noise=0.3, seed=0, width=12):
    """Windows in which either coordinate is a direction, in noise of windows and of trials."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(9).normal(size=(2, width))
    trials = random.normal(size=(int(task.table["row"].max()) + 1, width))[task.table["row"]]
    windows = random.normal(size=trials.shape)
    return (task.points @ directions + noise * (trials + windows)).astype(np.float32)


def fitted_on(monkeypatch, values, task, config):
    """What every ridge of the read-out is fitted to, and its answers."""
    calls = []

    def spy(x, points, owners, where):
        calls.append((x.copy(), points.copy(), owners.copy()))
        return fit_ridge(x, points, owners, where)

    with monkeypatch.context() as patch:
        patch.setattr(readout, "fit_ridge", spy)
        found = predict("affect", Given(values, task, config), task, config, ignore)
    return calls, found


def test_penalty_is_the_one_that_a_search_over_subjects_finds():
    random = np.random.default_rng(0)
    owners, x = np.repeat(np.arange(7), 12), random.normal(3, 5, size=(84, 30)).astype(np.float32)
    points = np.stack([x[:, 0] / 10 + random.normal(size=84), x[:, :9].sum(1) / 50 + random.normal(0, 0.1, 84)], 1)
    found = fit_ridge(x, points, owners)
    for place in range(2):
        search = GridSearchCV(
            Pipeline([("scale", StandardScaler()), ("ridge", Ridge())]),
            {"ridge__alpha": ALPHAS},
            cv=GroupKFold(5),
            # sums of squares, so that a fold counts by its windows
            scoring=make_scorer(lambda truth, said: -len(truth) * mean_squared_error(truth, said)),
        ).fit(x.astype(np.float64), points[:, place], groups=owners)
        assert found["ridge"].alpha[place] == search.best_params_["ridge__alpha"]
        np.testing.assert_allclose(found.predict(x)[:, place], search.predict(x), rtol=1e-9)
    assert found["ridge"].alpha[0] > found["ridge"].alpha[1]
    with pytest.raises(BadInput, match="toy: regression: found a single owner"):
        fit_ridge(x, points, np.zeros(84, np.int64), "toy")


def test_nothing_is_learned_from_test_subjects(monkeypatch, toy, settings, window):
    task = rated_task(rated(toy(subjects=5, trials=8)), window)
    config = settings(stimulus_folds=2)
    values = features_of(task)
    before, answered = fitted_on(monkeypatch, values, task, config)
    assert len(before) == 2 * 3 * (1 + 2)
    for split in splits_of("affect", task, config):
        foreign = task.table["subject"].isin(split.test).to_numpy()
        index = task.store.index.copy()
        index.loc[index["subject"].isin(split.test), ["valence", "arousal"]] *= -0.5
        other = replace(task, store=replace(task.store, index=index))
        # The deal of stimuli looks at coordinates of all, as that of classes does: keep it.
        with monkeypatch.context() as patch:
            sets = affect_folds(task.table, task.points, 2, config.seed)
            patch.setattr(readout, "affect_folds", lambda *given, sets=sets: sets)
            after, again = fitted_on(monkeypatch, np.where(foreign[:, None], -3 * values + 1, values), other, config)
        for number in range(9 * split.fold, 9 * split.fold + 9):
            assert all(np.array_equal(old, new) for old, new in zip(before[number], after[number], strict=True))
        for key, parts in answered.items():
            mine = zip(parts, again[key], strict=True)
            assert all(np.array_equal(old.blind, new.blind) for old, new in mine if old.fold == split.fold)


def test_same_folds_as_few_shot_and_no_test_stimulus_was_seen(monkeypatch, toy, settings, window):
    task = rated_task(rated(toy(subjects=6, trials=9)), window)
    config = settings(folds=3, stimulus_folds=3)
    assert splits_of("affect", task, config) == splits_of("few_shot", task, config)
    calls, found = fitted_on(monkeypatch, features_of(task), task, config)
    for split in splits_of("affect", task, config):
        parts = [one for one in found["affect_stimuli", "off"] if one.fold == split.fold]
        assert sorted(np.concatenate([one.rows for one in parts])) == list(
            np.flatnonzero(task.table["subject"].isin(split.test))
        )
        for part in parts:
            held = set(task.table["stimulus"].iloc[part.rows])
            train = task.table["subject"].isin(split.train) & ~task.table["stimulus"].isin(held)
            assert np.allclose(part.blind, task.points[train].mean(0))
            assert any(np.array_equal(points, task.points[train]) for _, points, _ in calls)


def test_stimuli_are_dealt_evenly_over_the_plane(toy, window):
    task = rated_task(rated(toy(subjects=3, trials=15)), window)
    deal = affect_folds(task.table, task.points, 3, seed=4)
    assert sorted(name for one in deal for name in one) == sorted(task.table["stimulus"].unique())
    turned = np.random.default_rng(0).permutation(len(task.table))
    assert deal == affect_folds(task.table.iloc[turned], task.points[turned], 3, seed=4)
    means = [task.points[task.table["stimulus"].isin(one)].mean(0) for one in deal]
    assert np.abs(np.array(means) - task.points.mean(0)).max() < 0.1
    assert deal != affect_folds(task.table, task.points, 3, seed=5)
    for folds, said in ((16, "15 stimuli for 16 folds"), (1, "1 fold")):
        with pytest.raises(BadInput, match=said):
            affect_folds(task.table, task.points, folds, 0)


def test_one_training_subject_is_enough(toy, settings, window):
    task = rated_task(rated(toy(subjects=2, trials=8)), window)
    config = settings(folds=2)
    scored = affect_scores(
        predict("affect", Given(features_of(task, 0.05), task, config), task, config, ignore)["affect", "on"],
        task, config,
    )  # fmt: skip
    assert (scored.summary.set_index("metric").loc[METRICS, "value"] > 0.3).all()


def test_across_uses_no_coordinate_of_the_target(toy, settings, window):
    config = settings()
    source = rated_task(rated(toy("other", subjects=3), 3), window)
    task = rated_task(rated(toy(subjects=3), 4), window)
    values = features_of(task)
    sources = {"other": Given(features_of(source, seed=1), source, config)}
    found = predict_affect_across(Given(values, task, config), task, sources, config)
    index = task.store.index.assign(valence=0.5, arousal=-0.5)
    blind = replace(task, store=replace(task.store, index=index))
    again = predict_affect_across(Given(values, blind, config), blind, sources, config)
    for key, (one,) in found.items():
        assert np.array_equal(one.scores, again[key][0].scores)
        assert np.allclose(one.blind, source.points.mean(0))
    index = source.store.index.assign(valence=-source.store.index["valence"])
    mirrored = replace(source, store=replace(source.store, index=index))
    sources = {"other": Given(sources["other"].values, mirrored, config)}
    turned = predict_affect_across(Given(values, task, config), task, sources, config)
    assert np.allclose(turned["affect_across", "off"][0].scores, found["affect_across", "off"][0].scores * [-1, 1])


def test_trials_without_coordinates_take_no_part_and_those_without_a_label_do(toy, window):
    store = placed(toy(subjects=2, trials=6))
    store.index.loc[store.index["trial"] == 2, "valence"] = np.nan
    store.index.loc[store.index["trial"] == 3, "arousal"] = np.nan
    store.index.loc[store.index["trial"] == 4, "label"] = None
    task = rated_task(store, window)
    assert set(task.table["trial"]) == {1, 4, 5, 6} and np.isfinite(task.points).all()
    assert set(task.table.loc[task.codes == -1, "trial"]) == {4}
    with pytest.raises(BadInput, match="toy: valence, arousal: found no label coordinates, expected trials with both"):
        rated_task(toy(), window)


def test_answers_of_a_trial_are_the_mean_over_its_windows(toy, window):
    task = rated_task(placed(toy(subjects=2, trials=3)), window)
    at = np.flatnonzero(task.table["subject"] == "01")
    answers = np.random.default_rng(0).normal(size=(len(at), 2))
    parts = [Prediction(0, at, answers, np.array([0.1, 0.2])), Prediction(1, at, answers + 1, np.array([0.3, 0.2]))]
    trials = answered_trials(parts, task)
    assert len(trials) == 2 * 3 and set(trials["fold"]) == {0, 1}
    for windows in trials_of(task.table):
        mine = np.isin(at, windows)
        row = task.table["row"].iloc[windows[0]]
        for row_of_trial in trials[trials["row"] == row].itertuples():
            assert row_of_trial.answered_valence == pytest.approx(answers[mine, 0].mean() + row_of_trial.fold)
            assert row_of_trial.arousal == PLACE[row_of_trial.label][1]
            assert row_of_trial.blind_valence == (0.1, 0.3)[row_of_trial.fold]


def test_constant_coordinates_are_told_and_have_no_score(toy, run_of):
    store = rated(toy(subjects=4, trials=6))
    store.index.loc[store.index["subject"] == "02", "valence"] = 0.3
    found = evaluate_target({"de": None}, store, run_of(readouts=("affect",)), "toy")
    own = found.subjects.set_index(["metric", "subject"])["value"]
    assert own["valence_r2"].isna()["02"].all() and own["valence_ccc"].isna()["02"].all()
    assert own["arousal_r2"].notna().all() and own["valence_ccc"].notna().groupby(level=0).all().sum() == 3
    counts = found.scores.set_index("metric")["n_subjects"]
    assert (counts[["valence_r2", "valence_ccc"]] == 3).all() and (counts[["arousal_r2", "arousal_ccc"]] == 4).all()
    assert found.notes == ("valence: 1 of 4 subjects have one value in all trials, hence no R2 or CCC of their own",)
    assert constant_coordinates(rated_task(rated(toy()), run_of().window)) == ()


def test_whole_evaluation_reaches_tables_files_and_page(toy, build, run_of, tmp_path):
    run = run_of(readouts=("affect", "few_shot", "affect_across"), stimulus_folds=2)
    store = placed(toy(subjects=4, planted=2.0))
    other = placed(toy("other", subjects=3, seed=5, planted=2.0))
    bare = toy("bare", subjects=2, seed=6)  # no coordinates: takes no part in affect_across
    models = {"trained": build(), "de": None}
    found = evaluate_target(models, store, run, "toy", {"other": other, "bare": bare, "toy": store})
    without = evaluate_target(models, store, run, "toy", {"other": other})
    pd.testing.assert_frame_equal(found.scores, without.scores)  # nor is the target ever a source of its own
    readouts = {"affect", "affect_stimuli", "affect_across"}
    mine = found.scores[found.scores["readout"].isin(readouts)]
    assert set(mine["metric"]) == {*METRICS, *(f"{name}_pooled" for name in METRICS)}
    assert len(mine) == 2 * 3 * 3 * 8 and mine.notna().all().all()
    assert not set(found.scores.loc[~found.scores["readout"].isin(readouts), "metric"]) & set(mine["metric"])
    mean = found.subjects.groupby(["method", "readout", "lds", "metric"])["value"].mean()
    for row in mine[mine["metric"].isin(METRICS)].itertuples():
        assert mean[row.method, row.readout, row.lds, row.metric] == pytest.approx(row.value)
    best = mine.query("method == 'de' and readout == 'affect' and lds == 'on' and metric == 'valence_ccc'")
    assert best["low"].item() > best["chance_high"].item()
    assert {"affect", "affect_stimuli"} <= set(found.tests["readout"])
    assert len(found.affect) == 2 * 3 * 3 * 4 * 6
    assert {one["readout"] for one in found.confusion} == {"few_shot", "few_shot_stimuli"}
    write_result(found, tmp_path)
    page = render(ReportInputs("page", targets=[load_target(tmp_path)]))
    assert page == render(ReportInputs("page", targets=[found]))
    for words in ("CCC of valence, mean over subjects", "Valence and arousal across corpora, without LDS:",
                  "Answers in the plane", "R² of arousal over all trials [95 %"):  # fmt: skip
        assert words in page


def test_refusals(toy, run_of):
    de = {"de": None}
    with pytest.raises(BadInput, match="toy: valence, arousal: found no label coordinates"):
        evaluate_target(de, toy(), run_of(readouts=("affect",)), "toy")
    across = run_of(readouts=("affect_across",))
    with pytest.raises(BadInput, match="affect_across: found no source store"):
        evaluate_target(de, placed(toy()), across, "toy", {"toy": placed(toy())})
    with pytest.raises(BadInput, match="one, two: valence, arousal: found no label coordinates, expected a source"):
        evaluate_target(de, placed(toy()), across, "toy", {"one": toy("one"), "two": toy("two")})
