from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mdjpt_platform import atomic
from mdjpt_platform.config import ProbeConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate import progress, readout
from mdjpt_platform.evaluate.metrics import METRICS, chance_levels
from mdjpt_platform.evaluate.readout import Features, predict, predict_across
from mdjpt_platform.evaluate.result import SCORES, write_result
from mdjpt_platform.evaluate.run import evaluate_target
from mdjpt_platform.evaluate.scores import subject_scores
from mdjpt_platform.evaluate.task import labelled_task
from mdjpt_platform.evaluate.windows import trials_of


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


def seen_by_probe(monkeypatch, features, task, config):
    """What every probe of the few-shot read-out is trained and selected on."""
    calls = []

    def spy(x, y, classes, settings, seed, select_on=None):
        calls.append((x.copy(), y.copy(), select_on))
        return fit(x, y, classes, settings, seed, select_on)

    fit = readout.fit_probe
    with monkeypatch.context() as patch:
        patch.setattr(readout, "fit_probe", spy)
        found = predict("few_shot", features, task, config, ignore)
    return calls, found


@pytest.mark.parametrize("normalisation", ["whole", "causal", "frozen"])
def test_strict_learns_nothing_from_test_subjects(monkeypatch, toy, build, settings, window, normalisation):
    config, model, store = settings(normalisation=normalisation, folds=2), build(), toy(subjects=4)
    task = labelled_task(store, window)
    before, predicted = seen_by_probe(monkeypatch, Features(model, task, config), task, config)
    for split in readout.splits_of("few_shot", task, config):
        rows = np.flatnonzero(store.index["subject"].isin(split.test))
        foreign = store.changed(rows, lambda x: 7 * x[::-1] + 2)
        foreign.index = foreign.index.copy()
        foreign.index.loc[rows, "label"] = "glad"
        other = labelled_task(foreign, window)
        after, _ = seen_by_probe(monkeypatch, Features(model, other, config), other, config)
        for lds in range(3):
            old, new = before[3 * split.fold + lds], after[3 * split.fold + lds]
            assert np.array_equal(old[0], new[0]) and np.array_equal(old[1], new[1])
            assert old[2] is None and new[2] is None
    # Nor does one test subject change the answers for another.
    split = readout.splits_of("few_shot", task, config)[0]
    one = np.flatnonzero(store.index["subject"] == split.test[0])
    changed = labelled_task(store.changed(one, lambda x: 7 * x[::-1]), window)
    again = predict("few_shot", Features(model, changed, config), changed, config, ignore)
    for key, predictions in predicted.items():
        mine = (task.table["subject"].iloc[predictions[0].rows] == split.test[1]).to_numpy()
        assert np.array_equal(predictions[0].scores[mine], again[key][0].scores[mine])


def test_published_does_learn_from_test_subjects(monkeypatch, toy, build, settings, window):
    config, model, store = settings(protocol="published", folds=2), build(), toy(subjects=4)
    task = labelled_task(store, window)
    before, _ = seen_by_probe(monkeypatch, Features(model, task, config), task, config)
    split = readout.splits_of("few_shot", task, config)[0]
    rows = np.flatnonzero(store.index["subject"].isin(split.test))
    other = labelled_task(store.changed(rows, lambda x: 7 * x[::-1] + np.arange(4, dtype=np.float32)), window)
    after, _ = seen_by_probe(monkeypatch, Features(model, other, config), other, config)
    assert not np.array_equal(before[0][0], after[0][0])  # the prior
    chosen, truth = before[0][2]  # the epoch
    assert len(chosen) == len(truth) == (task.table["subject"].isin(split.test)).sum()


def test_zero_shot_uses_no_label_of_the_subject_asked_for(toy, settings, window):
    store = toy(subjects=4)
    task = labelled_task(store, window)
    x = np.random.default_rng(0).normal(size=(len(task.table), 6)).astype(np.float32)
    config = settings()
    found = predict("zero_shot", Given(x, task, config), task, config, ignore)
    own = (task.table["subject"] == "02").to_numpy()
    relabelled = replace(task, codes=np.where(own, 0, task.codes))
    again = predict("zero_shot", Given(x, relabelled, config), relabelled, config, ignore)
    for key, predictions in found.items():
        tested = np.concatenate([one.rows for one in predictions])
        assert sorted(tested) == list(range(len(task.table)))
        old, new = (np.concatenate([one.scores for one in each[key]]) for each in (found, again))
        mine = own[tested]
        assert np.array_equal(old[mine], new[mine])
    by_trial = predict("zero_shot", Given(x, task, config), task, settings(exclude="trial"), ignore)
    assert not np.array_equal(by_trial["zero_shot", "off"][0].scores, found["zero_shot", "off"][0].scores)


