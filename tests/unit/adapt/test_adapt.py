"""From a model folder and a store to a curve and an adapted model."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mdjpt_model import from_pretrained
from mdjpt_platform.adapt.cautions import blocked
from mdjpt_platform.adapt.curve import balanced_accuracy, compared, summary
from mdjpt_platform.adapt.given import open_both
from mdjpt_platform.adapt.run import Adaptation, adapt
from mdjpt_platform.adapt.settings import Order, Settings
from mdjpt_platform.config import EvaluateConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.windows import cut, groups
from planted_store import make_model, make_store, table

QUICK = Settings(draws=2, methods=("frozen",), sizes=(1, 2))


def value(found: Adaptation, method: str, n: int, unit: str = "window") -> float:
    curve = found.curve
    (row,) = curve[(curve["method"] == method) & (curve["n"] == n) & (curve["unit"] == unit)]["value"]
    return float(row)


def run(model: Path, store: Path, out: Path, settings: Settings = QUICK, **more: object) -> Adaptation:
    return adapt(model, store, out, settings, progress=False, **more)  # type: ignore[arg-type]


def test_the_curve_rises_where_a_class_is_planted(model: Path, planted: Path, tmp_path: Path) -> None:
    found = run(model, planted, tmp_path / "out", Settings(draws=4))
    assert found.result["methods"] == ["frozen", "untrained", "de"]
    for unit in ("window", "trial"):
        first, last = (value(found, "de", n, unit) for n in (1, 4))
        assert last > first + 0.03 and last > 0.75
        assert value(found, "frozen", 4, unit) != value(found, "untrained", 4, unit)
    assert value(found, "de", 4, "trial") > value(found, "de", 4)  # windows of a trial help each other
    assert set(found.curve["n"]) == {1, 2, 4} and set(found.curve["chance"]) == {0.5}
    files = {path.name for path in (tmp_path / "out").iterdir()}
    tables = {f"{name}.{kind}" for name in ("curve", "subjects", "tests") for kind in ("csv", "parquet")}
    assert files == tables | {"result.json", "page.html"}


def shuffled(subject: int, trial: int) -> str:
    """As many trials of either class, in an order of the subject's own."""
    return ("negative", "positive")[np.random.default_rng(subject).permutation(16)[trial] % 2]


@pytest.mark.parametrize("order", ["random", "first"])
def test_labels_that_mean_nothing_stay_at_chance(model: Path, tmp_path: Path, order: Order) -> None:
    store = make_store(tmp_path / "store", planted=0.12, subjects=4, label=shuffled)
    found = run(model, store, tmp_path / "out", Settings(draws=4, order=order))
    for method in ("frozen", "untrained", "de"):
        # halves of a few trials are unlike each other, so below a half is no surprise; above it would be a leak
        assert 0.3 < value(found, method, 4 if order == "random" else max(found.curve["n"]), "trial") < 0.62


def test_the_same_command_again_reads_what_is_there(model: Path, planted: Path, tmp_path: Path) -> None:
    first = run(model, planted, tmp_path / "out")
    page = (tmp_path / "out" / "page.html").read_bytes()
    again = run(model, planted, tmp_path / "out")
    assert first.fresh and not again.fresh
    pd.testing.assert_frame_equal(first.curve, again.curve)
    with pytest.raises(BadInput, match="--out: found another adaptation"):
        run(model, planted, tmp_path / "out", Settings(draws=3, methods=("frozen",)))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a").touch()
    with pytest.raises(BadInput, match="--out: found something there"):
        run(model, planted, tmp_path / "other")
    run(model, planted, tmp_path / "third")
    assert (tmp_path / "third" / "page.html").read_bytes() == page


def test_the_page_is_whole_and_names_nobody(model: Path, tmp_path: Path) -> None:
    store = make_store(tmp_path, planted=0.3)
    run(model, store, tmp_path / "out", Settings(draws=2, methods=("frozen", "de")))
    page = (tmp_path / "out" / "page.html").read_text()
    assert page.count("data:image/svg+xml") == 2 and "http" not in page.replace("http-equiv", "")
    words = ("Adaptation to own", "Pre-trained, frozen", "Band entropy", "4 trials a class", "guessing gives 50.0 %")
    assert [word for word in words if word not in page] == []
    text = re.sub(r"data:[^\"]*", "", page) + (tmp_path / "out" / "result.json").read_text()
    assert not re.search(r"\bs[0-2]\b", text)


