from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from statsmodels.stats.multitest import multipletests

from mdjpt_platform.evaluate.metrics import bootstrap_interval, chance_levels, confusion, holm, paired_tests, scores_of


def test_scores_against_scikit_learn():
    random = np.random.default_rng(0)
    codes, raw = random.integers(3, size=60), random.random((60, 3))
    scores = raw / raw.sum(1, keepdims=True)
    found = scores_of(codes, scores, 3)
    assert found["accuracy"] == (scores.argmax(1) == codes).mean()
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(codes, scores.argmax(1)))
    assert found["auroc"] == pytest.approx(roc_auc_score(codes, scores, multi_class="ovr", average="macro"))
    counts = confusion(codes, scores.argmax(1), 3)
    f1 = 2 * np.diag(counts) / (counts.sum(0) + counts.sum(1))
    assert found["macro_f1"] == pytest.approx(f1.mean())


def test_a_class_that_the_subject_never_saw():
    codes = np.array([0, 0, 1, 1])
    scores = np.eye(4)[[0, 0, 1, 3]]
    found = scores_of(codes, scores, 4)
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == 0.75  # classes 2 and 3 have no recall
    assert found["macro_f1"] == pytest.approx(
        (1 + 2 / 3 + 0) / 3
    )  # 3 was answered wrongly, 2 neither seen nor answered
    assert found["auroc"] == pytest.approx((1 + 0.75) / 2)
    single = scores_of(np.zeros(3, np.int64), np.eye(2)[[0, 0, 1]], 2)
    assert math.isnan(single["auroc"]) and single["accuracy"] == pytest.approx(2 / 3)
    assert confusion(codes, scores.argmax(1), 4).shape == (4, 4)


def test_bootstrap_interval():
    values = np.random.default_rng(0).normal(0.6, 0.1, 40)
    low, high = bootstrap_interval(values, 4000, seed=1)
    half = 1.96 * values.std() / math.sqrt(40)
    assert low == pytest.approx(values.mean() - half, abs=0.005)
    assert high == pytest.approx(values.mean() + half, abs=0.005)
    assert bootstrap_interval(values, 4000, seed=1) == (low, high)
    assert bootstrap_interval(np.array([0.5, np.nan]), 100, 0) == (0.5, 0.5)
    assert all(math.isnan(one) for one in bootstrap_interval(np.array([np.nan]), 100, 0))


def test_chance_of_guessers():
    trials = [(np.array([0, 0, 0, 1]), np.array([2, 2, 2, 2]))] * 3
    found = chance_levels(trials, 2, 4000, seed=0)
    assert found["accuracy"].level == 0.75
    assert found["balanced_accuracy"].level == found["auroc"].level == 0.5
    # Twelve independent guesses of 1/2.
    assert found["accuracy"].low == pytest.approx(0.5 - 1.96 * math.sqrt(0.25 / 12), abs=0.05)
    assert found["accuracy"].high == pytest.approx(0.5 + 1.96 * math.sqrt(0.25 / 12), abs=0.05)
    assert 0.3 < found["macro_f1"].level < 0.5
    for one in found.values():
        assert one.low < one.high
    lengths = chance_levels([(np.array([0, 1]), np.array([9, 1]))], 2, 4000, seed=0)
    assert lengths["accuracy"].level == 0.9


def table_of(values: dict[str, np.ndarray], **key) -> pd.DataFrame:
    base = {"readout": "few_shot", "lds": "off", "metric": "accuracy"} | key
    return pd.DataFrame(
        [
            base | {"method": m, "subject": f"{i:02d}", "value": v}
            for m, each in values.items()
            for i, v in enumerate(each)
        ]
    )


def test_paired_tests_against_enumeration_and_holm_by_hand():
    random = np.random.default_rng(0)
    base = random.normal(0.5, 0.05, 8)
    values = {"trained": base + random.normal(0.04, 0.02, 8), "random": base, "de": base + 0.03}
    found = paired_tests(table_of(values), "trained", ["random", "de"], seed=0).set_index("control")
    gap = values["trained"] - values["random"]
    means = [abs(np.mean(gap * signs)) for signs in itertools.product((1, -1), repeat=8)]
    exact = np.mean(np.array(means) >= abs(gap.mean()) - 1e-12)
    assert found.loc["random", "p_permutation"] == pytest.approx(exact)
    assert found.loc["random", "p_wilcoxon"] == wilcoxon(gap).pvalue
    assert found.loc["random", "effect"] == pytest.approx(gap.mean() / gap.std(ddof=1))
    assert found.loc["random", "difference"] == pytest.approx(gap.mean())
    small, large = sorted(found["p_wilcoxon"])
    assert sorted(found["wilcoxon_holm"]) == pytest.approx([min(1, 2 * small), min(1, max(2 * small, large))])


def test_paired_tests_on_little():
    same = paired_tests(table_of({"trained": np.ones(5), "de": np.ones(5)}), "trained", ["de"], 0).iloc[0]
    assert same["p_wilcoxon"] == same["p_permutation"] == same["wilcoxon_holm"] == 1.0
    one = paired_tests(table_of({"trained": np.ones(1), "de": np.zeros(1)}), "trained", ["de"], 0).iloc[0]
    assert one["n_subjects"] == 1 and math.isnan(one["p_wilcoxon"]) and math.isnan(one["wilcoxon_holm"])
    gaps = table_of({"trained": np.array([1, 2, np.nan, 3.0]), "de": np.zeros(4)}, metric="auroc")
    assert paired_tests(gaps, "trained", ["de"], 0).iloc[0]["n_subjects"] == 3
    assert paired_tests(gaps, "trained", [], 0).empty


def test_holm_against_statsmodels():
    p = np.random.default_rng(0).random(9) ** 3
    np.testing.assert_allclose(holm(pd.Series(p)), multipletests(p, method="holm")[1])
    gap = holm(pd.Series([0.01, np.nan, 0.04]))
    np.testing.assert_allclose(gap, [0.02, np.nan, 0.04])
    assert np.isnan(holm(pd.Series([np.nan]))).all()
