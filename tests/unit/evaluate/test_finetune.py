from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mdjpt_model.emod.model import Emod
from mdjpt_model.emod.spec import EmodSpec
from mdjpt_platform.config import FineTuneConfig, ProbeConfig, WindowConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.features import encode
from mdjpt_platform.evaluate.finetune import batches, fine_tune, predict_tuned, trainings
from mdjpt_platform.evaluate.readout import predict
from mdjpt_platform.evaluate.run import evaluate_target
from mdjpt_platform.evaluate.scores import class_chance, subject_scores
from mdjpt_platform.evaluate.smoothing import smooth
from mdjpt_platform.evaluate.task import Features, labelled_task
from mdjpt_platform.report.tables import result_table

FAMILIES = ("mdjpt", "emod")
SHORT = FineTuneConfig(epochs=2, batch=16, block=4)


def ignore(count):
    pass


@pytest.fixture
def family(build):
    """An untrained encoder of either family."""

    def make(name: str, seed: int = 0) -> Any:
        if name == "mdjpt":
            return build(seed)
        torch.manual_seed(seed)
        spec = EmodSpec(
            width=8, heads=2, depth=1, feedforward=16, norm_groups=2, kernel=15, tokens_per_second=10, hidden=16,
            embedding=8,
        )  # fmt: skip
        return Emod(spec)

    return make


def rising(store, height=0.7):
    """Saws under the noise: slow up and fast down for one class, its mirror image for the other; powers are equal."""
    random = np.random.default_rng(1)
    codes = [store.labels.index(label) for label in store.index["label"]]
    for signal, code in zip(store.signals, codes, strict=True):
        saw = (np.arange(len(signal)) + random.integers(25)) % 25 / 12.5 - 1
        signal += np.float32(height) * saw[:, None].astype(np.float32) * (1 if code else -1)
    return store


def accuracy(predictions, task):
    scores = subject_scores(predictions, task.table, task.codes, len(task.labels))
    return scores.loc[scores["metric"] == "accuracy", "value"].mean()


def tuned_on(model, task, config, number=0):
    one = trainings(task, config)[number]
    return fine_tune(model, task, one.part.train, config, (config.seed, one.fold, one.part.stimulus_fold), ignore)


def weights(tuned):
    return [*tuned.model.state_dict().values(), *tuned.classifier.state_dict().values()]


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


APART = WindowConfig(seconds=1.0, step=1.0)
LEARNING = {
    "mdjpt": (0.8, 6, {"epochs": 8, "lr": 0.01}),
    "emod": (1.0, 10, {"epochs": 18, "lr": 0.012, "encoder_lr": 2}),
}
"""By family: height of the saws, seconds of a trial, settings."""


@pytest.mark.parametrize("name", FAMILIES)
def test_learns_what_the_frozen_encoder_does_not_show_and_nothing_from_permuted_labels(toy, family, settings, name):
    """Measured, accuracy: mdjpt frozen 0.55, tuned 0.77, permuted 0.52; emod 0.76, 0.91, 0.59; guessers 0.40-0.59."""
    height, seconds, changes = LEARNING[name]
    model, store = family(name), rising(toy(subjects=8, trials=12, seconds=seconds, labels=("sad", "glad")), height)
    tune = FineTuneConfig(batch=32, block=8, dropout=0.1, label_smoothing=0, **changes)
    config = settings(batch=64, probe=ProbeConfig(epochs=30, batch=32, lr=2e-3), fine_tune=tune)
    task = labelled_task(store, APART)
    frozen = accuracy(predict("few_shot", Features(model, task, config), task, config, ignore)["few_shot", "off"], task)
    found = predict_tuned(model, task, config, ignore)
    chance = class_chance(task, task.codes, 2, 0)["accuracy"]
    assert accuracy(found["fine_tune", "off"], task) > frozen + 0.1
    for lds in ("off", "on", "causal"):
        assert accuracy(found["fine_tune", lds], task) > chance.high
    deal = np.random.default_rng(3)
    for _, trials in store.index.groupby("subject"):
        store.index.loc[trials.index, "label"] = deal.permutation(trials["label"].to_numpy())
    task = labelled_task(store, APART)
    blind = predict_tuned(model, task, config, ignore)
    assert chance.low - 0.05 < accuracy(blind["fine_tune", "off"], task) < chance.high + 0.05


