"""FACED as recorded: `Data/sub<NNN>/{data.bdf, evt.bdf, After_remarks.mat}`, 123 subjects x 28 film clips.

Every subject saw the clips in another order. `evt.bdf` holds marks alone: for every clip its video index "1".."28",
then "101" where it begins and "102" where it ends; others ("100", "201", "202", the amplifier's own) are left aside.
The stimulus is the video index, the play order that of the marks. `After_remarks.mat` has the ratings (0-7) in play
order with the index of the clip (`vid`), which must tell the same order. A trial is the last 30 s of a clip, as in the
publishers' processed files (`faced`), or `facts.seconds`.

Two cohorts: subjects 0-60 with the old names T3 T4 T5 T6 and mastoids A1 A2, the others with HEOR HEOL, of which nobody
says what they recorded; neither is scalp EEG. The rate is 250 or 1000 Hz: sources disagree on who has which, so the
header decides, and `Recording_info.csv` (where it lies in the folder) must not contradict it. In a quarter of the files
the unit is blank and MNE takes microvolts for volts; the preparation's step `unit` tells by amplitude.

Label schemes of `faced`, and `own_valence`, `own_arousal`, `own_quadrant`, which cut the subject's own ratings at 3.5
(3.5 is high).
Source: DATASETS 7.1, 7.3.
"""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import mne
import numpy as np

from mdjpt_platform.corpora import edf, faced, matfile, reading
from mdjpt_platform.corpora.base import Corpus, Recording, Segment, Trial
from mdjpt_platform.corpora.ratings import OWN, own_label
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

OLD_NAMES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
EYES = ("HEOR", "HEOL")
BEGINS, ENDS = "101", "102"
MIDDLE = 3.5
"""Of the rating scale, 0-7."""
AROUSAL, VALENCE, SCORES = 8, 9, 12
"""Columns of `score`, and how many there are."""
INFO = "Recording_info.csv"
MAX_BYTES = 2**24
"""Largest `evt.bdf` opened; its marks are read at once."""

