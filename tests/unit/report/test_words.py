"""Sentences, tables, positions and the terminal."""

from __future__ import annotations

import io
import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from mdjpt_model.montage import UNIFIED
from mdjpt_platform.private import without_subjects
from mdjpt_platform.report import TargetInputs
from mdjpt_platform.report.console import print_results
from mdjpt_platform.report.scalp import flat_positions
from mdjpt_platform.report.summary import findings
from mdjpt_platform.report.tables import against_chance, metrics_of, result_table
from mdjpt_platform.report.wording import (
    METHODS,
    READOUTS,
    interval,
    number,
    ordered,
    p_value,
    percent,
    plain,
    pseudonyms,
    readout_name,
)


def one_score(low: float, high: float, holm: float, difference: float, protocol: str = "strict") -> TargetInputs:
    rows = [
        {"target": "t", "method": m, "readout": "few_shot", "lds": "off", "metric": "accuracy", "value": v, "low": low}
        | {"high": high, "chance": 0.5, "n_subjects": 8, "protocol": protocol}
        for m, v in (("trained", (low + high) / 2), ("random", 0.5))
    ]
    test = {"readout": "few_shot", "lds": "off", "metric": "accuracy", "method": "trained", "control": "random"}
    found = {"difference": difference, "effect": 1.0, "p_permutation": 0.001, "permutation_holm": holm}
    tests = pd.DataFrame([test | found])
    return TargetInputs("t", pd.DataFrame(rows), tests=tests)


@pytest.mark.parametrize(
    ("low", "high", "holm", "difference", "protocol", "verdict", "words"),
    [
        (
            0.6,
            0.8,
            0.01,
            0.1,
            "strict",
            "good",
            ["70.0 % accuracy [60.0, 80.0]", "above chance (50.0 %)", "Better"],
        ),
        (0.6, 0.8, 0.20, 0.1, "strict", "open", ["above chance", "No significant difference", "Holm p = 0.200"]),
        (0.6, 0.8, 0.01, -0.1, "strict", "open", ["above chance", "Worse than", "−10.0 points"]),
        (0.4, 0.8, 0.01, 0.1, "strict", "open", ["not told apart from chance"]),
        (0.1, 0.4, 0.01, 0.1, "strict", "bad", ["below chance"]),
        (math.nan, math.nan, 0.01, 0.1, "strict", "bad", ["No score"]),
        (0.6, 0.8, 0.0001, 0.1, "published", "open", ["Holm p < 0.001"]),
    ],
)
def test_sentences_follow_the_numbers(
    low: float, high: float, holm: float, difference: float, protocol: str, verdict: str, words: list[str]
) -> None:
    (found,) = findings(one_score(low, high, holm, difference, protocol))
    assert found.verdict == verdict and found.about == "few-shot, without LDS"
    assert all(word in found.text for word in words), found.text


def test_an_untested_control_is_no_win() -> None:
    target = one_score(0.6, 0.8, 0.01, 0.1)
    (found,) = findings(TargetInputs("t", target.scores))
    assert found.verdict == "open" and "Not tested against the untrained encoder" in found.text


@pytest.mark.parametrize(
    ("low", "high", "band", "verdict"),
    [
        (0.6, 0.7, (0.4, 0.6), "above"),
        (0.3, 0.4, (0.4, 0.6), "below"),
        (0.5, 0.6, (0.4, 0.5), "level"),
        (0.6, 0.7, (0.3, 0.7), "level"),
        (0.3, 0.4, (0.3, 0.7), "level"),
        (0.6, 0.7, None, "above"),
        (0.4, math.nan, None, ""),
    ],
)
def test_chance_is_left_only_strictly_and_beyond_the_guessers(
    low: float, high: float, band: tuple[float, float] | None, verdict: str
) -> None:
    row = {"value": (low + high) / 2, "low": low, "high": high, "chance": 0.5}
    if band is not None:
        row |= {"chance_low": band[0], "chance_high": band[1]}
    assert against_chance(pd.Series(row)) == verdict


