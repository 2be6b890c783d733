"""Verdicts: every trouble that is planted in a corpus is found, and none in a corpus without."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mdjpt_platform.corpora.base import Stimulus
from mdjpt_platform.report.quality.checks import judge
from mdjpt_platform.report.quality.inputs import load_quality
from quality_corpus import (
    FACTS,
    SECONDS,
    STIMULI,
    USUAL,
    MadeUp,
    after,
    by_session,
    components,
    dropped,
    loose_cap,
    made_up,
    missing,
    noted,
)


def left_out(corpus: MadeUp) -> None:
    corpus.manifest = {"failed": {"sub-07_ses-1": "s07.dat: shape: found (3, 2), expected (40, 40, 8064)"}}
    corpus.facts = replace(FACTS, subjects=7)


def fewer_subjects(corpus: MadeUp) -> None:
    corpus.facts = replace(FACTS, subjects=32)


def fewer_sessions(corpus: MadeUp) -> None:
    for row in [row for row in corpus.rows if row["subject"] == "04"]:
        corpus.rows.append(row | {"session": 2})


def foreign(corpus: MadeUp) -> None:
    for subject in (1, 2):
        corpus.row(subject, "e")["stimulus"] = "z"


def repeated(corpus: MadeUp) -> None:
    corpus.rows.append(corpus.row(5, "a") | {"trial": 7, "play_order": 7})


def short_trial(corpus: MadeUp) -> None:
    corpus.row(5, "b")["seconds"] = SECONDS / 2


def copied(corpus: MadeUp) -> None:
    corpus.recording(6)["trials"][2]["fingerprint"] = "1-2"


def wrong_unit(corpus: MadeUp) -> None:
    corpus.manifest = {"recordings": {"sub-02_ses-1": {"factor": 0.001}}}


def wrong_units(corpus: MadeUp) -> None:
    corpus.manifest = {"recordings": {name: {"factor": 1e6} for name in corpus.quality}}


def loose_electrode(corpus: MadeUp) -> None:
    for row in corpus.rows:
        if row["subject"] in ("02", "05") and row["trial"] != 3:
            row |= {"bad_channels": 1, "bad_names": "C4"}


def one_class(corpus: MadeUp) -> None:
    for row in corpus.rows:
        if row["subject"] == "02":
            row["label"] = "neutral"


def uneven(corpus: MadeUp) -> None:
    for row in corpus.rows:
        row["label"] = {"a": "negative", "c": "positive"}.get(row["stimulus"], "neutral")


def unlabelled(corpus: MadeUp) -> None:
    corpus.row(1, "a")["label"] = None


def one_order(corpus: MadeUp, odd: dict[int, str], usual: str = "abcdef") -> None:
    for row in corpus.rows:
        own = odd.get(int(row["subject"]), usual)
        row["stimulus"] = own[row["trial"] - 1]
        row["label"] = STIMULI[row["stimulus"]]


def blocked(corpus: MadeUp) -> None:
    one_order(corpus, {}, "adbecf")


def rare(corpus: MadeUp) -> None:
    seldom(corpus)
    corpus.row(2, "a")["stimulus"] = "g"


def seldom(corpus: MadeUp) -> None:
    corpus.facts = replace(FACTS, shown=(*FACTS.shown, Stimulus("g", "neutral", SECONDS)))
    corpus.row(4, "a")["stimulus"] = "g"


PLANTED: dict[str, tuple[str, Callable[[MadeUp], Any], str]] = {
    "left out": ("recordings left out", left_out, r"1 of 7 recordings left out: 07 \(s07.dat: shape"),
    "dropped": ("trials left out", dropped, r"1 of 36 trials left out, in 03 \(trial 4, 6 of 8 channels bad\)"),
    "fewer subjects": ("subjects and sessions", fewer_subjects, "6 subjects where 32 are expected"),
    "fewer sessions": ("subjects and sessions", fewer_sessions, r"without the expected 1 session: 04 \(2 sessions\)"),
    "missing": ("missing or extra trials", missing, r"in 02 \(1 missing: e\)"),
    "foreign": ("missing or extra trials", foreign, r"01 \(1 missing: e; not among the published: z\), 02"),
    "repeated": ("missing or extra trials", repeated, r"in 05 \(more than once: a\)"),
    "short": ("lengths of trials", short_trial, r"1 trial shorter .* in 05 \(trial 4 1.0 s instead of 2.0 s\)"),
    "copied": ("duplicates", copied, "1 signal found under more than one name: 01 = 06"),
    "unit": ("units", wrong_unit, r"Corrected in 1 of 6 recordings: 02 \(times 0.001\)"),
    "units": ("units", wrong_units, r"Wrong in every recording, and corrected \(times 1e\+06\)"),
    "bad cap": ("recordings with many bad channels", loose_cap, r"replaced in 03 \(25 % of the channels"),
    "bad channel": ("channels bad in many recordings", loose_electrode, r"C4 \(bad in 33 % of the recordings\)"),
    "mains": ("line noise left", lambda c: after(c, [2, 4], line=5), r"Mains in 02 \(50 Hz, \d\d dB .*04"),
    "mains noted": (
        "line noise left",
        lambda c: noted(c, "line", {3: {"found": [{"frequency": 100, "ratio_db_after": 9}]}}, {"found": []}),
        r"Mains in 03 \(100 Hz, still 9 dB",
    ),
    "mains noted again": (
        "line noise left",
        lambda c: noted(c, "line#2", {3: {"found": [{"frequency": 25, "ratio_db_after": 12.3}]}}, {"found": []}),
        r"03 \(25 Hz, still 12 dB",
    ),
    "loud": (
        "amplitude outliers",
        lambda c: after(c, [5], times=3),
        r"^05 \(median SD .* uV, (3|2\.\d) times the middle one",
    ),
    "quiet": ("amplitude outliers", lambda c: after(c, [5], times=0.2), r"^05 \(.*robust z -"),
    "flat": ("artefacts left", lambda c: after(c, [1], flat=True), r"in 01 \(12 % of the channel-seconds flat\)"),
    "large": ("artefacts left", lambda c: after(c, [2, 3], times=12), r"02 \(\d+ % of the samples beyond 100 uV\), 03"),
    "ICA nothing": (
        "components removed",
        lambda c: noted(c, "ica", {4: components(("brain", False), ("brain", False))}, USUAL),
        r"nothing was removed in 04 \(none of 2\)",
    ),
    "ICA much": (
        "components removed",
        lambda c: noted(c, "ica", {4: components(("eye", True), ("muscle", True), ("brain", False))}, USUAL),
        r"More than a third of the components went in 04 \(2 of 3\)",
    ),
    "no alpha": ("alpha rhythm", lambda c: after(c, [1, 6], alpha=0), "in 2 of 6: 01, 06"),
    "monitor": ("narrow peaks", lambda c: after(c, [3], monitor=4), r"in 03 \(2[78].\d Hz \(\+\d+ dB\)\)"),
    "one class": ("label balance", one_class, "[Aa] single class for 02"),
    "uneven": ("label balance", uneven, "The largest class has 4.0 times the trials of the smallest"),
    "unlabelled": ("label balance", unlabelled, "1 of 36 trials without a label"),
    "odd order": ("play order", lambda c: one_order(c, {3: "fedcba"}), "The same for everybody but 03"),
    "blocked": ("class and play order", blocked, "negative comes early, positive late"),
    "by session": ("class and session", by_session, r"no trial of .*positive in session 1"),
    "rare": ("stimuli seen by few", rare, r"less than half of what others have: g \(session 1\) \(2 subjects\)"),
    "seldom": ("stimuli seen by few", seldom, r"1 of 7 stimuli have one subject.*g \(session 1\) \(1 subject\)"),
}
ACCOMPANIED = {
    "one class": {"class and play order"},
    "fewer sessions": {"stimuli seen by few", "class and session", "subjects and sessions"},
    "by session": {"label balance"},
    "foreign": {"stimuli seen by few"},
    "seldom": {"missing or extra trials"},
    "rare": {"missing or extra trials"},
    "large": {"amplitude outliers"},
}
"""Other checks that rightly say something too."""


def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path) -> None:
    corpus = made_up()
    noted(corpus, "ica", {}, USUAL)
    verdicts = judge(load_quality(corpus.write(tmp_path), FACTS))
    assert [one for one in verdicts if one.severity == "look"] == []
    assert {one.about for one in verdicts if one.severity == "unknown"} == {"class and session"}
    abouts = {about for about, _, _ in PLANTED.values()}
    assert abouts <= {one.about for one in verdicts}, "every trouble has a check that passed"


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found(name: str, tmp_path: Path) -> None:
    about, plant, said = PLANTED[name]
    corpus = made_up()
    plant(corpus)
    verdicts = judge(load_quality(corpus.write(tmp_path), corpus.facts))
    found = [one for one in verdicts if one.severity == "look"]
    assert about in {one.about for one in found}
    assert {one.about for one in found} <= {about} | ACCOMPANIED.get(name, set())
    texts = [one.text for one in found if one.about == about]
    assert any(re.search(said, text) for text in texts), texts


def test_copies_declare_what_they_hold(tmp_path: Path) -> None:
    corpus = made_up()
    corpus.rows = [row for row in corpus.rows if row["stimulus"] in "ac"]
    corpus.quality = {}
    store = corpus.write(tmp_path)
    config = store.manifest.config.model_copy(
        update={"facts": store.manifest.config.facts.model_copy(update={"stimuli": (1, 3)}), "subjects": ("01", "02")}
    )
    store.manifest = store.manifest.model_copy(update={"config": config})
    quality = load_quality(store, FACTS)
    assert [one.id for one in quality.expected(1)] == ["a", "c"]
    told = {one.about: one for one in judge(quality)}
    assert told["missing or extra trials"].severity == "fine"
    assert told["subjects and sessions"].text == "6 subjects where 2 are expected."


def test_layouts_that_declare_nothing_are_not_judged_by_it(tmp_path: Path) -> None:
    facts = replace(FACTS, shown=(), subjects=0, sessions=0)
    told = {one.about: one.severity for one in judge(load_quality(made_up().write(tmp_path), facts))}
    assert told["missing or extra trials"] == told["subjects and sessions"] == "unknown"


def test_many_names_stand_in_the_details(tmp_path: Path) -> None:
    corpus = made_up()
    corpus.manifest = {"recordings": {f"sub-0{n}_ses-1": {"factor": 1e-3} for n in (1, 2, 3, 4, 5)}}
    (units,) = [one for one in judge(load_quality(corpus.write(tmp_path), FACTS)) if one.about == "units"]
    assert units.text == "Corrected in 5 of 6 recordings: 01, 02, 03, 04, 05."
    assert units.details == tuple(f"0{n}: times 0.001" for n in (1, 2, 3, 4, 5))


def test_sessions_are_named_where_there_are_several(tmp_path: Path) -> None:
    corpus = made_up()
    by_session(corpus)
    corpus.row(2, "a")["seconds"] = 1.0
    quality = load_quality(corpus.write(tmp_path), corpus.facts)
    (told,) = [one for one in judge(quality) if one.about == "lengths of trials"]
    assert "02 (session 1) (trial" in told.text
