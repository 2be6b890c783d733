from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mdjpt_platform.errors import BadInput
from mdjpt_platform.study.scores import NothingInCommon, named, one_score, scores_of
from mdjpt_platform.study.simulated import tidy

ARMS = ("base", "arm")


def blocks() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.random((4, 3, 2)), random.random((3, 3, 2))]


def table() -> pd.DataFrame:
    return tidy(blocks(), "arm", ARMS)


def wanted(data: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(sorted(set(data["target"])), ARMS)


def test_there_and_back_in_any_order():
    shuffled = table().sample(frac=1, random_state=0)
    found = scores_of(shuffled, "arm", wanted(shuffled))
    for values, block in zip(found.values.values(), blocks(), strict=True):
        np.testing.assert_array_equal(values, block)
    assert found.seeds == (0, 1, 2) and found.notes == ()


def test_rows_of_one_score():
    data = table()
    mixed = pd.concat([data, data.assign(metric="auroc", score=0.0)], ignore_index=True)
    assert one_score(mixed, "accuracy", "few_shot", "off")["score"].equals(data["score"])
    ledger = mixed.rename(columns={"score": "value"})
    assert one_score(ledger, "accuracy", "few_shot", "off")["score"].equals(data["score"])
    with pytest.raises(BadInput, match="metric: found accuracy, auroc, expected macro_f1"):
        one_score(mixed, "macro_f1", "few_shot", "off")
    with pytest.raises(BadInput, match="method: found trained, expected random"):
        one_score(mixed, "auroc", "few_shot", "off", method="random")
    with pytest.raises(BadInput, match=r"columns: .* expected lds"):
        one_score(mixed.drop(columns="lds"), "auroc", "few_shot", "off")


def test_splits_of_one_encoder_are_averaged():
    data = table()
    splits = pd.concat([data.assign(split=0, cell="x"), data.assign(split=1, cell="y", score=data["score"] + 0.2)])
    found = scores_of(one_score(splits, "accuracy", "few_shot", "off"), "arm", wanted(data))
    np.testing.assert_allclose(found.values["target-0"], blocks()[0] + 0.1)


def test_two_rows_for_one_score():
    data = table()
    where = "target target-1, arm arm, seed 2, subject 001: found 2 rows"
    twice = pd.concat([data, data[-2:-1].assign(subject="001", arm="arm", seed=2)])
    with pytest.raises(BadInput, match=where):
        scores_of(twice, "arm", wanted(data))


def test_a_seed_that_one_cell_lacks():
    data = table()
    failed = data[~((data["target"] == "target-1") & (data["arm"] == "arm") & (data["seed"] == 1))]
    found = scores_of(failed, "arm", wanted(data))
    assert found.seeds == (0, 2)
    np.testing.assert_array_equal(found.values["target-0"], blocks()[0][:, [0, 2]])
    assert found.notes == ("1 seed left out (1): not every cell has it",)
    apart = pd.concat(
        [data[(data["arm"] == "arm") & (data["seed"] == 1)], data[(data["arm"] == "base") & (data["seed"] != 1)]]
    )
    with pytest.raises(NothingInCommon, match="a seed that every arm"):
        scores_of(apart, "arm", wanted(data))


def test_a_subject_without_a_score():
    data = table()
    data.loc[(data["subject"] == "002") & (data["target"] == "target-0") & (data["seed"] == 1), "score"] = np.nan
    found = scores_of(data, "arm", wanted(data))
    np.testing.assert_array_equal(found.values["target-0"], blocks()[0][[0, 1, 3]])
    assert found.notes == ("target-0: 1 of 4 subjects left out: a score is missing",)
    data.loc[(data["subject"] != "000") & (data["target"] == "target-1") & (data["seed"] == 1), "score"] = np.nan
    assert list(scores_of(data, "arm", wanted(data)).values) == ["target-0"]
    data.loc[(data["subject"] != "000") & (data["seed"] == 1), "score"] = np.nan
    with pytest.raises(NothingInCommon, match="2 subjects of one target"):
        scores_of(data, "arm", wanted(data))


def test_an_arm_that_was_not_run():
    with pytest.raises(BadInput, match="arm of target target-0: found no row, expected other"):
        scores_of(table(), "arm", {"target-0": ("base", "other")})


def test_names_of_arms():
    assert named(frozenset({"seed", "faced"})) == "faced + seed"
    assert named(frozenset()) == "untrained" and named(0.5) == "0.5"