def test_balanced_accuracy_leads_where_classes_are_unequal() -> None:
    scores = one_score(0.6, 0.8, 0.01, 0.1).scores
    assert scores is not None
    both = pd.concat([scores.assign(chance=0.75), scores.assign(metric="balanced_accuracy", chance=0.5)])
    assert metrics_of(both)[0] == "balanced_accuracy"
    assert metrics_of(both.assign(chance=0.5))[0] == "accuracy"


def test_rows_that_lack_a_method_keep_their_columns() -> None:
    scores = one_score(0.6, 0.8, 0.01, 0.1).scores
    assert scores is not None
    more = pd.concat([scores, scores.iloc[:1].assign(readout="loso", lds="causal", n_subjects=7)])
    table = result_table(more, "accuracy")
    assert table.methods == ("Pre-trained", "Untrained encoder")
    assert [[c is not None for c in row.cells] for row in table.rows] == [[True, True], [True, False]]
    assert [(row.readout, row.first, row.subjects) for row in table.rows] == [
        ("few-shot", True, "8"), ("leave one subject out", True, "7"),
    ]  # fmt: skip


def test_words_and_numbers() -> None:
    assert percent(0.12345) == "12.3" and percent(math.nan) == "–" and interval(0.1, 0.2) == "[10.0, 20.0]"
    assert number(-0.5) == "−0.50" and p_value(0.0001) == "< 0.001" and p_value(0.0421) == "0.042"
    assert readout_name("few_shot_stimuli") == "few-shot, held-out stimuli" and readout_name("odd_one") == "odd one"
    assert ordered(["z", "de", "trained"], METHODS) == ["trained", "de", "z"]
    in_order = ["few_shot", "few_shot_stimuli", "zero_shot"]
    assert ordered(reversed(in_order), READOUTS) == in_order
    assert plain("a\x00b\n c" + "x" * 99, 10) == "a b cxxxx…"


def test_pseudonyms_are_in_natural_order_and_unique() -> None:
    assert pseudonyms(["10", "9", "1", "9"]) == {"1": "S01", "9": "S02", "10": "S03"}
    assert pseudonyms(["sub-b2", "sub-b10", "a"]) == {"a": "S01", "sub-b2": "S02", "sub-b10": "S03"}
    assert pseudonyms(range(123))["122"] == "S123" and pseudonyms(range(123))["0"] == "S001"
    tree = {"corpora": {"a": {"subjects": ["x", "y"], "labels": "default"}, "b": {"subjects": None}}}
    assert without_subjects(tree) == {
        "corpora": {"a": {"subjects": "2 named", "labels": "default"}, "b": {"subjects": None}}
    }
    columns = {"mapping": {"only": {"task": ["watch", "rest"]}}}
    assert without_subjects({"only": {"a": ["x", "y"]}, "corpora": {"a": columns}}) == {
        "only": {"a": "2 named"},
        "corpora": {"a": columns},
    }


def test_electrodes_lie_where_they_belong() -> None:
    place = {name: np.array(flat_positions()[name]) for name in UNIFIED}
    assert len({tuple(np.round(p, 3)) for p in place.values()}) == 60
    assert max(np.linalg.norm(p) for p in place.values()) < 0.56
    for name in ("FPZ", "OZ", "T7", "T8"):
        assert np.linalg.norm(place[name]) == pytest.approx(0.5, abs=0.03)
    assert np.linalg.norm(place["CZ"]) < 0.06
    assert place["FP1"][0] < 0 < place["FP2"][0] and place["FZ"][1] > place["CZ"][1] > place["PZ"][1]
    for left, right in (("F3", "F4"), ("P7", "P8"), ("C5", "C6")):
        assert place[left] * [-1, 1] == pytest.approx(place[right], abs=0.03)


def test_the_terminal_shows_the_same_numbers() -> None:
    target = one_score(0.6, 0.8, 0.01, 0.1, "published")
    out = io.StringIO()
    print_results([target, TargetInputs("[bold]none[/bold]")], Console(file=out, width=100, no_color=True))
    text = out.getvalue()
    assert "70.0 [60.0–80.0]" in text and "50.0" in text and "few-shot" in text
    assert "leaks by design" in text and "[bold]none[/bold]: no scores" in text
