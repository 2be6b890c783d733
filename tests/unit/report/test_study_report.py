"""The page of a study: what it shows when, true to the statistics, escaped, silent about subjects and folders."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from made_up_study import (
    POOL,
    UNEQUAL,
    ablation_study,
    filled,
    grows,
    scaling_study,
    study_of,
    sweep_study,
    worth,
)
from mdjpt_platform.errors import MdjptError
from mdjpt_platform.hardware import cpu_model, hardware
from mdjpt_platform.report.study import write_study_report
from mdjpt_platform.report.study.design import arms, discreet
from mdjpt_platform.report.study.files import ESCAPES, escaped
from mdjpt_platform.report.wording import number, p_value, percent
from mdjpt_platform.study.comparison import compare
from mdjpt_platform.study.grid import expand
from mdjpt_platform.study.ledger import Ledger
from mdjpt_platform.study.run import Study
from mdjpt_platform.study.scaling import scaling
from mdjpt_platform.study.scores import one_score
from mdjpt_platform.study.shapley import shapley
from mdjpt_platform.study.spec import load_study
from mdjpt_platform.study.subsets import subsets_of

HOSTILE = "<img src=x onerror=alert(1)>&{{ 7*7 }}%$_{\\evil}'\"~^脑"


class Page(HTMLParser):
    """Tags that balance, sections, tables by section, visible text."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.text = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.visible, self.row = "", [""]
        self.rows: list[list[str]] = []
        self.feed(self.text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "tr":
            self.row = []
        if tag in ("td", "th"):
            self.row.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "tr":
            self.rows.append(self.row)

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.visible += data
        if {"td", "th"} & set(self.open):
            self.row[-1] += data

    @property
    def sections(self) -> set[str | None]:
        return {attributes.get("id") for tag, attributes in self.tags if tag == "section"}

    @property
    def words(self) -> str:
        return " ".join(self.visible.split())

    def after(self, header: str, rows: int) -> list[list[str]]:
        """The rows below the one that starts with these cells."""
        at = next(place for place, row in enumerate(self.rows) if row[: header.count("|") + 1] == header.split("|"))
        return self.rows[at + 1 : at + 1 + rows]


def page_of(study: Study) -> Page:
    return Page(write_study_report(study))


@pytest.fixture(scope="module")
def scaled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Page]:
    study = filled(scaling_study(tmp_path_factory.mktemp("scaling")), grows)
    return study, page_of(study)


@pytest.fixture(scope="module")
def ablated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Page]:
    study = filled(ablation_study(tmp_path_factory.mktemp("ablation")), worth, chance=UNEQUAL)
    return study, page_of(study)


def design_of(study: Study):  # type: ignore[no-untyped-def]
    rows, control = (one_score(study.table(), "accuracy", "few_shot", "off", m) for m in ("trained", "random"))
    return subsets_of(rows, control=control)


def test_page_stands_alone(scaled: tuple[Study, Page]) -> None:
    study, page = scaled
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "form"})
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("src") or "data:image/").startswith("data:image/"), tag
    links = {str(attributes["href"]) for tag, attributes in page.tags if tag == "a"}
    beside = {link for link in links if not link.startswith("#")}
    assert beside == {"scores.csv", "scores.parquet", "comparisons.tex"}
    assert all((study.ledger.folder / name).stat().st_size for name in beside)
    assert {link[1:] for link in links - beside} == page.sections
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 5 and all(len(one["alt"] or "") > 15 for one in images)
    assert "url(" not in page.text and "prefers-color-scheme: dark" in page.text and "@media print" in page.text


def test_equal_ledgers_give_equal_pages(tmp_path: Path) -> None:
    study = filled(sweep_study(tmp_path), lambda cell: 0.6)
    before = write_study_report(study).read_bytes()
    assert write_study_report(study).read_bytes() == before


def test_sections_follow_the_design(
    scaled: tuple[Study, Page], ablated: tuple[Study, Page], tmp_path: Path
) -> None:  # fmt: skip
    always = {"answer", "subjects", "scores", "reading", "design", "cells"}
    assert scaled[1].sections == always | {"scaling", "targets"}
    assert ablated[1].sections == always | {"comparisons", "targets"}
    swept = page_of(filled(sweep_study(tmp_path / "sweep"), lambda cell: 0.65))
    assert swept.sections == always | {"comparisons", "targets"} and "Controls against Pre-trained" in swept.visible
    one = page_of(filled(ablation_study(tmp_path / "one", targets=["three"]), worth))
    assert one.sections == always | {"comparisons"} and "By target" not in one.visible
    counts = {"corpora": list(POOL), "design": "add_one_in", "orders": 2}
    some = page_of(filled(scaling_study(tmp_path / "some", pool=counts, targets=["three"]), grows))
    assert "scaling" in some.sections and "Value of each corpus" not in some.visible
    assert (
        "no value by corpus (Shapley)" in some.visible and "numbers of corpora differ in their choice" in some.visible
    )