def test_emod_is_calibrated_too(planted: Path, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model", "emod")
    found = run(model, planted, tmp_path / "out", Settings(draws=2, mode="frozen", sizes=(4,)))
    assert found.result["methods"] == ["frozen", "untrained", "de"]
    assert 0 < value(found, "frozen", 4) <= 1


def test_fine_tuning_depends_on_its_seed_and_leaves_the_model(model: Path, tmp_path: Path) -> None:
    store = make_store(tmp_path, subjects=1, trials=8)
    settings = Settings(draws=1, methods=("frozen", "fine_tuned"), sizes=(2,), epochs=2)
    before = (model / "model.safetensors").read_bytes()
    found = [run(model, store, tmp_path / name, settings) for name in "ab"]
    pd.testing.assert_frame_equal(found[0].curve, found[1].curve)
    assert {"frozen", "fine_tuned"} == set(found[0].curve["method"])
    assert set(found[0].tests["control"]) == {"frozen"}
    assert before == (model / "model.safetensors").read_bytes()


def test_by_corpus_reads_other_subjects(model: Path, tmp_path: Path) -> None:
    store = make_store(tmp_path, planted=0.5, subjects=4, trials=8)
    found = run(model, store, tmp_path / "out", Settings(by="corpus", draws=3, methods=("frozen", "de")))
    assert set(found.curve["n"]) == {1, 2} and value(found, "de", 2) > 0.7


@pytest.mark.parametrize("by", ["subject", "corpus"])
def test_a_saved_model_answers_as_it_was_fitted(model: Path, tmp_path: Path, by: str) -> None:
    store = make_store(tmp_path, planted=3.0, subjects=4, trials=8)
    settings = Settings(by=by, draws=2, methods=("frozen",))  # type: ignore[arg-type]
    whose = {"subject": "s1"} if by == "subject" else {}
    run(model, store, tmp_path / "out", settings, save=tmp_path / "mine", **whose)
    mine, given = from_pretrained(tmp_path / "mine"), open_both(model, store)
    assert mine.labels == ("negative", "positive") and mine.modes == ("whole", "causal")
    right = []
    for (subject, _), at in groups(given.task.table).items():
        answers = mine.predict(cut(given.store, given.task.table, at), given.store.channels).probabilities
        if subject == "s1" or by == "corpus":
            right.append(float((answers.argmax(1).numpy() == given.task.codes[at]).mean()))  # type: ignore[union-attr]
    assert min(right) > 0.8  # of what it was fitted on
    worth = mine.config["modes"]["whole"]["scores"]
    assert worth["people"] == (1 if by == "subject" else 4)
    assert worth["classes"]["low"] <= worth["classes"]["balanced_accuracy"] <= worth["classes"]["high"]
    assert worth["classes"]["balanced_accuracy"] > 0.6
    origin = mine.config["trained"]["adapted"]
    assert origin["scored_with"] == 2 and origin["trials"] == (8 if by == "subject" else 32)
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "**Calibrated**" in card and ("other trials of the same person" in card) is (by == "subject")
    assert "s1" not in (tmp_path / "mine" / "config.json").read_text() + card
    assert torch.equal(
        torch.cat([one.flatten() for one in mine.encoder.state_dict().values()]),
        torch.cat([one.flatten() for one in given.model.encoder.state_dict().values()]),
    )


def test_a_saved_read_out_is_the_regression_on_all_trials_of_that_subject(model: Path, tmp_path: Path) -> None:
    store = make_store(tmp_path, planted=0.5, subjects=2, trials=8)
    run(model, store, tmp_path / "out", save=tmp_path / "mine", subject="s1")
    mine, given = from_pretrained(tmp_path / "mine"), open_both(model, store)
    at = groups(given.task.table)["s1", 1]
    windows = cut(given.store, given.task.table, at)
    x = given.model.features(windows, given.store.channels, "causal").double().numpy()
    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000)).fit(x, given.task.codes[at])
    odds = fitted.decision_function(x) / mine.config["modes"]["causal"]["temperature"]
    found = mine.predict(windows, given.store.channels, "causal").probabilities
    np.testing.assert_allclose(found[:, 1].numpy(), 1 / (1 + np.exp(-odds)), atol=1e-4)  # type: ignore[index]


def test_scores_of_a_saved_model_are_of_trials_left_out(model: Path, tmp_path: Path) -> None:
    store = make_store(tmp_path, subjects=1, trials=24)  # nothing to learn: fitted windows would be all right
    run(model, store, tmp_path / "out", Settings(draws=6, methods=("frozen",)), save=tmp_path / "mine", subject="s0")
    worth = json.loads((tmp_path / "mine" / "config.json").read_text())["modes"]["whole"]["scores"]["classes"]
    assert abs(worth["balanced_accuracy"] - 0.5) < 0.2 and worth["low"] < 0.5 < worth["high"]