def noise(task, seed, width=12):
    """White noise over windows and over trials."""
    random = np.random.default_rng(seed)
    trials = random.normal(size=(int(task.table["row"].max()) + 1, width))[task.table["row"]]
    return (trials + random.normal(size=trials.shape)).astype(np.float32)


def chance_of(task):
    owner = task.table["subject"].to_numpy()
    each = {}
    for at in trials_of(task.table):
        each.setdefault(owner[at[0]], []).append((task.codes[at[0]], len(at)))
    return chance_levels([tuple(np.array(one).T) for one in each.values()], len(task.labels), 500, 0)


@pytest.mark.parametrize("name", ["few_shot", "zero_shot"])
def test_noise_stays_at_chance_and_a_planted_class_is_found(toy, settings, window, name):
    task = labelled_task(toy(subjects=8, trials=12), window)
    config = settings(folds=4, probe=ProbeConfig(epochs=25, batch=32, lr=2e-3))
    chance, inside = chance_of(task), []
    for seed in range(4):
        found = predict(name, Given(noise(task, seed), task, config), task, config, ignore)
        for lds in ("off", "on"):
            scores = subject_scores(found[name, lds], task.table, task.codes, 3)
            value = scores.loc[scores["metric"] == "accuracy", "value"].mean()
            inside.append(chance["accuracy"].low <= value <= chance["accuracy"].high)
    assert sum(inside) >= 7
    planted = noise(task, 0) + 2 * np.eye(12, dtype=np.float32)[task.codes]
    found = predict(name, Given(planted, task, config), task, config, ignore)
    for lds in ("off", "on", "causal"):
        scores = subject_scores(found[name, lds], task.table, task.codes, 3)
        for metric in METRICS:
            value = scores.loc[scores["metric"] == metric, "value"].mean()
            assert value > chance[metric].high, (lds, metric)


@pytest.mark.parametrize("name", ["few_shot", "zero_shot"])
def test_held_out_stimuli_unmask_a_readout_that_knows_the_clip_and_not_the_class(toy, settings, window, name):
    task = labelled_task(toy(subjects=6, trials=12), window)
    clips = 5 * np.eye(12, dtype=np.float32)[task.table["trial"] - 1] + 0.1 * noise(task, 0)
    config = settings(folds=3, stimulus_folds=4, probe=ProbeConfig(epochs=40, batch=16, lr=3e-3))
    found = predict(name, Given(clips, task, config), task, config, ignore)
    value = {}
    for readout_name in (name, name + "_stimuli"):
        scores = subject_scores(found[readout_name, "off"], task.table, task.codes, 3)
        value[readout_name] = scores.loc[scores["metric"] == "accuracy", "value"].mean()
    assert value[name] > 0.8
    assert value[name + "_stimuli"] < chance_of(task)["accuracy"].high


def test_subject_scores_average_over_the_folds_that_tested_a_subject(toy, window):
    task = labelled_task(toy(subjects=2, trials=3), window)
    rows = np.flatnonzero(task.table["subject"] == "01")
    right = np.eye(3, dtype=np.float32)[task.codes[rows]]
    wrong = np.eye(3, dtype=np.float32)[(task.codes[rows] + 1) % 3]
    predictions = [readout.Prediction(0, rows, right), readout.Prediction(2, rows, wrong)]
    found = subject_scores(predictions, task.table, task.codes, 3)
    assert found.loc[found["metric"] == "accuracy", "value"].tolist() == [0.5]
    halves = [readout.Prediction(1, rows[:4], right[:4]), readout.Prediction(1, rows[4:], right[4:])]
    assert (subject_scores(halves, task.table, task.codes, 3)["value"] == 1).all()


