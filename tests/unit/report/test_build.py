"""The page: self-contained, escaped, true to its inputs, and there even when parts are missing."""

from __future__ import annotations

import base64
import importlib.util
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.report import CorpusInfo, ReportInputs, TargetInputs, build_report, load_target
from mdjpt_platform.report.build import render


def _made_up() -> ModuleType:
    spec = importlib.util.spec_from_file_location("report_made_up", Path(__file__).with_name("made_up.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


made_up = _made_up()
HOSTILE = """<script>alert('x')</script>"><img src=x onerror=alert(1)>&{{ 7*7 }}{% raw %}$\\frac$\x00\n脑"""


class Page(HTMLParser):
    """Tags, attributes and visible text of a page; keeps the cells of every table row."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.visible: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.visible.append(data)
        if self.rows and ("td" in self.open or "th" in self.open):
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def inputs() -> ReportInputs:
    return made_up.whole()


@pytest.fixture(scope="module")
def text(inputs: ReportInputs) -> str:
    return render(inputs)


def test_nothing_is_fetched_and_tags_balance(text: str) -> None:
    page = Page(text)
    assert not page.open
    assert "http://" not in text and "https://" not in text and "url(" not in text and "@import" not in text
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "iframe", "object", "embed", "link", "form", "base"})
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ("src", "href", "srcset", "data", "action"):
            assert re.match(r"(#|data:image/(png|svg\+xml);base64,)", attributes.get(name) or "#"), (tag, name)
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {a["href"] for tag, a in page.tags if tag == "a"} <= {f"#{anchor}" for anchor in anchors}
    assert len([1 for tag, a in page.tags if tag == "img" and a["alt"]]) == 12


def test_pictures_are_whole_and_harmless(text: str) -> None:
    pictures = re.findall(r"data:image/(png|svg\+xml);base64,([A-Za-z0-9+/=]+)", text)
    assert pictures
    for kind, data in pictures:
        raw = base64.b64decode(data, validate=True)
        assert raw.startswith(b"\x89PNG") if kind == "png" else (b"<svg" in raw[:600] and b"<script" not in raw)


def test_the_table_holds_the_inputs(inputs: ReportInputs, text: str) -> None:
    scores = inputs.targets[0].scores
    assert scores is not None
    rows = Page(text).rows
    head = next(row for row in rows if "Pre-trained" in row)
    assert head == ["read-out", "smoothing", "Pre-trained", "Untrained encoder", "DE features", "chance", "subjects"]
    at = rows.index(head) + 1
    exact = scores[scores["metric"] == "accuracy"].set_index(["readout", "lds", "method"])
    keys = [(readout, lds) for readout in ("few_shot", "zero_shot") for lds in ("off", "on", "causal")]
    for place, (readout, lds) in enumerate(keys):
        row = rows[at + place]
        assert row[1] == {"off": "without LDS", "on": "with LDS", "causal": "causal LDS"}[lds]
        assert row[0] == ({"few_shot": "few-shot", "zero_shot": "zero-shot"}[readout] if lds == "off" else "")
        for method, shown in zip(("trained", "random", "de"), row[2:5], strict=True):
            one = exact.loc[(readout, lds, method)]
            number = re.match(r"([\d.]+)([▲▼]?)\[([\d.]+), ([\d.]+)\]$", shown)
            assert number, shown
            for found, column in ((number[1], "value"), (number[3], "low"), (number[4], "high")):
                assert found == f"{100 * one[column]:.1f}"
            assert (number[2] == "▲") == (one["low"] > one["chance"])
            assert (number[2] == "▼") == (one["high"] < one["chance"])
        assert row[5:] == ["33.3", "12"]


def test_subjects_carry_pseudonyms(inputs: ReportInputs, text: str) -> None:
    assert not re.search(r"sub-\d+x", text) and "/data/raw" not in text
    subjects = inputs.targets[0].subjects
    assert subjects is not None
    shown = [row for row in Page(text).rows if row and re.fullmatch(r"S\d\d", row[0])]
    assert [row[0] for row in shown] == 2 * [f"S{k:02d}" for k in range(1, 13)]
    first = subjects.query("readout == 'few_shot' and lds == 'off' and metric == 'accuracy' and subject == 'sub-3x'")
    values = first.set_index("method")["value"]
    assert shown[0][1:] == [f"{100 * values[m]:.1f}" for m in ("trained", "random", "de")]
    assert "2 named" in text


def test_hostile_names_are_text(inputs: ReportInputs) -> None:
    target = made_up.target(name=HOSTILE, subjects=5)
    scores, people, tests = target.scores, target.subjects, target.tests
    assert scores is not None and people is not None and tests is not None
    for column in ("method", "readout", "lds"):
        key = {"method": "de", "readout": "zero_shot", "lds": "causal"}[column]
        for table in (scores, people):
            table[column] = table[column].replace(key, HOSTILE + column)
    confusion = [{**one, "labels": [HOSTILE, "a", "$b_"]} for one in target.confusion]
    embedding = target.embedding.assign(label=HOSTILE, corpus=HOSTILE, subject=HOSTILE)
    hostile = replace(target, confusion=confusion, embedding=embedding, notes=(HOSTILE,))
    page = render(
        replace(
            inputs,
            title=HOSTILE,
            config={HOSTILE: {HOSTILE: [HOSTILE]}},
            identities={HOSTILE: HOSTILE},
            versions={HOSTILE: HOSTILE},
            history=[{"step": 1, "epoch": 0, f"loss/contrast.{HOSTILE}": 1.0, f"loss/{HOSTILE}": 2.0}],
            contrast_chance={HOSTILE: 4.0},
            corpora=[CorpusInfo(HOSTILE, HOSTILE, 1, 1, 1, 1.0, ("FZ", HOSTILE), 250.0, {HOSTILE: 3}, (), HOSTILE)],
            targets=[hostile],
        )
    )
    parsed = Page(page)
    assert "<script" not in page and "onerror=alert(1)&gt;" in page and "\x00" not in page
    assert "{{ 7*7 }}{% raw %}" in "".join(parsed.visible)
    assert len([1 for tag, a in parsed.tags if tag == "img"]) == len([1 for tag, a in parsed.tags if a.get("alt")])
    assert not [a for _, a in parsed.tags if any(name.startswith("on") for name in a)]


@pytest.mark.parametrize("part", ["scores", "subjects", "tests", "embedding", "confusion", "notes"])
def test_a_missing_part_of_a_target_is_said(part: str) -> None:
    target = made_up.target(subjects=4, readouts=("few_shot",))
    partial = replace(target, **{part: () if part in ("confusion", "notes") else None})
    said = {
        "scores": "No scores for this target.",
        "subjects": "No scores by subject.",
        "tests": "No paired tests against controls.",
        "embedding": "No feature map.",
        "confusion": "No confusion matrices.",
        "notes": "",
    }
    page = render(ReportInputs("partial", targets=[partial]))
    assert said[part] in page
    for other in said:
        assert other == part or not said[other] or said[other] not in page or part == "scores"


def test_empty_tables_are_like_missing_ones() -> None:
    empty = pd.DataFrame()
    page = render(ReportInputs("empty", targets=[TargetInputs("t", empty, empty, empty, None)], history=[{}]))
    assert "No scores for this target." in page and "No training history." in page


def test_an_empty_run_has_a_page() -> None:
    page = render(ReportInputs("nothing"))
    for words in ("No target corpus", "No training history", "No description of the corpora", "No channel lists",
                  "No identities", "No configuration", "No versions"):  # fmt: skip
        assert words in page


def test_undefined_numbers_are_dashes() -> None:
    target = made_up.target(subjects=4, readouts=("few_shot",))
    assert target.scores is not None and target.subjects is not None
    target.scores[["value", "low", "high"]] = np.nan
    target.subjects["value"] = np.nan
    page = render(ReportInputs("undefined", targets=[target]))
    assert ">nan" not in page and "–<span" in page and "No score could be computed" in page


def test_published_protocol_is_announced(text: str) -> None:
    page = render(ReportInputs("p", targets=[made_up.target(protocol="published", subjects=4, readouts=("few_shot",))]))
    assert "contains leaks by design" in page and 'role="alert"' in page and 'li class="good"' not in page
    assert "contains leaks by design" not in text


def test_a_target_that_was_a_source_is_announced(text: str) -> None:
    target = made_up.target(subjects=4, readouts=("few_shot",))
    page = render(ReportInputs("seen", config={"sources": ["sim-a", target.target]}, targets=[target]))
    assert "Not a transfer." in page and "Not a transfer." not in text


def test_writing_is_atomic_and_repeatable(
    inputs: ReportInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = build_report(replace(inputs, targets=()), tmp_path / "new" / "report.html")
    first = out.read_bytes()
    assert out == tmp_path / "new" / "report.html" and list(out.parent.iterdir()) == [out]
    assert build_report(replace(inputs, targets=()), out).read_bytes() == first

    def full(source: Path, to: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(MdjptError, match=r"report\.html.*No space left"):
        build_report(ReportInputs("other"), out)
    assert out.read_bytes() == first and list(out.parent.iterdir()) == [out]


def test_evaluations_are_read_from_disk_and_shown_as_they_are(tmp_path: Path) -> None:
    from mdjpt_platform.evaluate.result import TargetResult, write_result

    made = made_up.target(subjects=4, readouts=("few_shot",))
    result = TargetResult(
        target=made.target, protocol="strict", labels=("negative", "neutral", "positive"), scores=made.scores,
        subjects=made.subjects, tests=made.tests, embedding=made.embedding, confusion=list(made.confusion),
    )  # fmt: skip
    write_result(result, tmp_path)
    assert render(ReportInputs("x", targets=[load_target(tmp_path)])) == render(ReportInputs("x", targets=[result]))
    (tmp_path / "scores.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(BadInput, match=r"scores\.parquet"):
        load_target(tmp_path)
    with pytest.raises(BadInput, match=r"results\.json"):
        load_target(tmp_path / "absent")