FACTS = replace(
    faced.FACTS,
    title="FACED, raw",
    rate=1000.0,
    unit="uV, blank in the header of some 33 subjects",
    labels=faced.FACTS.labels | OWN,
    obtain="https://doi.org/10.7303/syn50614194 (free account): the folder Data, and Recording_info.csv beside it",
)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a subject; a missing file of its three is its problem. Raises BadInput: folder absent or empty."""
    reading.check_options(config, FACTS)
    reading.declared_stimuli(config, FACTS)
    folder = reading.existing_folder(root, "Data")
    info = folder.parent / INFO
    found = [(match[1], path) for match, path in reading.matching(folder, r"sub(\d+)") if path.is_dir()]
    listed = []
    for subject, path in reading.wanted(found, config, folder):
        files = [path / part for part in ("data.bdf", "evt.bdf", "After_remarks.mat")]
        absent = ", ".join(file.name for file in files if not file.is_file())
        problem = str(BadInput(path, "files", f"no {absent}", "data.bdf, evt.bdf, After_remarks.mat")) if absent else ""
        names = tuple(str(file) for file in (*files, *([info] if info.is_file() else [])))
        listed.append(Recording(name, "faced_raw", subject, 1, names, config, problem))
    return listed


def read(recording: Recording) -> list[Segment]:
    """One continuous segment. Raises BadInput: truncated or foreign file, marks and ratings that disagree."""
    signals, marks, remarks, *info = recording.files
    config = recording.options
    clips = _clips(marks, reading.declared_stimuli(config, FACTS))
    ratings = _ratings(remarks, [stimulus for stimulus, _, _ in clips])
    raw = _signals(signals)
    rate = raw.info["sfreq"]
    for table in info:
        _check_rate(table, recording.subject, rate)
    seconds = config.facts.seconds or faced.SECONDS
    trials = []
    for position, ((stimulus, begins, ends), (valence, arousal)) in enumerate(zip(clips, ratings, strict=True), 1):
        if ends - begins < seconds or ends > raw.n_times / rate:
            found = f"{begins:.2f} s to {ends:.2f} s in {raw.n_times / rate:.2f} s"
            raise BadInput(marks, f"clip {stimulus}", found, f"at least {seconds:g} s inside the recording")
        scaled = (valence / MIDDLE - 1, arousal / MIDDLE - 1)
        own = own_label(config.labels, *scaled, middle_is_high=True) if config.labels in OWN else None
        label = own or faced.label_of(config, stimulus)
        trials.append(Trial(position, str(stimulus), position, label, *scaled, ends - seconds, ends))
    return [Segment(raw, tuple(trials))]


def _clips(path: str, stimuli: tuple[int, ...]) -> list[tuple[int, float, float]]:
    """(video index, beginning, end in seconds) of every clip in play order."""
    if Path(path).stat().st_size > MAX_BYTES:
        raise BadInput(path, "size", f"{Path(path).stat().st_size} bytes", f"at most {MAX_BYTES}: marks alone")
    try:
        notes = mne.read_annotations(path)
    except reading.READ_ERRORS as error:
        raise BadInput(path, "marks", f"{type(error).__name__}: {str(error)[:80]}", "BDF annotations") from None
    # Exact texts: by prefix the "1" of clip 1 would also be the "100", the "101" and the impedances.
    known = {str(number) for number in range(1, FACTS.stimuli + 1)} | {BEGINS, ENDS}
    pairs = [(float(onset), str(text).strip()) for onset, text in zip(notes.onset, notes.description, strict=True)]
    marks = sorted((onset, int(text)) for onset, text in pairs if text in known)
    clips = []
    for place in range(0, len(marks), 3):
        codes = [code for _, code in marks[place : place + 3]]
        if codes[0] > FACTS.stimuli or codes[1:] != [int(BEGINS), int(ENDS)]:
            found = f"{', '.join(map(str, codes))} as marks {place + 1} to {place + len(codes)}"
            raise BadInput(path, "marks", found, f"a video index, {BEGINS}, {ENDS}")
        clips.append((codes[0], marks[place + 1][0], marks[place + 2][0]))
    shown = [stimulus for stimulus, _, _ in clips]
    if sorted(shown) != sorted(stimuli):
        raise BadInput(path, "video indices", shown, f"each of {sorted(stimuli)} once")
    return clips


def _ratings(path: str, shown: list[int]) -> list[tuple[float, float]]:
    """(valence, arousal) as rated, 0-7, in play order, which must be that of the marks."""
    remarks = matfile.load(path, "After_remark")
    if remarks.dtype.names is None or not {"vid", "score"} <= set(remarks.dtype.names):
        raise BadInput(path, "After_remark", "no structure with vid and score", "vid, score, trial of every clip")
    indices = [_numbers(row["vid"]) for row in remarks.ravel()]
    rated = [index[0] if len(index) == 1 else None for index in indices]
    if rated != shown:
        found = f"{[None if index is None else int(index) for index in rated]}"
        raise BadInput(path, "vid of After_remark", found, f"{shown}, the order of the marks in evt.bdf")
    scores = [_numbers(row["score"]) for row in remarks.ravel()]
    for stimulus, score in zip(shown, scores, strict=True):
        if len(score) != SCORES or not all(0 <= score[column] <= 2 * MIDDLE for column in (VALENCE, AROUSAL)):
            raise BadInput(path, f"score of clip {stimulus}", score[:SCORES], f"{SCORES} ratings of 0..7")
    return [(score[VALENCE], score[AROUSAL]) for score in scores]


def _numbers(cell: object) -> list[float]:
    """Numbers in a cell of a structure; empty for anything else."""
    values = np.ravel(np.asarray(cell))
    return [float(value) for value in values] if values.dtype.kind in "fiu" else []


def _signals(path: str) -> mne.io.BaseRaw:
    """Typed by name: whatever is no scalp channel of FACED ends here, whichever cohort recorded it."""
    raw = edf.open_raw(path)
    sites = {name: OLD_NAMES.get(name, name) for name in raw.ch_names}
    absent = [site for site in FACTS.channels if list(sites.values()).count(site) != 1]
    if absent:
        raise BadInput(path, "channels", f"not exactly one {', '.join(absent)}", ", ".join(FACTS.channels))
    other = {name: "eog" if name in EYES else "misc" for name, site in sites.items() if site not in FACTS.channels}
    raw.set_channel_types(other, on_unit_change="ignore", verbose="ERROR")
    return raw


def _check_rate(path: str, subject: str, rate: float) -> None:
    """Hold the header's rate against the row of the subject, where the table has one that can be read."""
    with Path(path).open(encoding="utf-8-sig", errors="replace", newline="") as file:
        for row in csv.DictReader(file):
            said = re.search(r"\d+", row.get("Sample_rate") or "")
            whose = re.search(r"\d+", row.get("sub") or "")
            if said and whose and int(whose[0]) == int(subject) and int(said[0]) != rate:
                raise BadInput(path, f"Sample_rate of {row['sub']}", f"{said[0]} Hz", f"{rate:g} Hz, as data.bdf says")


CORPUS = Corpus("faced_raw", FACTS, recordings, read)