def test_across_goes_by_name_and_never_looks_at_target_labels(toy, settings, window):
    """The sources know two of the target's classes, in another order."""
    target = labelled_task(toy(subjects=3, planted=2.0), window)
    source = labelled_task(toy("other", subjects=3, labels=("angry", "calm", "sad")), window)
    config = settings()
    centre = {"sad": 0, "calm": 1, "glad": 2, "angry": 3}

    def near(task, seed):
        names = [centre[task.labels[code]] for code in task.codes]
        values = noise(task, seed) * 0.3 + 3 * np.eye(12, dtype=np.float32)[names]
        return Given(values.astype(np.float32), task, config)

    mine, theirs = near(target, 0), near(source, 1)
    found, codes = predict_across(mine, target, {"other": theirs}, config, ["sad", "calm"])
    assert set(codes) == {0, 1, -1}
    assert [target.labels[c] for c in target.codes[codes == 0]] == ["sad"] * int((codes == 0).sum())
    for lds in ("off", "on", "causal"):
        (one,) = found["across", lds]
        assert set(codes[one.rows]) == {0, 1}
        assert (one.scores.argmax(1) == codes[one.rows]).mean() > 0.9


def test_band_entropy_crosses_caps_without_a_common_channel(toy, run_of):
    """The classes differ in overall power of the back; neither cap has a channel of the other."""

    def back(store):
        louder = (store.index["label"] == "glad").to_numpy()
        return store.changed(np.flatnonzero(louder), lambda x: x * np.array([1, 1, 3, 3], np.float32))

    labels = ("sad", "glad")
    mine = back(toy(labels=labels, channels=("F3", "F4", "P3", "P4")))
    theirs = back(toy("other", seed=3, labels=labels[::-1], channels=("FP1", "FP2", "O1", "O2")))
    found = evaluate_target({"de": None}, mine, run_of(readouts=("across",)), "toy", {"other": theirs})
    score = found.scores.query("metric == 'accuracy' and lds == 'on'")
    assert score["value"].item() > score["chance_high"].item()


@pytest.fixture
def small(toy, build, run_of):
    """Two encoders and band entropy on four subjects; planted band power."""
    run = run_of(
        readouts=("few_shot", "zero_shot", "across"), stimulus_folds=2,
        probe=ProbeConfig(epochs=10, batch=32, lr=2e-3),
    )  # fmt: skip
    models = {"trained": build(0), "random": build(1), "de": None}
    other = toy("other", subjects=3, seed=5, planted=2.0, channels=("OZ", "FZ", "CZ", "PZ", "O1"))
    return models, toy(subjects=4, trials=7, planted=2.0), run, {"other": other}


def test_whole_evaluation(small, tmp_path):
    models, store, run, sources = small
    store.index.loc[store.index["trial"] == 7, "label"] = None
    found = evaluate_target(models, store, run, "toy", sources)
    readouts = ["few_shot", "few_shot_stimuli", "zero_shot", "zero_shot_stimuli", "across"]
    assert list(found.scores.columns) == list(SCORES)
    assert len(found.scores) == 3 * 5 * 3 * 4
    assert set(found.scores["method"]) == {"trained", "random", "de"}
    assert list(found.scores["readout"].unique()) == readouts
    known = found.scores.dropna(subset=["value"])
    assert ((known["low"] <= known["value"]) & (known["value"] <= known["high"])).all()
    assert (found.scores["n_subjects"] == 4).all()
    assert set(found.subjects["subject"]) == {"00", "01", "02", "03"}
    mean = found.subjects.groupby(["method", "readout", "lds", "metric"])["value"].mean()
    for row in found.scores.itertuples():
        assert mean[row.method, row.readout, row.lds, row.metric] == pytest.approx(row.value)
    assert len(found.tests) == 2 * 5 * 3 * 4
    band = found.scores.query("method == 'de' and readout == 'zero_shot' and lds == 'on' and metric == 'accuracy'")
    assert band["value"].item() > band["chance_high"].item()
    assert len(found.embedding) == 3 * 4 * 6
    assert np.isfinite(found.embedding[["x", "y"]]).all().all()
    few = next(one for one in found.confusion if one["readout"] == "few_shot")
    assert np.sum(few["counts"], 1).tolist() == [4 * 2 * 5] * 3
    assert not found.notes and found.protocol == "strict"

    write_result(found, tmp_path / "toy")
    names = {"scores.parquet", "subjects.parquet", "embedding.parquet", "confusion.json", "results.json"}
    assert {one.name for one in (tmp_path / "toy").iterdir()} == names
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "toy" / "scores.parquet"), found.scores)
    tree = json.loads((tmp_path / "toy" / "results.json").read_text())
    assert tree["scores"][0]["value"] == found.scores["value"].iloc[0] and tree["settings"]["folds"] == 2


