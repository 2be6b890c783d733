"""EmoEEG-MC as recorded: `sub-<NN>/eeg/*_eeg.edf`, one file or two runs that hold both contexts.

Two layouts of one download, `emoeeg_mc_raw_video` and `emoeeg_mc_raw_imagery`. The marks are the EDF's annotations,
four numbers a subject: a clip, imagining, a rating, fade. What was shown is in no file but in the README, as a sequence
of codes a subject (and context, for 54 and 56-60): its k-th item is the k-th mark of that context. Both tables lie in
`emoeeg_mc.json`, missing trials left out. Rates (600 Hz, 1200 Hz for seven subjects) and names come from the headers.

A trial lasts from 30 s (or `facts.seconds`) before its end to its end: the first fade or rating after its mark. For a
clip that is what the README calls its last 30 s; for imagery the 30 s before the button press, or before the rating
where nobody pressed. That `fade` is the press is inferred: no other mark is left for it, and the README does not say.
Refused, rather than guessed: marks of a context that are more or fewer than its sequence has, a mark without an end
before the next one, less than 30 s between the two.

Ratings (`beh.tsv`, rows in the order of presentation) are taken where the marks of both contexts number as many as the
rows, and the emotion aimed at has the highest of the six emotion scores (alone or with others) in most rows that are
not neutral; so it is in four fifths of the published rows, and not for subject 53. Elsewhere the tables of affect
serve. Subject 01 has no EDF and is not listed.
Source: DATASETS 13, Appendices A and B; README of OpenNeuro ds005540.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mne

from mdjpt_platform.corpora import annex, edf, emoeeg_mc, reading
from mdjpt_platform.corpora.base import Corpus, Recording, Segment, Trial
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

CONTEXTS = {"emoeeg_mc_raw_video": "vid", "emoeeg_mc_raw_imagery": "ima"}
WITHOUT_EDF = ("01",)
SCORES = ("joy", "inspiration", "tenderness", "sadness", "fear", "disgust", "arousal", "valence")
"""`score_1` to `score_8` (familiarity and liking follow); 0-7."""

FACTS = {
    layout: emoeeg_mc.facts_of(
        f"EmoEEG-MC, raw {title}",
        context,
        600.0,
        "as the header says",
        "https://openneuro.org/datasets/ds005540: sub-*/, with openneuro or aws (a git clone has links alone)",
    )
    for (layout, context), title in zip(CONTEXTS.items(), ("video", "imagery"), strict=True)
}


@dataclass(frozen=True)
class _Mark:
    run: int
    seconds: float
    kind: str
    """`vid`, `ima`, `rating` or `fade`."""


@cache
def tables() -> dict[str, Any]:
    """`triggers`: subject -> mark -> number; `sequences`: subject -> context or `both` -> codes in order."""
    return dict(json.loads(Path(__file__).with_name("emoeeg_mc.json").read_text(encoding="utf-8")))


def sequence(subject: str, context: str) -> tuple[str, ...]:
    """Codes that a subject saw (`vid`) or imagined (`ima`), in order of presentation."""
    known = tables()["sequences"][subject]
    return tuple(known.get("both", known.get(context)).split())


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a subject, all runs; EDF absent or a link is a problem. Raises BadInput: folder absent or empty."""
    reading.check_options(config, FACTS[config.layout])
    if config.facts.stimuli is not None:
        subset = list(config.facts.stimuli)
        raise BadInput(FACTS[config.layout].title, "facts.stimuli", subset, "none: the marks count all trials")
    folder = reading.existing_folder(root)
    found = [
        (match[1], sorted((path / "eeg").glob(f"{path.name}_task-emotion*_eeg.edf"), key=lambda run: run.name))
        for match, path in reading.matching(folder, r"sub-(\d+)")
    ]
    found = [(subject, runs) for subject, runs in found if runs or subject not in WITHOUT_EDF]
    if not found:
        raise BadInput(folder, "recordings", "none but subject 01, which has no EDF", "sub-02 to sub-60")
    listed = []
    for subject, runs in reading.wanted(found, config, folder):
        path = folder / f"sub-{subject}"
        problem = next(filter(None, map(annex.problem, runs)), "")
        names = [run.name.removeprefix(f"sub-{subject}_task-emotion_").removesuffix("eeg.edf") for run in runs]
        if names not in ([""], ["run-01_", "run-02_"]):
            there = ", ".join(run.name for run in runs) or "no EDF"
            problem = str(BadInput(path / "eeg", "EDF files", there, "one, or run-01 and run-02"))
        if subject not in tables()["triggers"]:
            problem = str(BadInput(path, "subject", subject, "01 to 60, whose sequences are known"))
        ratings = path / "beh" / f"sub-{subject}_task-emotion_beh.tsv"
        files = tuple(str(file) for file in (*runs, *([ratings] if ratings.is_file() else [])))
        listed.append(Recording(name, config.layout, subject, 1, files, config, problem))
    return listed


