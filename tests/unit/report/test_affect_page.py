"""Valence and arousal on a page: agreement is no share, and stands beside the classes, not among details."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from rich.console import Console

from mdjpt_platform.report.build import render, target_view
from mdjpt_platform.report.console import print_results
from mdjpt_platform.report.inputs import ReportInputs, TargetInputs
from mdjpt_platform.report.plane import plane_plot
from mdjpt_platform.report.tables import headlines
from mdjpt_platform.report.wording import READOUTS, interval, ordered, readout_name, score, with_unit


def _made_up() -> ModuleType:
    spec = importlib.util.spec_from_file_location("report_made_up", Path(__file__).with_name("made_up.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


made_up = _made_up()


def rated() -> TargetInputs:
    """Classes as made up, and beside them the same numbers as agreement: 0.31 within [-0.05, 0.6], against 0."""
    made = made_up.target(subjects=4, readouts=("few_shot",))
    assert made.scores is not None and made.tests is not None
    old = {"accuracy": "valence_ccc", "auroc": "arousal_r2", "macro_f1": "valence_ccc_pooled"}
    numbers = {"value": 0.31, "low": -0.05, "high": 0.6, "chance": 0.0, "chance_low": -0.2, "chance_high": 0.2}
    more = [
        part[part["metric"].isin(list(old))].assign(
            readout="affect", metric=lambda one: one["metric"].map(old), **change
        )
        for part, change in ((made.scores, numbers), (made.tests, {"difference": -0.125}))
    ]
    points = pd.DataFrame(np.random.default_rng(0).uniform(-1, 1, (24, 4)))
    points.columns = pd.Index(["valence", "arousal", "answered_valence", "answered_arousal"])
    points = points.assign(label=["glad", "sad", None] * 8, method="trained", readout="affect", lds="off")
    scores, tests = (pd.concat([part, extra]) for part, extra in zip((made.scores, made.tests), more, strict=True))
    return replace(made, scores=scores, tests=tests, affect=points)


def test_agreement_is_printed_as_it_is_and_told_beside_the_classes() -> None:
    target = rated()
    assert headlines(target.scores) == ["accuracy", "valence_ccc"]
    view = target_view(target, 1)
    assert [table.metric for table in view.tables] == ["accuracy", "CCC of valence"]
    row = view.tables[1].rows[0]
    assert row.readout == "valence and arousal" and row.chance == "0.00" and view.tables[1].unit == ""
    assert row.cells[0] is not None and (row.cells[0].value, row.cells[0].interval) == ("0.31", "[−0.05, 0.60]")
    assert row.cells[0].against_chance == "level"  # the interval does not leave 0 out
    assert [table.pooled for table in view.others if table.metric == "CCC of valence over all trials"] == [True]
    said = next(one.text for one in view.findings if one.about.startswith("valence and arousal"))
    assert said.startswith("CCC of valence 0.31 [−0.05, 0.60], not told apart from chance (0.00).")
    assert "(−0.12, Holm p" in said and "points" not in said
    assert [one.metric for one in view.tests] == ["accuracy", "CCC of valence"] and view.plane is not None
    page = render(ReportInputs("page", targets=[target]))
    assert "CCC of valence, mean over subjects" in page and "CCC of valence over all trials [95 %" in page
    console = Console(record=True, width=160)
    print_results([target], console)
    assert "sim-b: CCC of valence [95 % interval over subjects]" in console.export_text()


def test_words_of_the_plane() -> None:
    assert score(-0.314, "valence_ccc") == "−0.31" and score(0.314, "accuracy") == "31.4"
    assert with_unit(0.5, "arousal_r2") == "0.50" and with_unit(0.5, "auroc") == "50.0 %"
    assert interval(-0.1, 0.2, "valence_r2_pooled") == "[−0.10, 0.20]" and interval(0.1, 0.2) == "[10.0, 20.0]"
    names = ["few_shot", "affect", "affect_stimuli", "affect_across"]
    assert ordered(reversed(names), READOUTS) == names
    assert [readout_name(name) for name in names[1:]] == [
        "valence and arousal", "valence and arousal, held-out stimuli", "valence and arousal across corpora",
    ]  # fmt: skip
    assert plane_plot(None) is None and plane_plot(rated().affect.iloc[:0]) is None  # type: ignore[union-attr]