def test_scaling_numbers_are_those_of_the_statistics(scaled: tuple[Study, Page]) -> None:
    study, page = scaled
    design = design_of(study)
    found, values = scaling(design), shapley(design)
    assert found.curve.shape == "saturating" and "fitted curve" in page.visible
    for sentence in (
        found.overall.sentence(),
        found.curve.sentence(),
        *(one.sentence() for one in (*found.steps, *values)),
    ):  # type: ignore[union-attr]
        assert sentence in page.words
    rows = page.after("step|gain (points)", len(found.steps) + 1)
    for row, one in zip(rows, (*found.steps, found.overall), strict=True):
        assert one is not None
        assert row[1:5] == [
            number(100 * one.gain.value, 1), f"[{number(100 * one.gain.low, 1)}, {number(100 * one.gain.high, 1)}]",
            f"{one.pairs}", p_value(one.p_holm),
        ]  # fmt: skip
    for row, mean in zip(page.after("corpora|mean (%)", 6), found.means, strict=True):
        assert row[1] == percent(mean.mean.value) and row[3] == f"{mean.subsets}"
    for row, value in zip(page.after("corpus|value (points)", 5), values, strict=True):
        assert row[:2] == [value.corpus, number(100 * value.value.value, 1)] and row[3] == p_value(value.p_holm)
    assert values[0].corpus == "faced-b" and len(page.after("combination|corpora", 33)) == 33


def test_comparison_numbers_are_those_of_the_statistics(ablated: tuple[Study, Page]) -> None:
    study, page = ablated
    rows = one_score(study.table(), "balanced_accuracy", "few_shot", "off")
    family = compare(rows, "arm", "whole", ["no_alignment", "no_contrast", "hot"], family="the arms")
    for row, one in zip(page.after("arm|difference", 3), family.comparisons, strict=True):
        d = one.difference
        assert row == [
            one.arm, number(100 * d.value, 1), f"[{number(100 * d.low, 1)}, {number(100 * d.high, 1)}]",
            "36", "3", "3", p_value(one.p_subjects), p_value(one.p), p_value(one.p_holm),
            number(one.dz), number(one.rank_biserial),
        ]  # fmt: skip
        assert one.sentence() in page.words
    assert [one.shown for one in family.comparisons] == [False, True, False]
    by_target = page.after("arm|target", 9)
    expected = [(one.arm, t.target, number(100 * t.difference, 1), p_value(t.p))
                for one in family.comparisons for t in one.by_target]  # fmt: skip
    assert [(row[0], row[1], row[2], row[5]) for row in by_target] == expected


def test_headline_is_chosen_by_the_classes(scaled: tuple[Study, Page], ablated: tuple[Study, Page]) -> None:
    assert "score: accuracy (classes are equal)" in scaled[1].words
    assert "score: balanced accuracy (classes are unequal in dreamer, three, two)" in ablated[1].words
    assert "read-out: few-shot" in scaled[1].words and "smoothing: without LDS" in scaled[1].words
    assert "chance: 50.0 %" in scaled[1].words


def test_design_costs_and_hardware(ablated: tuple[Study, Page], scaled: tuple[Study, Page]) -> None:
    words = ablated[1].words
    assert "36 cells" in words and "Some CPU 9000, 8 cores, 64 GiB, no GPU used" in words
    assert "median 12.5 s, 12.5 to 12.5 s" in words and "7.5 min, summed over processes" in words
    assert ["no_alignment", "alignment.weight = 0"] in ablated[1].rows and ["whole", "the base run"] in ablated[1].rows
    assert "FLOP unknown: the stores are not here" in words and "c0de (36 cells)" in words
    assert "every subset of the pool: seed-a, faced-b" in scaled[1].words and "equal steps" in words
    assert "All 36 cells are done." in words and "Mixed code" not in words


