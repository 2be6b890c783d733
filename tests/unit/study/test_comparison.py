from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.metrics import holm
from mdjpt_platform.study.comparison import compare, compare_gaps
from mdjpt_platform.study.interval import bounds, spread
from mdjpt_platform.study.paired import hedges_dz, paired_test, rank_biserial, sign_flip, smallest_p, stouffer
from mdjpt_platform.study.simulated import Spread, draw, tidy


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def study(effects: dict[str, float], spread_: Spread = Spread(), seed: int = 0) -> pd.DataFrame:  # noqa: B008
    values, _ = draw(spread_, list(effects.values()), 1, random(seed))
    return tidy([block[0] for block in values], "arm", list(effects))


def test_sign_flip_against_enumeration_and_many_at_once():
    gaps = random().normal(0.02, 0.05, (3, 8))
    found = sign_flip(gaps, random())
    for gap, p in zip(gaps, found, strict=True):
        means = [abs(np.dot(gap, signs)) for signs in itertools.product((1, -1), repeat=8)]
        assert p == np.mean(np.array(means) >= abs(gap.sum()) - 1e-12)
    assert sign_flip(np.full(6, 0.1), random()) == 2 / 64
    assert sign_flip(np.zeros(7), random()) == 1


def test_drawn_signs_agree_with_scipy_and_with_themselves():
    gap = random(1).normal(0.03, 0.06, 20)
    known = stats.permutation_test((gap,), np.mean, permutation_type="samples", n_resamples=20000, rng=random(2))
    assert sign_flip(gap, random(3)) == pytest.approx(known.pvalue, abs=0.01)
    assert sign_flip(gap, random(3)) == sign_flip(gap, random(3)) > 0
    assert sign_flip(np.ones(30), random()) == 1 / 10001  # never 0


def test_wilcoxon_is_scipys():
    gaps = random().normal(0.02, 0.05, (2, 9))
    found = paired_test(gaps, "wilcoxon", random())
    assert found.tolist() == [stats.wilcoxon(gap).pvalue for gap in gaps]
    assert paired_test(np.stack([gaps[0], np.zeros(9)]), "wilcoxon", random()).tolist() == [found[0], 1]


def test_five_subjects_are_not_tested():
    assert np.isnan(paired_test(np.ones((2, 5)), "permutation", random())).all()
    found = compare_gaps({"few": random().normal(0.1, 0.01, (5, 3)), "enough": random().normal(0.1, 0.01, (6, 3))})
    few, enough = found.by_target
    assert math.isnan(few.p) and found.p_subjects == pytest.approx(enough.p) == 2 / 64
    assert found.notes == ("few: 5 subjects, no test below 6",)
    alone = compare_gaps({"few": random().normal(0.1, 0.01, (5, 3))})
    assert math.isnan(alone.p) and not alone.shown and "were not tested" in alone.sentence()


def test_stouffer_is_scipys():
    p, direction, subjects = [0.02, 0.3, 0.6], [1.0, 1.0, -1.0], [15, 8, 30]
    one_sided = [p[0] / 2, p[1] / 2, 1 - p[2] / 2]
    known = stats.combine_pvalues(one_sided, "stouffer", weights=np.sqrt(subjects)).pvalue
    found = stouffer([np.array(one) for one in p], [np.array(one) for one in direction], subjects)
    assert float(found) == pytest.approx(2 * min(known, 1 - known))
    assert float(stouffer([np.array(0.03)], [np.array(-1.0)], [9])) == pytest.approx(0.03)
    assert np.isnan(stouffer([np.array(np.nan)], [np.array(1.0)], [4]))
    assert smallest_p([6, 4]) == pytest.approx(2 / 64) and math.isnan(smallest_p([4]))


def test_effect_sizes():
    gap = np.array([0.1, 0.3, -0.05, 0.2])
    correction = math.gamma(1.5) / (math.sqrt(1.5) * math.gamma(1))
    assert hedges_dz(gap) == pytest.approx(correction * gap.mean() / gap.std(ddof=1))
    assert hedges_dz(np.tile(gap, 100)) == pytest.approx(gap.mean() / np.tile(gap, 100).std(ddof=1), rel=0.01)
    assert math.isnan(hedges_dz(np.full(6, 0.1))) and math.isnan(hedges_dz(gap[:2]))
    assert rank_biserial(gap) == pytest.approx((2 + 4 + 3 - 1) / 10)
    assert rank_biserial(np.array([0.0, 0.2, 0.0])) == 1 and rank_biserial(np.zeros(3)) == 0


def test_a_family_from_its_table():
    data = study({"base": 0.6, "worse": 0.5, "same": 0.6, "better": 0.7})
    found = compare(data, "arm", "base", family="losses", test="wilcoxon")
    assert [one.arm for one in found.comparisons] == ["better", "same", "worse"] and found.left_out == ()
    wide = data.groupby(["target", "subject", "arm"])["score"].mean().unstack()
    gap = wide["worse"] - wide["base"]
    worse = found.comparisons[2]
    assert worse.difference.value == pytest.approx(gap.groupby("target").mean().mean())
    assert [one.p for one in worse.by_target] == pytest.approx(
        [stats.wilcoxon(part).pvalue for _, part in gap.groupby("target")]
    )
    assert worse.dz == pytest.approx(np.mean([hedges_dz(part.to_numpy()) for _, part in gap.groupby("target")]))
    assert worse.p == max(worse.p_subjects, worse.difference.p)
    known = multipletests([one.p for one in found.comparisons], method="holm")[1]
    assert [one.p_holm for one in found.comparisons] == pytest.approx(known.tolist())
    assert [one.shown for one in found.comparisons] == [True, False, True]
    assert worse.sentence().startswith("worse scores lower than base: −")
    assert found.comparisons[1].sentence().startswith("No difference shown between same and base")
    table = found.table()
    assert table["shown"].tolist() == [True, False, True] and (table["n_subjects"] == 45).all()
    again = compare(data.sample(frac=1, random_state=1), "arm", "base", family="losses", test="wilcoxon")
    assert again == found


