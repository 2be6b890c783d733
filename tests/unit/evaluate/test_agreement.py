"""R2 and concordance against their definitions, their summary, and what guessing gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import r2_score

from mdjpt_platform.evaluate.agreement import Answers, ccc, coordinate_scores, r2


def people(count, trials, answer, seed=0, stimuli=None, folds=1):
    """Answers of `count` subjects; `answer(truth, random)`."""
    random = np.random.default_rng(seed)
    truth = random.uniform(-1, 1, trials)
    found = []
    for fold in range(folds):
        for who in range(count):
            own = np.arange(trials) if stimuli is None else stimuli(who)
            found.append(Answers(fold, f"{who:02d}", own, truth, answer(truth, random), np.full(trials, 0.1)))
    return found


def summary_of(found, seed=0):
    return coordinate_scores(found, "valence", 500, seed)[1].set_index("metric")


def test_concordance_at_its_known_limits():
    x = np.random.default_rng(0).uniform(-1, 1, 30)
    assert ccc(x, x) == pytest.approx(1)
    assert ccc(x - x.mean(), -(x - x.mean())) == pytest.approx(-1)
    assert ccc(x, np.full(30, 0.4)) == pytest.approx(0, abs=1e-15)
    # Shift alone and scale alone, by hand: both cost, while a correlation stays 1.
    assert ccc(x, x + 0.5) == pytest.approx(2 * x.var() / (2 * x.var() + 0.25))
    centred = x - x.mean()
    assert ccc(centred, 3 * centred) == pytest.approx(2 * 3 / (1 + 9))
    assert math.isnan(ccc(np.full(9, 0.2), x[:9])) and math.isnan(r2(np.full(9, 0.2), x[:9]))


def test_scores_by_subject_and_over_all_trials():
    found = people(5, 12, lambda truth, random: 0.6 * truth + random.normal(0, 0.4, 12), folds=2)
    people_table, rows = coordinate_scores(found, "valence", 500, 0)
    own = people_table.set_index(["metric", "subject"])["value"]
    rows = rows.set_index("metric")
    for name, score in (("r2", r2_score), ("ccc", ccc)):
        for subject in range(5):
            mine = [score(one.truth, one.answers) for one in found if one.subject == f"{subject:02d}"]
            assert own[f"valence_{name}", f"{subject:02d}"] == pytest.approx(np.mean(mine))
        assert rows.loc[f"valence_{name}", "value"] == pytest.approx(own[f"valence_{name}"].mean())
        halves = [[one for one in found if one.fold == fold] for fold in (0, 1)]
        whole = [
            score(np.concatenate([one.truth for one in half]), np.concatenate([one.answers for one in half]))
            for half in halves
        ]
        pooled = rows.loc[f"valence_{name}_pooled"]
        assert pooled["value"] == pytest.approx(np.mean(whole))
        assert pooled["low"] < pooled["value"] < pooled["high"] and pooled["n_subjects"] == 5
    level = np.mean([r2_score(one.truth, one.blind) for one in found])
    assert rows.loc["valence_r2", "chance"] == pytest.approx(level) and level < 0
    assert rows.loc["valence_ccc", "chance"] == rows.loc["valence_ccc_pooled", "chance"] == 0


def test_pooled_interval_is_that_of_drawn_subjects():
    """Half the subjects answer perfectly, half are mirrored: whole subjects are drawn, not trials."""
    found = people(8, 10, lambda truth, random: truth)
    found = [Answers(o.fold, o.subject, o.stimuli, o.truth, o.truth * (1 - 2 * (n % 2)), o.blind)
             for n, o in enumerate(found)]  # fmt: skip
    row = summary_of(found).loc["valence_ccc_pooled"]
    truth = found[0].truth
    drawn = np.random.default_rng(7).integers(8, size=(2000, 8)) % 2
    values = [ccc(np.tile(truth, 8), np.concatenate([truth * (1 - 2 * k) for k in one])) for one in drawn]
    low, high = np.percentile(values, [2.5, 97.5])
    assert row["low"] == pytest.approx(low, abs=0.15) and row["high"] == pytest.approx(high, abs=0.15)


def test_a_constant_truth_has_no_score_of_its_own_but_its_trials_count():
    found = people(4, 10, lambda truth, random: truth + random.normal(0, 0.1, 10))
    found[1] = Answers(0, "01", found[1].stimuli, np.full(10, 0.25), found[1].answers, found[1].blind)
    own, rows = coordinate_scores(found, "valence", 200, 0)
    assert own[own["value"].isna()]["subject"].tolist() == ["01", "01"] and len(own) == 8
    rows = rows.set_index("metric")
    assert rows.loc["valence_r2", "n_subjects"] == 3 and rows.loc["valence_ccc", "value"] > 0.9
    together = ccc(*(np.concatenate([getattr(one, side) for one in found]) for side in ("truth", "answers")))
    assert rows.loc["valence_ccc_pooled", "value"] == pytest.approx(together)
    flat = [Answers(0, one.subject, one.stimuli, np.full(10, 0.25), one.answers, one.blind) for one in found]
    nothing = summary_of(flat)
    assert nothing["value"].isna().all() and nothing.loc["valence_r2", "n_subjects"] == 0


def test_guessers_that_watch_the_same_err_together():
    """Answers that depend on the stimulus alone: where all saw the same, more subjects are no more evidence."""

    def by_stimulus(truth, random):
        return np.random.default_rng(3).uniform(-1, 1, len(truth))

    same = summary_of(people(40, 10, by_stimulus)).loc["valence_ccc"]
    apart = summary_of(people(40, 10, by_stimulus, stimuli=lambda who: np.arange(10) + 10 * who)).loc["valence_ccc"]
    assert same["chance_high"] > 0.35 > 0.15 > apart["chance_high"]
    # The order in which trials were played does not make them different stimuli.
    turned = [
        Answers(o.fold, o.subject, *(np.roll(x, k) for x in (o.stimuli, o.truth, o.answers, o.blind)))
        for k, o in enumerate(people(40, 10, by_stimulus))
    ]
    assert summary_of(turned).loc["valence_ccc", "chance_high"] == pytest.approx(same["chance_high"])


def test_nineteen_of_twenty_guesses_lie_in_the_band():
    inside, level = 0, []
    for seed in range(60):
        guessed = np.random.default_rng(seed).uniform(-1, 1, 12)
        found = people(6, 12, lambda truth, random, guessed=guessed: guessed + random.normal(0, 0.2, 12), seed + 500)
        row = summary_of(found, seed).loc["valence_ccc"]
        inside += row["chance_low"] <= row["value"] <= row["chance_high"]
        level.append(row["value"])
    assert 52 <= inside <= 60 and abs(np.mean(level)) < 0.1
    # An answer that knows something is outside.
    known = summary_of(people(6, 12, lambda truth, random: truth + random.normal(0, 0.3, 12))).loc["valence_ccc"]
    assert known["low"] > known["chance_high"]