@pytest.mark.parametrize("name", FAMILIES)
def test_test_subjects_touch_neither_weights_nor_scale(toy, family, settings, window, name):
    config, model, store = settings(fine_tune=SHORT), family(name), toy(subjects=4)
    task = labelled_task(store, window)
    before = tuned_on(model, task, config)
    tested = np.unique(task.table["subject"].iloc[trainings(task, config)[0].part.test])
    rows = np.flatnonzero(store.index["subject"].isin(tested))
    foreign = store.changed(rows, lambda x: 7 * x[::-1] + 2)
    foreign.index = foreign.index.copy()
    foreign.index.loc[rows, "label"] = foreign.index["label"].map({"sad": "calm", "calm": "glad", "glad": "sad"})
    assert equal(before, tuned_on(model, labelled_task(foreign, window), config))
    own = np.setdiff1d(np.arange(len(store.signals)), rows)
    changed = labelled_task(store.changed(own, lambda x: 2 * x[::-1]), window)
    assert not equal(before, tuned_on(model, changed, config))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_given_encoder_stays_as_it_is(toy, family, settings, window, name):
    config, model = settings(fine_tune=SHORT), family(name).train()
    model.requires_grad_(False)
    task = labelled_task(toy(subjects=4), window)
    encode(model, task.store, task.table, config)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    tuned = tuned_on(model, task, config)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.training and not any(one.requires_grad or one.grad is not None for one in model.parameters())
    moved = [key for key, value in tuned.model.state_dict().items() if not torch.equal(value, before[key])]
    assert any(key.startswith(("encoder", "branches")) for key in moved)
    assert not any(key.startswith(("projector", "head")) for key in moved)  # pre-training's own part
    assert not tuned.model.training and not tuned.classifier.training


@pytest.mark.parametrize("name", FAMILIES)
def test_same_again_whatever_ran_before(toy, family, settings, window, name):
    config, model = settings(fine_tune=SHORT), family(name)
    task = labelled_task(toy(subjects=4), window)
    first = tuned_on(model, task, config, 1)
    torch.rand(5)
    np.random.default_rng().random(3)
    state = torch.get_rng_state()
    assert equal(first, tuned_on(model, task, config, 1))
    assert torch.equal(state, torch.get_rng_state())
    after_another = predict_tuned(model, task, config, ignore)["fine_tune", "on"][1]
    assert np.array_equal(first.probabilities(task, after_another.rows, config)["on"], after_another.scores)
    assert not equal(first, tuned_on(model, task, settings(fine_tune=SHORT, seed=8), 1))


def test_blocks_are_of_one_subject_session_and_every_window_comes_once(toy, settings, window):
    config = settings(fine_tune=FineTuneConfig(batch=12, block=4))
    task = labelled_task(toy(subjects=3, sessions=2, trials=3), window)
    train = np.flatnonzero(task.table["subject"] != "01")
    owner = task.table["subject"] + "/" + task.table["session"].astype(str)
    random = np.random.default_rng(0)
    epochs = [batches(task, train, config, True, random) for _ in range(2)]
    for epoch in epochs:
        blocks = [block for batch in epoch for block in batch]
        assert sorted(np.concatenate(blocks)) == train.tolist()
        assert all(owner.iloc[block].nunique() == 1 and len(block) >= 4 for block in blocks)
        assert any(task.table["row"].iloc[block].nunique() > 1 for block in blocks)
        assert {len(batch) for batch in epoch} == {3}
    assert [one.tolist() for one in epochs[0][0]] != [one.tolist() for one in epochs[1][0]]
    single = batches(task, train, config, False, random)
    assert sorted(np.concatenate([window for batch in single for window in batch])) == train.tolist()
    assert {len(batch) for batch in single} == {12}


@pytest.mark.parametrize("name", FAMILIES)
def test_answers_come_from_whole_sessions_and_smoothing_features_is_smoothing_logits(
    toy, family, settings, window, name
):
    config, model = settings(fine_tune=SHORT, stimulus_folds=2), family(name)
    task = labelled_task(toy(subjects=4, sessions=2), window)
    one = next(one for one in trainings(task, config) if one.part.stimulus_fold == 2)
    tuned = fine_tune(model, task, one.part.train, config, (0,), ignore)
    found = tuned.probabilities(task, one.part.test, config)
    everything = torch.from_numpy(encode(tuned.model, task.store, task.table, config)[one.part.test])
    with torch.no_grad():
        logits = tuned.classifier(everything).numpy()
    for lds, answers in found.items():
        smoothed = torch.from_numpy(smooth(logits, task.table.iloc[one.part.test], lds))
        np.testing.assert_allclose(answers, smoothed.softmax(1).numpy(), rtol=1e-4, atol=1e-6)
    assert not np.allclose(found["off"], found["on"]) and not np.allclose(found["on"], found["causal"])


