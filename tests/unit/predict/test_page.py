"""The page of a made-up prediction: what it states, what it escapes, what it keeps to itself."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mdjpt_platform.report.prediction import page
from mdjpt_platform.report.prediction.inputs import Told

HOSTILE = "<script>alert(1)</script>"


def made_up(count: int = 40, labels: tuple[str, ...] = ("calm", HOSTILE), affect: bool = True, **changes: Any) -> Told:
    random = np.random.default_rng(0)
    starts = 2.0 * np.arange(count)
    table = pd.DataFrame({"start": starts, "stop": starts + 5, "amplitude_uv": 9 + random.random(count)})
    p = random.dirichlet(np.ones(len(labels) or 1), count)
    for place, name in enumerate(labels):
        table[f"p_{name}"] = p[:, place]
    if labels:
        table["label"], table["confidence"] = [labels[k] for k in p.argmax(1)], p.max(1)
    if affect:
        for name in ("valence", "arousal"):
            table[name] = 0.3 * random.standard_normal(count)
            table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.4, table[name] + 0.4
    one = {"mean_probability": 0.5, "interval": (0.4, 0.6), "time_share": 0.5}
    finding = {
        "about": "spectrum",
        "verdict": "outside",
        "text": f"Far away {HOSTILE}.",
        "found": 3.0,
        "limits": (0, 2),
    }
    scores = {
        "classes": {"balanced_accuracy": 0.52, "low": 0.44, "high": 0.6, "chance": 0.5, "calibration_error": 0.04},
        "affect": {"error": [0.3, 0.4], "error_of_the_mean": [0.4, 0.3], "coverage": [0.9, 0.8], "level": 0.9},
    }  # fmt: skip
    look = {"beyond_100uv": 0.2, "flat": 0.0}
    summary = {
        "fingerprint": "f" * 16, "version": "0", "sources": "s", "mode": "whole", "level": 0.95, "outside": True,
        "file": {"name": HOSTILE, "sha256": {HOSTILE: "ab"}}, "findings": [finding], "changed_steps": ["ica"],
        "model": {"name": HOSTILE, "family": "mdjpt", "sha256": "cd", "recipe": "ef", "simulated": [],
                  "readout": {"scores": scores}},
        "windows": {"count": count, "left_out": 3, "seconds": 5.0, "step": 2.0},
        "classes": dict.fromkeys(labels, one), "affect": {},
        "recording": {
            "seconds": 3725.0, "rate": 500.0, "channels": ["FP1", "OZ", "F9"], "coverage": 2, "sites": 60,
            "left_out": [HOSTILE], "placeless": [], "placed": [f"{HOSTILE} as FZ"], "marked": [], "artefacts": [[3, 9]],
            "factor": 1e-3, "spread_uv": 9.0,
            "quality": {"after": look, "before": look, "notes": {}, "trials": [{"trial": 1, "bad": ["FP1"]}]},
        },
        "spectrum": {"frequencies": [1, 2, 3], "power": [-3, -6, -9]}, **changes,
    }  # fmt: skip
    shown = {"frequencies": [1, 2, 3], "mean": [-4, -5, -6], "sd": [1, 1, 1], "distance": 2.0}
    return Told(HOSTILE, summary, table, labels, shown)


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_what_is_outside_stands_at_the_top_and_nothing_runs() -> None:
    html = page.render(made_up())
    text = text_of(html.split('<section id="answer">')[0])
    assert "Outside what this model has seen." in text and "no diagnosis" in text
    assert HOSTILE not in html and "&lt;script&gt;" in html and "<script" not in html
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org", "")
    for words in (
        "52.0 % balanced accuracy", "not told apart from guessing", "about 70 % should be right", "1 h 2 min",
        "the intervals held 80.0 % of the ratings", "3 windows left out", "multiplied by 0.001", "in: ica",
        "20.0 % of the samples beyond 100 µV",
    ):  # fmt: skip
        assert words in text_of(html), words
    assert html.count("<img ") == 4


def test_what_is_inside_has_no_alarm() -> None:
    inside = {"about": "spectrum", "verdict": "inside", "text": "Near.", "found": 1.0, "limits": (0, 2)}
    html = page.render(made_up(findings=[inside], changed_steps=[]))
    assert "banner" not in html.split("</style>")[1] and "Outside" not in text_of(html.split("</style>")[1])


@pytest.mark.parametrize(("labels", "affect"), [(("calm", "tense"), False), ((), True)])
def test_half_a_readout_has_half_a_page(labels: tuple[str, ...], affect: bool) -> None:
    html = page.render(made_up(labels=labels, affect=affect))
    assert html.count("<img ") == (4 if affect else 3)
    assert ("likeliest in" in html) == bool(labels)


@pytest.mark.parametrize("count", [1, 2, 2000])
def test_few_windows_and_many(count: int) -> None:
    told = made_up(
        count, mode="frozen" if count == 1 else "whole", model={**made_up(2).summary["model"], "simulated": ["sim-a"]}
    )
    text = text_of(page.render(told))
    assert ("A single window" in text) == (count == 1) and "its answers mean nothing for people" in text