def read(recording: Recording) -> list[Segment]:
    """One segment a run that holds trials of the context. Raises BadInput: truncated EDF, marks other than expected."""
    config, subject = recording.options, recording.subject
    facts, context = FACTS[config.layout], CONTEXTS[config.layout]
    runs = [file for file in recording.files if file.endswith(".edf")]
    raws = [_signals(path) for path in runs]
    marks = _marks(raws, subject)
    codes, ends = sequence(subject, context), _ends(runs, marks, subject, context)
    rated = _ratings(recording.files[-1], marks, subject) if len(recording.files) > len(runs) else {}
    seconds = config.facts.seconds or emoeeg_mc.SECONDS
    trials: list[list[Trial]] = [[] for _ in runs]
    for position, (code, (begins, ends_at)) in enumerate(zip(codes, ends, strict=True), 1):
        start = ends_at.seconds - seconds
        if start < begins.seconds:
            found = f"{ends_at.seconds - begins.seconds:.2f} s from {context} to {ends_at.kind}"
            raise BadInput(runs[begins.run], f"trial {position} ({code})", found, f"at least {seconds:g} s")
        rating = rated.get((context, code))
        trial = emoeeg_mc.trial_of(context, code, position, config, facts, rating, start, ends_at.seconds)
        trials[begins.run].append(trial)
    return [Segment(raw, tuple(shown)) for raw, shown in zip(raws, trials, strict=True) if shown]


def _signals(path: str) -> mne.io.BaseRaw:
    """EEG alone, in the declared order: what the four trigger channels beside it are called is not published."""
    annex.check(path)
    raw = edf.open_raw(path)
    absent = [site for site in emoeeg_mc.EEG if site not in raw.ch_names]
    if absent:
        raise BadInput(path, "channels", f"no {', '.join(absent)}", ", ".join(emoeeg_mc.EEG))
    return raw.pick(list(emoeeg_mc.EEG), verbose="ERROR")


def _marks(raws: list[mne.io.BaseRaw], subject: str) -> list[_Mark]:
    """Marks of the subject's four numbers, in order of time; annotations that are no number of these are left aside."""
    kinds = {str(number): kind for kind, number in tables()["triggers"][subject].items()}
    return [
        _Mark(run, float(onset), kinds[text.strip()])
        for run, raw in enumerate(raws)
        for onset, text in zip(raw.annotations.onset, raw.annotations.description, strict=True)
        if text.strip() in kinds
    ]


def _ends(runs: list[str], marks: list[_Mark], subject: str, context: str) -> list[tuple[_Mark, _Mark]]:
    """(mark of the context, first fade or rating after it) in order of presentation, as many as the sequence has."""
    found = []
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        if mark.kind == context:
            if following is None or following.run != mark.run or following.kind in ("vid", "ima"):
                after = "nothing" if following is None or following.run != mark.run else following.kind
                where = f"mark {context} at {mark.seconds:.2f} s"
                raise BadInput(runs[mark.run], where, f"{after} after it", "a rating or fade")
            found.append((mark, following))
    expected = len(sequence(subject, context))
    if len(found) != expected:
        counts = Counter(mark.kind for mark in marks)
        kinds = ", ".join(f"{counts[kind]} {kind}" for kind in tables()["triggers"][subject])
        raise BadInput(runs[0], f"marks of subject {subject}", kinds, f"{expected} {context}, as its sequence has")
    return found


def _ratings(path: str, marks: list[_Mark], subject: str) -> dict[tuple[str, str], tuple[float, float]]:
    """(context, code) -> the subject's own valence and arousal in [-1, 1]; empty where the order is in doubt."""
    with Path(path).open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    columns = [f"score_{number}" for number in range(1, len(SCORES) + 1)]
    missing = [column for column in columns if column not in (rows[0] if rows else ())]
    if missing:
        raise BadInput(path, "columns", f"no {', '.join(missing)}", ", ".join(columns))
    codes = {context: list(sequence(subject, context)) for context in ("vid", "ima")}
    contexts = [mark.kind for mark in marks if mark.kind in codes]
    if len(rows) != len(contexts) or any(contexts.count(context) != len(codes[context]) for context in codes):
        return {}
    found: dict[tuple[str, str], tuple[float, float]] = {}
    hits, emotional = 0, 0
    for row, context in zip(rows, contexts, strict=True):
        code = codes[context].pop(0)
        known = [_score(path, row[column]) for column in columns]
        score = {name: value for name, value in zip(SCORES, known, strict=True) if value is not None}
        if len(score) < len(SCORES):
            continue
        word = emoeeg_mc.WORDS[code[:-1]]
        if word in score:
            emotional += 1
            hits += score[word] == max(score[emotion] for emotion in SCORES[:6])
        found[context, code] = (score["valence"] / emoeeg_mc.MIDDLE - 1, score["arousal"] / emoeeg_mc.MIDDLE - 1)
    return found if 2 * hits > emotional else {}


def _score(path: str, text: str | None) -> float | None:
    """0..7; None for n/a. Raises BadInput: anything else."""
    if text is None or text.strip().lower() in ("", "n/a", "nan"):
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 2 * emoeeg_mc.MIDDLE:
        raise BadInput(path, "scores", text[:20], "numbers in 0..7, or n/a")
    return value


VIDEO = Corpus("emoeeg_mc_raw_video", FACTS["emoeeg_mc_raw_video"], recordings, read)
IMAGERY = Corpus("emoeeg_mc_raw_imagery", FACTS["emoeeg_mc_raw_imagery"], recordings, read)