def test_an_arm_without_effect_is_called_so():
    data = study({"base": 0.6})
    twice = pd.concat([data, data.assign(arm="idle")])
    (one,) = compare(twice, "arm", "base", family="x").comparisons
    assert one.sentence().startswith("idle and base have the same score in every subject and seed")


def test_same_seed_same_numbers():
    data = study({"base": 0.6, "arm": 0.62})
    first, second, third = (compare(data, "arm", "base", family="x", seed=seed) for seed in (1, 1, 2))
    assert first == second and first != third
    assert first.comparisons[0].p_subjects == pytest.approx(third.comparisons[0].p_subjects, abs=0.01)


def test_luck_of_training_is_told_apart():
    random_ = random(5)
    lucky = random_.normal(0, 0.02, (30, 1)) + np.array([[0.09, 0.02, 0.001]]) + random_.normal(0, 0.01, (30, 3))
    found = compare_gaps({"t": lucky})
    assert found.p_subjects < 0.001 < 0.05 < found.p == found.difference.p
    family = compare(tidy([np.stack([0 * lucky, lucky], -1)], "arm", ["base", "arm"]), "arm", "base", family="x")
    assert "another seed may turn it" in family.comparisons[0].sentence()


def test_what_cannot_be_compared_is_named():
    data = study({"base": 0.6, "one": 0.6, "two": 0.6, "three": 0.6})
    data = data[(data["arm"] != "one") | (data["target"] == "target-0")]  # failed on two targets
    data = data[(data["arm"] != "two") | (data["seed"] == 9)]  # failed altogether
    data = pd.concat([data, study({"two": 0.6}).assign(target="elsewhere")])
    found = compare(data, "arm", "base", family="x")
    assert [one.arm for one in found.comparisons] == ["one", "three"]
    assert found.left_out == ("two: no target in common with base",)
    assert found.comparisons[0].notes == ("target-1: one arm alone was run", "target-2: one arm alone was run")
    other = data[(data["arm"] != "one")].copy()
    other.loc[other["arm"] == "three", "seed"] += 10
    assert "three: study table: seed: found" in compare(other, "arm", "base", family="x").left_out[0]


def test_refused():
    data = study({"base": 0.6, "one": 0.6})
    with pytest.raises(BadInput, match="arm: found base, one, expected basis"):
        compare(data, "arm", "basis", family="x")
    with pytest.raises(BadInput, match="variant: found nothing, expected base"):
        compare(data, "variant", "base", family="x")
    with pytest.raises(BadInput, match="arm: found no row, expected two"):
        compare(data, "arm", "base", ["one", "two"], family="x")
    with pytest.raises(BadInput, match="found 2 rows"):
        compare(pd.concat([data, data]), "arm", "base", family="x")
    five = Spread(subjects=(7,) * 5)
    assert compare(study({"base": 0.6, "one": 0.6}, five), "arm", "base", family="x", drawn_targets=True).comparisons
    with pytest.raises(BadInput, match="targets: found 3, expected at least 5"):
        compare(data, "arm", "base", family="x", drawn_targets=True)


def test_too_few_subjects_for_the_family_is_said():
    data = study({"base": 0.6, "one": 0.9, "two": 0.9}, Spread(subjects=(6,)))
    found = compare(data, "arm", "base", family="x")
    assert found.comparisons[0].notes == ("few subjects: no p below 0.031 is possible, Holm may ask for 0.025",)


def decisions(design: Spread, effects: list[float], studies: int) -> np.ndarray:
    """p of every study and arm but the first; what compare_gaps gives, for many studies at once."""
    values, _ = draw(design, effects, studies, random(7))
    gaps = [np.moveaxis(block[..., 1:] - block[..., :1], -1, 1) for block in values]
    means = [gap.mean(-1) for gap in gaps]
    each = [paired_test(mean, "permutation", random(8)) for mean in means]
    over = stouffer(each, [mean.mean(-1) for mean in means], [mean.shape[-1] for mean in means])
    one = compare_gaps({str(place): gap[0, 0] for place, gap in enumerate(gaps)})
    assert float(over[0, 0]) == pytest.approx(one.p_subjects, abs=0.02)
    return np.maximum(over, bounds(*spread(gaps))[2])


@pytest.mark.parametrize("training", [0.0, 0.02])
def test_family_wise_error_and_power(training):
    design, studies = Spread(subjects=(10, 12, 15), training=training), 500
    limit = 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)
    p = decisions(design, [0.6] * 5 + [0.68], studies)
    adjusted = np.array([holm(pd.Series(one)) for one in p])
    assert (adjusted[:, :4] <= 0.05).any(1).mean() < limit
    assert (p[:, :4] <= 0.05).any(1).mean() > 0.06  # what Holm is for
    assert (adjusted[:, 4] <= 0.05).mean() > (0.9 if training == 0 else 0.3)


def test_type_1_error_of_subjects_alone_where_no_training_is_lucky():
    gaps, _ = draw(Spread(subjects=(12,), training=0), [0.6, 0.6], 2000, random(9))
    means = (gaps[0][..., 1] - gaps[0][..., 0]).mean(-1)
    for test in ("permutation", "wilcoxon"):
        assert 0.035 < (paired_test(means, test, random()) <= 0.05).mean() < 0.06
