"""A prepared corpus in pieces, for tests of its quality page: nothing is wrong with it until something is planted."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mdjpt_platform.config import CorpusConfig
from mdjpt_platform.corpora.base import Facts, Stimulus, Trial
from mdjpt_platform.preprocess.quality import look
from mdjpt_platform.preprocess.recipe import resolve
from mdjpt_platform.preprocess.signals import Piece, Signals
from mdjpt_platform.store import Store, TrialRow, open_store, write_store

CHANNELS = ("F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2")
LABELS = ("negative", "neutral", "positive")
STIMULI = {"a": "negative", "b": "neutral", "c": "positive", "d": "negative", "e": "neutral", "f": "positive"}
ORDERS = ("abcdef", "bcaefd", "cabfde", "feadcb", "dfebac", "edfcba")
"""A subject each; no class comes early or late."""
RATE, SECONDS = 125.0, 2.0
FACTS = Facts(
    title="made up", channels=CHANNELS, rate=RATE, recorded=RATE, subjects=6, sessions=1,
    shown=tuple(Stimulus(name, label, SECONDS) for name, label in STIMULI.items()), unit="uV",
    labels={"default": LABELS}, licence="none", obtain="nowhere", citation="nobody", tested="layout",
)  # fmt: skip


@lru_cache(maxsize=32)
def seen(subject: int, **planted: Any) -> str:
    """`look` at 30 s of noise that falls with frequency, with alpha unless it is planted away, as JSON."""
    rng = np.random.default_rng(subject)
    size = round(30 * RATE)
    t = np.arange(size) / RATE
    shape = 1 / np.maximum(np.fft.rfftfreq(size, 1 / RATE), 0.4) ** 0.6
    alpha = np.exp(-(((np.fft.rfftfreq(size, 1 / RATE) - 10) / 0.7) ** 2))
    spectrum = shape * (1 + planted.get("alpha", 3) * alpha)
    data = np.fft.irfft(np.fft.rfft(rng.standard_normal((len(CHANNELS), size)), axis=1) * spectrum, size, axis=1) * 15
    data += planted.get("line", 0) * np.sin(2 * np.pi * 50 * t) + planted.get("monitor", 0) * np.sin(2 * np.pi * 28 * t)
    data *= planted.get("times", 1)
    if planted.get("flat"):
        data[2] = 0
    names = planted.get("names", CHANNELS)
    return json.dumps(look(Signals(names, RATE, (Piece(data, (Trial(1, "a", 1, None),)),), "made up")))


@dataclass
class MadeUp:
    """A corpus in pieces, to be changed before it is written."""

    rows: list[dict[str, Any]]
    quality: dict[str, Any]
    manifest: dict[str, Any] = field(default_factory=dict)
    """Changes of the manifest's fields; of recordings, changes by recording."""
    facts: Facts = FACTS
    channels: tuple[str, ...] = CHANNELS

    def row(self, subject: int, stimulus: str) -> dict[str, Any]:
        """The row of a trial."""
        return next(r for r in self.rows if r["subject"] == f"{subject:02d}" and r["stimulus"] == stimulus)

    def recording(self, subject: int) -> dict[str, Any]:
        """What quality.json says of a recording."""
        found: dict[str, Any] = self.quality[f"sub-{subject:02d}_ses-1"]
        return found

    def write(self, folder: Path, name: str = "made-up") -> Store:
        """The store that holds it."""
        trials = []
        for one in self.rows:
            length = round(one.get("seconds", SECONDS) * RATE)
            row = {key: value for key, value in one.items() if key != "seconds"}
            trials.append((TrialRow(**row, samples=1), np.ones((length, len(self.channels)), np.float32)))
        recipe = resolve("minimal")
        path = write_store(folder, name, CorpusConfig(layout="deap"), recipe, trials, channels=self.channels, rate=RATE,
                           labels=LABELS)  # fmt: skip
        content = json.dumps(self.quality).encode()
        (path / "quality.json").write_bytes(content)
        tree = json.loads((path / "manifest.json").read_text())
        changes = dict(self.manifest)
        for recording, change in changes.pop("recordings", {}).items():
            tree["recordings"][recording] |= change
        tree |= changes | {"quality": hashlib.sha256(content).hexdigest()}
        (path / "manifest.json").write_text(json.dumps(tree))
        return open_store(path, verify=False)


def made_up() -> MadeUp:
    """Six subjects, six stimuli, every one in another order; nothing wrong with any of it."""
    rows, quality = [], {}
    for subject, order in enumerate(ORDERS, 1):
        for position, stimulus in enumerate(order, 1):
            rows.append(
                {
                    "corpus": "made-up", "subject": f"{subject:02d}", "session": 1, "trial": position,
                    "stimulus": stimulus, "play_order": position, "label": STIMULI[stimulus],
                }
            )  # fmt: skip
        trials = [
            {"trial": n, "stimulus": s, "seconds": SECONDS, "fingerprint": f"{subject}-{n}", "bad": [], "dropped": None}
            for n, s in enumerate(order, 1)
        ]
        glance = json.loads(seen(subject))
        quality[f"sub-{subject:02d}_ses-1"] = {"before": glance, "after": glance, "notes": {}, "trials": trials}
    return MadeUp(rows, quality)


def after(corpus: MadeUp, subjects: list[int], **planted: Any) -> None:
    for subject in subjects:
        corpus.recording(subject)["after"] = json.loads(seen(subject, **planted))
        if "alpha" in planted:
            corpus.recording(subject)["before"] = corpus.recording(subject)["after"]


def components(*kinds: tuple[str, bool]) -> dict[str, Any]:
    return {"components": [{"label": k, "probability": 0.9, "variance": 0.1, "removed": r} for k, r in kinds]}


def noted(corpus: MadeUp, step: str, special: dict[int, Any], usual: Any) -> None:
    for subject in range(1, 7):
        corpus.recording(subject)["notes"] = {step: special.get(subject, usual)}


USUAL = components(("eye", True), ("brain", False), ("brain", False), ("muscle", False))


def dropped(corpus: MadeUp) -> None:
    corpus.rows.remove(corpus.row(3, "f"))
    corpus.manifest = {"recordings": {"sub-03_ses-1": {"dropped": {"4": "6 of 8 channels bad"}}}}
    corpus.recording(3)["trials"][3] |= {"dropped": "6 of 8 channels bad", "bad": list(CHANNELS[:6])}


def missing(corpus: MadeUp) -> None:
    corpus.rows.remove(corpus.row(2, "e"))
    corpus.recording(2)["trials"] = [one for one in corpus.recording(2)["trials"] if one["stimulus"] != "e"]


def loose_cap(corpus: MadeUp) -> None:
    for row in corpus.rows:
        if row["subject"] == "03":
            pair = CHANNELS[:2] if row["trial"] < 4 else CHANNELS[2:4]
            row |= {"bad_channels": 2, "bad_names": " ".join(pair)}


def by_session(corpus: MadeUp) -> None:
    corpus.facts = replace(FACTS, sessions=2, shown=tuple(replace(s, session=1 + (s.id in "cf")) for s in FACTS.shown))
    for row in corpus.rows:
        row["session"] = 1 + (row["stimulus"] in "cf")