def test_frozen_statistics_are_those_of_the_training_windows(toy, family, settings, window):
    config, store = settings(fine_tune=SHORT, normalisation="frozen"), toy(subjects=4)
    task = labelled_task(store, window)
    tuned, test = tuned_on(family("mdjpt"), task, config), trainings(task, config)[0].part.test
    last = task.table["row"].iloc[test].max()
    foreign = replace(task, store=store.changed(np.array([last]), lambda x: 7 * x[::-1] + 2))
    kept = (task.table["row"].iloc[test] != last).to_numpy()
    before, after = (one["off"] for one in (tuned.probabilities(each, test, config) for each in (task, foreign)))
    np.testing.assert_allclose(before[kept], after[kept], rtol=1e-5)
    assert not np.allclose(before[~kept], after[~kept])
    whole = settings(fine_tune=SHORT)
    before, after = (one["off"] for one in (tuned.probabilities(each, test, whole) for each in (task, foreign)))
    assert not np.allclose(before[kept], after[kept])


def test_an_absent_class_is_refused_before_anything_is_trained(toy, family, run_of):
    run, store = run_of(readouts=("few_shot", "fine_tune"), fine_tune=SHORT), toy(subjects=4)
    task = labelled_task(store, run.window)
    learners = sorted(set(task.table["subject"].iloc[trainings(task, run.evaluate)[1].part.train]))
    unseen = replace(task, labels=(*task.labels, "proud"))  # declared, and nobody's: nothing to answer, nothing lacks
    assert len(trainings(unseen, run.evaluate)) == 2
    lacking = store.index["subject"].isin(learners) & (store.index["label"] == "glad")
    store.index.loc[lacking, "label"] = "sad"
    model = family("emod")
    model.forward = None  # would be called for features, which come before any read-out
    with pytest.raises(BadInput, match=f"toy: fold 1: .*no training window of class glad .*{', '.join(learners)}"):
        evaluate_target({"trained": model}, store, run, "toy")


def test_a_loss_that_is_not_finite_is_refused(toy, family, settings, window):
    config = settings(fine_tune=FineTuneConfig(epochs=3, batch=8, lr=1e30))
    task = labelled_task(toy(subjects=4), window)
    with pytest.raises(BadInput, match=r"toy: fine-tuning: found a loss of (nan|inf) in step \d+ of 24"):
        tuned_on(family("emod"), task, config)


@pytest.mark.parametrize(("name", "normalisation"), [("emod", "whole"), ("mdjpt", "causal")])
def test_a_read_out_like_the_others_but_for_band_entropy(toy, family, run_of, name, normalisation):
    run = run_of(
        readouts=("few_shot", "fine_tune"), stimulus_folds=2, fine_tune=SHORT, probe=ProbeConfig(epochs=1),
        normalisation=normalisation,
    )  # fmt: skip
    models = {"trained": family(name, 0), "random": family(name, 1), "de": None}
    found = evaluate_target(models, toy(subjects=4), run, "toy")
    tuned = found.scores[found.scores["readout"].str.startswith("fine_tune")]
    keys = tuned[["method", "readout", "lds"]].drop_duplicates()
    assert len(keys) == 2 * 2 * 3 and len(tuned) == 4 * len(keys)
    assert set(tuned["method"]) == {"trained", "random"} and (tuned["n_subjects"] == 4).all()
    assert found.scores["value"].notna().all()
    tests = found.tests[found.tests["readout"] == "fine_tune"]
    assert set(tests["control"]) == {"random"} and set(tests["lds"]) == {"off", "on", "causal"}
    assert any("fine_tune" in note for note in found.notes)
    table = result_table(found.scores, "accuracy")
    rows = [row for row in table.rows if row.readout in ("fine-tuning", "fine-tuning, held-out stimuli")]
    assert len(rows) == 6 and all([cell is None for cell in row.cells] == [False, False, True] for row in rows)
