"""What a quality page is made of: a prepared corpus as plain tables, every recording's looks beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mdjpt_platform.corpora import CORPORA
from mdjpt_platform.corpora.base import Facts, Stimulus
from mdjpt_platform.report.wording import natural, plain, pseudonyms
from mdjpt_platform.store import Manifest, Store

Look = Mapping[str, Any]
"""What `preprocess.quality.look` returns."""


@dataclass(frozen=True)
class Heard:
    """One recording of the store."""

    id: str
    subject: str
    session: int
    factor: float = 1.0
    before: Look | None = None
    """As read, in microvolts; None: the store was written without."""
    after: Look | None = None
    """After the last step of the recording, before the subject's scaling."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What steps found, by step; the second time as `<step>#2`."""

    def told(self, step: str) -> list[Mapping[str, Any]]:
        """Notes of a step, of every time that the recipe used it."""
        return [note for name, note in self.notes.items() if name.partition("#")[0] == step]


@dataclass(frozen=True)
class Quality:
    """A prepared corpus as its page sees it."""

    manifest: Manifest
    facts: Facts | None
    """None: the layout is not registered."""
    recordings: tuple[Heard, ...]
    trials: pd.DataFrame
    """One row a trial, those left out included: recording, subject, session, trial, stimulus, play_order (NaN if left
    out), label, seconds, bad (tuple of names), dropped (reason or ''), fingerprint ('' if unknown)."""
    named: bool = True
    """Whether subjects are called by their names, or S01, S02, ... in natural order of them."""

    @property
    def kept(self) -> pd.DataFrame:
        """Trials that are in the store."""
        return self.trials[self.trials["dropped"] == ""]

    @cached_property
    def _pseudonyms(self) -> dict[str, str]:
        return pseudonyms(parts_of(name)[0] for name in (*self.manifest.recordings, *self.manifest.failed))

    def person(self, subject: str) -> str:
        """A subject as the page calls it."""
        return plain(subject, 30) if self.named else self._pseudonyms.get(subject, "S?")

    def name(self, recording: str) -> str:
        """A recording as people call it: its subject, and the session where there are several."""
        subject, session = parts_of(recording)
        several = self.trials["session"].nunique() > 1
        return self.person(subject) + (f" (session {session})" if several and session else "")

    def reason(self, told: str) -> str:
        """Why something was left out; without the file, whose name is mostly the subject's, where nobody is named."""
        return told if self.named else told.rpartition("/")[2].partition(": ")[2] or "see manifest.json"

    def names(self, recordings: Iterable[str]) -> tuple[str, ...]:
        """`name` of each, in order."""
        return tuple(self.name(recording) for recording in recordings)

    def expected(self, session: int) -> tuple[Stimulus, ...]:
        """Stimuli that the publishers, or the copy's own declaration, say a session holds; empty: nobody says.

        A copy that declares `facts.stimuli` holds those of the session's published ones, counted from 1.
        """
        if self.facts is None:
            return ()
        shown = tuple(one for one in self.facts.shown if one.session in (0, session))
        chosen = self.manifest.config.facts.stimuli
        return shown if chosen is None else tuple(shown[n - 1] for n in chosen if 1 <= n <= len(shown))


def parts_of(recording: str) -> tuple[str, int]:
    """(subject, session) of a recording by its id; (the id, 0) for a foreign one."""
    found = re.fullmatch(r"sub-(.*)_ses-(\d+)", recording, re.DOTALL)
    return (found[1], int(found[2])) if found else (recording, 0)


def load_quality(store: Store, facts: Facts | None = None, named: bool = True) -> Quality:
    """Everything a page needs of a store; `facts`: instead of those declared for its layout."""
    manifest = store.manifest
    if facts is None and manifest.layout in CORPORA:
        facts = CORPORA[manifest.layout].facts
    told = store.quality()
    recordings = []
    for name, source in sorted(manifest.recordings.items(), key=lambda entry: natural(entry[0])):
        tree = told.get(name, {})
        looks = tree.get("before"), tree.get("after")
        recordings.append(Heard(name, *parts_of(name), source.factor, *looks, tree.get("notes", {})))
    return Quality(manifest, facts, tuple(recordings), _trials(store, told), named)


def _trials(store: Store, told: Mapping[str, Any]) -> pd.DataFrame:
    index = store.index
    table = index[["subject", "session", "trial", "stimulus", "play_order", "label"]].copy()
    table["label"] = table["label"].astype(object).where(table["label"].notna(), None)
    table.insert(0, "recording", [Path(file).stem for file in index["file"]])
    table["play_order"] = table["play_order"].astype(float)
    table["seconds"] = index["samples"] / store.rate
    table["bad"] = [tuple(names.split()) for names in index["bad_names"]]
    table["dropped"] = ""
    marks = {(r, int(one["trial"])): one.get("fingerprint") or "" for r, one in _told(told)}
    table["fingerprint"] = [marks.get(key, "") for key in zip(table["recording"], table["trial"], strict=True)]
    rows = _left_out(store, told)
    return pd.concat([table, pd.DataFrame(rows, columns=table.columns)], ignore_index=True) if rows else table


def _left_out(store: Store, told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the trials left out of recordings that are in the store."""
    known = {(r, int(one["trial"])): one for r, one in _told(told)}
    rows = []
    for recording, source in sorted(store.manifest.recordings.items()):
        subject, session = parts_of(recording)
        for trial, reason in source.dropped.items():
            one = known.get((recording, int(trial)), {})
            rows.append(
                {
                    "recording": recording,
                    "subject": subject,
                    "session": session,
                    "trial": int(trial),
                    "stimulus": str(one.get("stimulus", "")),
                    "play_order": float("nan"),
                    "label": None,
                    "seconds": float(one.get("seconds") or "nan"),
                    "bad": tuple(one.get("bad", ())),
                    "dropped": reason or "left out",
                    "fingerprint": one.get("fingerprint") or "",
                }
            )
    return rows


def _told(told: Mapping[str, Any]) -> Sequence[tuple[str, Mapping[str, Any]]]:
    return [(recording, one) for recording, tree in told.items() for one in tree.get("trials", ())]