def test_failed_and_waiting_cells_are_shown(tmp_path: Path) -> None:
    study = ablation_study(tmp_path)
    hot = [cell for cell in study.cells if cell.place["arm"] == "hot"]
    filled(study, worth, skip=lambda cell: cell.place["arm"] == "hot")
    study.ledger.failed(hot[0], "read-out: /lab/jane/store/seed/sub-07_ses-1.f32: size: found 3", code="c0de")
    study.ledger.failed(hot[0], "read-out: /lab/jane/store/seed/sub-07_ses-1.f32: size: found 4", code="c0de")
    page = page_of(study)
    listed = [row for row in page.rows if len(row) > 1 and row[1] in ("failed", "not run")]
    assert len(listed) == len(hot) and sorted(row[1] for row in listed) == ["failed", *["not run"] * (len(hot) - 1)]
    failed = next(row for row in listed if row[1] == "failed")
    assert "arm hot" in failed[0] and failed[2] == "2" and failed[3] == "read-out: …/sub-…: size: found 4"
    assert "jane" not in page.text and "sub-07" not in page.text
    assert "9 of 36 cells are not done" in page.words and "hot: no finished cell" in page.words
    assert "27 done, 1 failed, 8 not run" in page.words


def test_a_base_that_failed_leaves_points(tmp_path: Path) -> None:
    page = page_of(filled(ablation_study(tmp_path), worth, skip=lambda cell: cell.place["arm"] == "whole"))
    assert "no statistics: whole, which all are held against, has no finished cell" in page.visible
    assert "No statistics could be computed" in page.visible and "comparisons" in page.sections
    assert "no comparison could be made" in (tmp_path / "study" / "comparisons.tex").read_text()


def test_nothing_done_yet(tmp_path: Path) -> None:
    page = page_of(ablation_study(tmp_path))
    assert page.sections == {"answer", "design", "cells"} and "No cell is done yet" in page.visible
    assert not (tmp_path / "study" / "scores.csv").exists()
    assert sum(row[1:2] == ["not run"] for row in page.rows) == 36


def test_too_small_for_inference(tmp_path: Path) -> None:
    page = page_of(filled(ablation_study(tmp_path / "few", seeds=[0]), worth, subjects=4))
    assert "One seed" in page.visible and page.visible.count("4 subjects, too few for a test") == 3
    assert "were not tested (fewer than 6 subjects in every target)" in page.words
    assert not any(dict(attributes).get("class") == "good" for tag, attributes in page.tags if tag == "li")
    one = page_of(filled(scaling_study(tmp_path / "one", seeds=[0], targets=["three"]), grows, subjects=1))
    assert "no statistics:" in one.visible and "Gain of one corpus more" not in one.visible
    assert len(one.after("combination|corpora", 31)) == 31 and sum(tag == "img" for tag, _ in one.tags) == 1


def test_mixed_code_and_leaks_are_labelled(tmp_path: Path) -> None:
    study = ablation_study(tmp_path, set={}, axes={"evaluate.protocol": ["published"]})
    page = page_of(filled(study, worth, code=lambda cell: "new1" if cell.place["seed"] else "old0"))
    assert "Mixed code." in page.visible and "new1 (24 cells), old0 (12 cells)" in page.words
    assert "contains leaks by design" in page.visible


def test_other_factors_are_averaged_where_all_levels_have_them(tmp_path: Path) -> None:
    study = ablation_study(tmp_path, axes={"window.seconds": [1.0, 2.0]}, targets=["three"], splits=[1, 2])
    lost = ("hot", 2.0, 0)
    filled(study, worth, skip=lambda c: (c.place["arm"], c.place["window.seconds"], c.place["seed"]) == lost)
    page = page_of(study)
    assert "Arms against whole" in page.visible and "window.seconds against 1.0" in page.visible
    assert "mean over 2 settings of window.seconds" in page.visible
    assert "1 setting left out: not every level of arm has a finished cell there" in page.visible


def test_scaling_under_other_factors_has_a_part_a_setting(tmp_path: Path) -> None:
    pool = {"corpora": list(POOL[:3]), "design": "all_subsets"}
    page = page_of(filled(ablation_study(tmp_path, pool=pool, targets=["three"], seeds=[0]), worth))
    assert {"scaling", "comparisons"} <= page.sections and "arm whole" in page.visible and "arm hot" in page.visible
    assert "mean over 7 settings of sources" in page.visible


def test_names_are_shown_not_obeyed(tmp_path: Path) -> None:
    study = study_of(tmp_path, arms={"whole": {}, HOSTILE: {"alignment.weight": 0}}, seeds=[0, 1])
    other = next(cell for cell in study.cells if cell.place["arm"] == HOSTILE and cell.place["seed"] == 1)
    filled(study, worth, name=HOSTILE + "{}", skip=lambda cell: cell.key == other.key)
    study.ledger.failed(other, f"read-out: {HOSTILE}", code=HOSTILE)
    page = page_of(study)
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert "<img src=x onerror" in page.visible and "{{ 7*7 }}" in page.visible
    assert balanced((study.ledger.folder / "comparisons.tex").read_text(encoding="utf-8"))