def test_another_recipe_is_refused_with_both_hashes(model: Path, tmp_path: Path) -> None:
    store = make_store(tmp_path, recipe="mdjpt_no_ica")
    with pytest.raises(BadInput, match=r"recipe: found [0-9a-f]{16}, expected [0-9a-f]{16}") as error:
        run(model, store, tmp_path / "out")
    assert json.loads((model / "config.json").read_text())["recipe"]["hash"] in str(error.value)
    assert not (tmp_path / "out").exists()


def test_damage_is_named(model: Path, planted: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(planted, tmp_path / planted.name))
    (signal,) = list((store / "signals").iterdir())[:1]
    content = bytearray(signal.read_bytes())
    content[-1] ^= 255
    signal.write_bytes(content)
    with pytest.raises(BadInput, match="damaged"):
        run(model, store, tmp_path / "out")
    other = Path(shutil.copytree(model, tmp_path / "model"))
    (other / "config.json").write_text("{}")
    with pytest.raises(BadInput, match="model folder"):
        run(other, planted, tmp_path / "out")


@pytest.mark.parametrize(
    ("settings", "more", "said"),
    [
        (Settings(methods=("given",)), {}, "--methods: found given, expected another: the model has no classifier"),
        (Settings(mode="frozen"), {}, "--mode: found frozen, expected one of: whole, causal"),
        (Settings(sizes=(9,)), {}, "room for 4 of each class"),
        (Settings(draws=0), {}, "--draws: found 0"),
        (Settings(methods=("magic",)), {}, "--methods: found 'magic', expected one of: given, frozen"),  # type: ignore[arg-type]
        (Settings(by="corpus", order="first"), {}, "--order: found first with --by corpus"),
        (Settings(classes=("negative", "odd")), {}, "--classes: found 'odd', expected some of: negative, positive"),
        (QUICK, {"subject": "s1"}, "--subject: found no --save"),
        (QUICK, {"save": "mine"}, "--subject: found none, expected one of: s0, s1, s2"),
        (QUICK, {"save": "mine", "subject": "x"}, "--subject: found 'x'"),
        (Settings(by="corpus"), {"save": "mine", "subject": "s1"}, "--subject: found given with --by corpus"),
    ],
)
def test_what_cannot_be_done_is_said(
    model: Path, planted: Path, tmp_path: Path, settings: Settings, more: dict[str, str], said: str
) -> None:
    where = {"save": tmp_path / more["save"]} if "save" in more else {}
    with pytest.raises(BadInput, match=said):
        run(model, planted, tmp_path / "out", settings, **{**more, **where})
    assert list(tmp_path.iterdir()) == []


def test_one_class_and_no_label_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="own: label: found one class"):
        run(model, make_store(tmp_path / "one", label=lambda subject, trial: "positive"), tmp_path / "out")
    with pytest.raises(BadInput, match="own: label: found no labelled trial"):
        run(model, make_store(tmp_path / "none", label=lambda subject, trial: None), tmp_path / "out")


def test_classes_that_were_asked_for_alone(model: Path, tmp_path: Path) -> None:
    store = make_store(
        tmp_path, subjects=1, label=lambda subject, trial: ("negative", "positive", "neutral")[trial % 3]
    )
    given = open_both(model, store, ("positive", "neutral"))
    assert given.task.labels == ("neutral", "positive") and set(given.task.table["label"]) == {"neutral", "positive"}
    assert [given.task.labels[code] for code in given.task.codes] == given.task.table["label"].tolist()


def test_a_class_in_one_block_is_told() -> None:
    trials = table(3, 2, 8, 1, 0)
    assert blocked(trials, ("a", "b")) == []
    trials["code"] = [0, 0, 0, 1, 2, 1, 2, 1] * 3
    assert blocked(trials, ("rest", "13", "17")) == ["rest"]
    trials.loc[:15, "code"] = [0, 1, 0, 1, 0, 2, 1, 2] * 2  # two of three people otherwise
    assert blocked(trials, ("rest", "13", "17")) == []


def test_summary_and_tests_by_hand() -> None:
    assert balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])) == pytest.approx((2 / 3 + 1) / 2)
    rows = [
        {"method": method, "n": 1, "unit": "window", "subject": f"s{k}", "draws": 1, "value": base + 0.01 * k}
        for method, base in (("frozen", 0.6), ("de", 0.5), ("untrained", 0.6))
        for k in range(8)
    ]
    subjects, config = pd.DataFrame(rows), EvaluateConfig()
    curve = summary(subjects, 0.5, config).set_index("method")
    assert curve.loc["frozen", "value"] == pytest.approx(0.635)
    assert curve.loc["frozen", "low"] < 0.635 < curve.loc["frozen", "high"]
    tests = compared(subjects, config).set_index("control")
    assert tests.loc["de", "difference"] == pytest.approx(0.1) and tests.loc["de", "permutation_holm"] < 0.05
    assert tests.loc["untrained", "permutation_holm"] == 1.0