def test_same_again_to_the_last_bit(small):
    models, store, run, sources = small
    first, second = (evaluate_target(models, store, run, "toy", sources) for _ in range(2))
    assert json.dumps(first.to_json()) == json.dumps(second.to_json())
    pd.testing.assert_frame_equal(first.embedding, second.embedding)


@pytest.mark.parametrize("normalisation", ["causal", "frozen"])
def test_other_normalisations_and_loso(toy, build, run_of, normalisation):
    run = run_of(readouts=("loso", "zero_shot", "across"), normalisation=normalisation, probe=ProbeConfig(epochs=1))
    store, other = toy(subjects=3), toy("other", subjects=2, seed=1)
    found = evaluate_target({"trained": build()}, store, run, "toy", {"other": other})
    assert set(found.scores["readout"]) == {"loso", "zero_shot", "across"}
    assert found.scores["value"].notna().all() and found.tests.empty


def test_published_says_so(toy, build, run_of):
    run = run_of(readouts=("few_shot",), protocol="published", probe=ProbeConfig(epochs=2))
    found = evaluate_target({"trained": build()}, toy(subjects=2), run, "toy")
    assert (found.scores["protocol"] == "published").all()
    assert any("test subjects" in note for note in found.notes)


def test_refusals(toy, build, run_of):
    models = {"trained": build()}
    with pytest.raises(BadInput, match="toy: subjects: found 1"):
        evaluate_target(models, toy(subjects=1), run_of(), "toy")
    across = run_of(readouts=("across",))
    with pytest.raises(BadInput, match="no source store"):
        evaluate_target(models, toy(), across, "toy")
    foreign = toy("other", labels=("angry", "proud"))
    with pytest.raises(BadInput, match="classes shared with the sources: found none"):
        evaluate_target(models, toy(), across, "toy", {"other": foreign})
    broken = toy().changed(np.array([3]), lambda x: x * np.float32(np.nan))
    for each in (models, {"de": None}):
        with pytest.raises(BadInput, match="signal: found NaN or infinity in subject 00 session 1 trial 4"):
            evaluate_target(each, broken, run_of(), "toy")


def test_nan_is_null_and_a_failed_write_leaves_nothing(toy, build, run_of, tmp_path, monkeypatch):
    found = evaluate_target({"de": None}, toy(subjects=2), run_of(readouts=("zero_shot",)), "toy")
    found.scores.loc[0, "value"] = math.nan
    write_result(found, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())["scores"][0]["value"] is None
    before = (tmp_path / "results.json").read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_result(found, tmp_path)
    assert (tmp_path / "results.json").read_bytes() == before
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]


@pytest.mark.parametrize(("patience", "show", "drawn"), [(-1.0, True, True), (-1.0, False, False), (5.0, True, False)])
def test_bar_appears_only_for_long_work(monkeypatch, patience, show, drawn):
    started = []
    monkeypatch.setattr(progress, "PATIENCE", patience)
    monkeypatch.setattr(progress.Progress, "start", lambda self: started.append(self))
    with progress.progress_bar(3, "long work", show) as advance:
        for _ in range(3):
            advance(1)
    assert len(started) == drawn
    if drawn:
        assert started[0].tasks[0].completed == 3


@pytest.mark.parametrize("kind", ["logistic", "svm"])
def test_linear_classifiers_read_out_what_the_mlp_does(toy, run_of, kind):
    run = run_of(readouts=("few_shot", "loso"), probe=ProbeConfig(kind=kind))
    found = evaluate_target({"de": None}, toy(planted=3.0), run, "toy").scores
    assert set(found["readout"]) == {"few_shot", "loso"}
    accuracy = found[(found["metric"] == "accuracy") & (found["lds"] == "off")].set_index("readout")["value"]
    assert accuracy["loso"] > 0.9, "the classes differ in where there is power"
    assert evaluate_target({"de": None}, toy(), run, "toy").scores["value"].max() < 0.9, "and here they do not"