def test_no_subject_is_named(tmp_path: Path) -> None:
    tree = {"set": {}, "axes": {"corpora.seed-a.subjects": [["sub-000x", "sub-001x"], ["sub-002x", "sub-003x"]]}}
    study = filled(study_of(tmp_path, seeds=[0, 1], **tree), lambda cell: 0.6)
    study.config.set["only.seed-a"] = ["sub-004x"]
    write_study_report(study)
    folder = study.ledger.folder
    public = pd.read_parquet(folder / "scores.parquet")
    assert set(public["subject"]) == {f"S{place:02d}" for place in range(1, 13)} and len(public) == len(study.table())
    assert len(pd.read_csv(folder / "scores.csv")) == len(public)
    raw = study.table()
    means = raw.groupby("subject")["value"].mean().to_numpy()
    assert public.groupby("subject")["value"].mean().to_numpy() == pytest.approx(means)
    for name in ("scores.csv", "comparisons.tex", "report.html"):
        assert "sub-0" not in (folder / name).read_text(), name
    assert "choice 2" in (folder / "report.html").read_text()


def balanced(text: str) -> bool:
    """Whether LaTeX could set it: groups and environments close, rows have their columns, nothing is left unescaped."""
    bare = re.sub(r"\\[&%$#_{}\\]", "", "\n".join(line for line in text.splitlines() if not line.startswith("%")))
    assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0
    assert not re.search(r"[%#_~^<>|\"−]", bare.replace(r"\textasciitilde", ""))
    commands = set(re.findall(r"\\([A-Za-z]+)", bare))
    known = {"begin", "end", "centering", "caption", "toprule", "midrule", "bottomrule", "to", "ldots"}
    known |= {
        "textbackslash",
        "textasciitilde",
        "textasciicircum",
        "textless",
        "textgreater",
        "textbar",
        "textquotedbl",
    }
    assert commands <= known
    stack = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        assert kind == "begin" or stack.pop() == name
        stack += [name] if kind == "begin" else []
    tables = re.findall(r"\\begin\{tabular\}\{(l r*|lr*)\}(.*?)\\end\{tabular\}", text, re.DOTALL)
    for columns, body in tables:
        for line in (line for line in body.splitlines() if line.endswith(r"\\")):
            assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1
    return not stack and bool(tables)


def test_latex_is_well_formed(scaled: tuple[Study, Page], ablated: tuple[Study, Page]) -> None:
    texts = [(study.ledger.folder / "comparisons.tex").read_text() for study, _ in (scaled, ablated)]
    assert all(map(balanced, texts))
    assert texts[0].count(r"\begin{table}") == 3 and texts[1].count(r"\begin{table}") == 1
    assert r"no\_contrast & $-$12.1 & " in texts[1]
    assert escaped(r"a_b & 5 % \x") == r"a\_b \& 5 \% \textbackslash{}x"
    assert set(escaped("".join(ESCAPES))) <= set(r"\abcdefghijklmnopqrstuvwxyz&%$#_{}-ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def test_unwritable_folder(tmp_path: Path) -> None:
    study = filled(sweep_study(tmp_path), lambda cell: 0.6)
    (study.ledger.folder / "report.html").mkdir()
    with pytest.raises(MdjptError, match="the report cannot be written"):
        write_study_report(study)


def test_discreet_messages() -> None:
    assert discreet("/data/x y/a.mat: too short") == "…/x y/a.mat: too short" or "data" not in discreet("/data/a.mat")
    assert discreet("C:\\lab\\raw\\a.mat: no") == "…/a.mat: no"
    assert discreet("target three, subject 07, 3/4 of windows") == "target three, subject …, 3/4 of windows"
    assert discreet("no pair of subjects s1, s2, anna: mend it") == "no pair of subjects …: mend it"
    assert discreet("12 of 15 subjects left out") == "12 of 15 subjects left out"


def test_hardware_in_words(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast 3000\nmodel name\t: Fast 3000\n")
    assert cpu_model(tmp_path / "cpuinfo") == "Fast 3000" and cpu_model(tmp_path / "none")
    found = hardware(gpu=False)
    assert int(found["cores"]) >= 1 and found["cpu"] and "gpu" not in found


def test_networks_without_public_weights_are_called_so() -> None:
    runs = Path(__file__).parents[3] / "jobs" / "runs"
    spec, base = load_study(runs / "compare_library_smoke.yaml", ["budget=steps"])
    study = Study(spec, base, expand(spec, base), Ledger(Path("nowhere")))
    found = dict(arms(study))
    assert found["biot"].endswith(", architecture only") and found["mdjpt"] == "the base run"
