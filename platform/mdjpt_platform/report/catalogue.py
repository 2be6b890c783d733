"""What the platform knows about public corpora, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from rich import box
from rich.table import Table

from mdjpt_platform.corpora.base import Corpus, Facts

TESTED = {"layout": "made to layout", "real": "real files"}


def table(corpora: Mapping[str, Corpus]) -> Table:
    """One row a layout."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in ("layout", "corpus", "subjects", "sessions", "stimuli", "channels", "Hz", "targets", "tested on"):
        numeric = heading in ("subjects", "sessions", "stimuli", "channels", "Hz")
        shown.add_column(heading, justify="right" if numeric else "left", no_wrap=heading == "layout")
    for layout, corpus in corpora.items():
        facts = corpus.facts
        counts = (facts.subjects, facts.sessions, len(facts.shown), len(facts.channels), facts.rate)
        numbers = [f"{count:g}" if count else "files tell" for count in counts]
        targets = ", ".join(f"{name} {len(classes)}" for name, classes in facts.labels.items())
        shown.add_row(layout, facts.title, *numbers, targets, TESTED[facts.tested])
    return shown


def details(layout: str, facts: Facts) -> Table:
    """Everything declared about one corpus."""
    shown = Table(box=None, show_header=False, pad_edge=False, title=f"{facts.title}  ({layout})", title_justify="left")
    shown.add_column(style="bold", no_wrap=True)
    shown.add_column()
    if facts.shown:
        shown.add_row("recorded", f"{facts.subjects} subjects, {facts.sessions} sessions, {facts.recorded:g} Hz")
        shown.add_row("files", f"{len(facts.channels)} EEG channels at {facts.rate:g} Hz, in {facts.unit}")
        shown.add_row("channels", " ".join(facts.channels))
    for session, stimuli in groupby(facts.shown, key=lambda stimulus: stimulus.session):
        name = f"stimuli of session {session}" if session else "stimuli"
        shown.add_row(name, "  ".join(f"{s.id}:{s.label or '-'}{_seconds(s.seconds)}" for s in stimuli))
    for scheme, classes in facts.labels.items():
        shown.add_row(f"target {scheme}", f"{', '.join(classes)}{_by(scheme)}")
    for name, plane in facts.affect.items():
        shown.add_row(f"affect {name}", "  ".join(f"{word} ({v:+.2f}, {a:+.2f})" for word, (v, a) in plane.items()))
    shown.add_row("licence", facts.licence)
    shown.add_row("obtain", facts.obtain)
    shown.add_row("cite", facts.citation)
    shown.add_row("tested on", TESTED[facts.tested])
    return shown


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f" {seconds:g} s"


def _by(scheme: str) -> str:
    return "  (cut from each subject's own ratings)" if scheme.startswith("own_") else ""
