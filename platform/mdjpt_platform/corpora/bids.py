"""Any EEG data set in BIDS: `sub-*/[ses-*/]eeg/*_eeg.{vhdr,edf,bdf,set}` with `*_events.tsv` beside it.

Trials are the rows of events.tsv that have a `stimulus` (equal for two rows iff the same thing was shown). Further
columns: `trial_type` (an emotion word), `onset`, `duration` in seconds, optionally `valence` and `arousal` in [-1, 1];
without them the word's place in the affect plane is taken. Trials keep the order in which they were shown, which may
differ between subjects. Channel names, types and units come from the files and channels.tsv.

Label schemes: `default` sorts emotion words by valence, `emotions` keeps the nine of FACED; other rows are unlabelled.
Source: BIDS 1.10, "Electroencephalography" and "Events".
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import mne

from mdjpt_platform.corpora import reading
from mdjpt_platform.corpora.affect import AFFECT, VALENCE_CLASSES, plane, valence_class
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Trial
from mdjpt_platform.corpora.edf import check_whole
from mdjpt_platform.corpora.faced import EMOTIONS
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

SIGNALS = (".vhdr", ".edf", ".bdf", ".set")
SIDECARS = (".eeg", ".vmrk", ".fdt", ".json")
ABSENT = ("", "n/a")

FACTS = Facts(
    title="BIDS",
    channels=(),
    rate=0.0,
    recorded=0.0,
    subjects=0,
    sessions=0,
    shown=(),
    unit="as channels.tsv says",
    labels={"default": VALENCE_CLASSES, "emotions": EMOTIONS},
    licence="the data set's own",
    obtain="any EEG data set in BIDS, e.g. from https://openneuro.org",
    citation="Pernet et al. 2019, Sci. Data 6:103, doi 10.1038/s41597-019-0104-8",
    tested="layout",
    affect={"unified": plane(AFFECT)},
)
"""Empty or zero: not a fact of the layout, the files tell."""


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a subject and session, with all its runs. Raises BadInput: events.tsv absent, sessions missing."""
    reading.check_options(config, FACTS, sessions=True)
    folder = reading.existing_folder(root)
    found = [(match[1], path) for match, path in reading.matching(folder, r"sub-([A-Za-z0-9]+)") if path.is_dir()]
    listed = []
    for subject, path in reading.wanted(found, config, folder):
        by_session: defaultdict[str, list[Path]] = defaultdict(list)
        for file in sorted(path.glob("**/eeg/*_eeg.*"), key=lambda file: reading.natural(file.name)):
            if file.suffix in SIGNALS:
                by_session[file.parent.parent.name].append(file)
        expected = config.facts.sessions or max(len(by_session), 1)
        if len(by_session) != expected:
            raise BadInput(path, "sessions", f"{len(by_session)} with EEG", expected)
        for session, parent in enumerate(sorted(by_session, key=reading.natural), 1):
            files = [str(part) for signal in by_session[parent] for part in _parts(signal)]
            listed.append(Recording(name, "bids", subject, session, tuple(files), config))
    return listed


def read(recording: Recording) -> list[Segment]:
    """One segment a run. Raises BadInput: truncated signals, events outside them, missing columns, other stimuli."""
    config = recording.options
    segments: list[Segment] = []
    for path in (Path(file) for file in recording.files if Path(file).suffix in SIGNALS):
        rows = _rows(path)  # before the signals: mne-bids reads the same table and names no file when it cannot
        raw = _signals(path)
        shown = sum(len(segment.trials) for segment in segments)
        segments.append(Segment(raw, tuple(_trials(path, rows, raw, config, shown))))
    found = [trial.stimulus for segment in segments for trial in segment.trials]
    expected = None if config.facts.stimuli is None else sorted(map(str, config.facts.stimuli))
    if not found or (expected is not None and sorted(found) != expected):
        where = recording.files[0]
        raise BadInput(where, "stimuli of events.tsv", sorted(found, key=reading.natural), expected or "at least one")
    return segments


def _parts(signal: Path) -> list[Path]:
    """The signal file and everything beside it that decides what is read."""
    events = reading.existing_file(_events(signal))
    channels = events.with_name(events.name.replace("_events.tsv", "_channels.tsv"))
    beside = [*(signal.with_suffix(suffix) for suffix in SIDECARS), channels]
    return [signal, events, *(path for path in beside if path.is_file())]


def _signals(path: Path) -> mne.io.BaseRaw:
    import mne_bids  # only here: the other six readers do without it

    if path.suffix in (".edf", ".bdf"):
        check_whole(path)
    try:
        raw = mne_bids.read_raw_bids(mne_bids.get_bids_path_from_fname(path), verbose="ERROR").load_data(
            verbose="ERROR"
        )
    except reading.READ_ERRORS as error:
        raise BadInput(path, "EEG file", f"{type(error).__name__}: {str(error)[:120]}", "readable BIDS EEG") from None
    sidecar = path.with_suffix(".json")
    declared = json.loads(sidecar.read_text(encoding="utf-8")).get("RecordingDuration") if sidecar.is_file() else None
    seconds = raw.n_times / raw.info["sfreq"]
    # BrainVision has no length of its own: without this a truncated .eeg would merely look short.
    if isinstance(declared, int | float) and abs(declared - seconds) > 1:
        raise BadInput(path, "length", f"{seconds:.2f} s", f"{declared} s, the RecordingDuration of {sidecar.name}")
    return raw


def _rows(signal: Path) -> list[dict[str, str]]:
    """Rows of events.tsv that name a stimulus, in the order of their onsets."""
    events = _events(signal)
    with events.open(encoding="utf-8-sig", newline="") as file:  # some published files start with a byte-order mark
        rows = list(csv.DictReader(file, delimiter="\t"))
    missing = {"onset", "duration", "trial_type", "stimulus"} - set(rows[0] if rows else ())
    if missing:
        raise BadInput(events, "columns", f"no {', '.join(sorted(missing))}", "onset, duration, trial_type, stimulus")
    return sorted((row for row in rows if row["stimulus"] not in ABSENT), key=lambda row: _number(events, row, "onset"))


def _trials(
    signal: Path, rows: list[dict[str, str]], raw: mne.io.BaseRaw, config: CorpusConfig, shown: int
) -> list[Trial]:
    events, rate = _events(signal), raw.info["sfreq"]
    length = raw.n_times / rate
    trials = []
    for position, row in enumerate(rows, shown + 1):
        start, seconds = _number(events, row, "onset"), _number(events, row, "duration")
        if not (start >= 0 and seconds > 0 and start + seconds <= length + 1 / rate):
            raise BadInput(events, f"trial {position}", f"{start} s + {seconds} s", f"within {length:.2f} s")
        if config.facts.seconds is not None and abs(seconds - config.facts.seconds) > 1 / rate:
            raise BadInput(events, f"duration of trial {position}", seconds, config.facts.seconds)
        word = row["trial_type"]
        label = reading.in_scheme(valence_class(word) if config.labels == "default" else word, config, FACTS)
        valence, arousal = (
            usual if row.get(column) in (None, *ABSENT) else _number(events, row, column)
            for column, usual in zip(("valence", "arousal"), reading.place(word, config, FACTS), strict=True)
        )
        stop = min(start + seconds, length)
        trials.append(Trial(position, row["stimulus"], position, label, valence, arousal, start, stop))
    return trials


def _events(signal: Path) -> Path:
    return signal.with_name(signal.name.removesuffix(f"_eeg{signal.suffix}") + "_events.tsv")


def _number(path: Path, row: dict[str, str], column: str) -> float:
    try:
        return float(row[column])
    except ValueError:
        raise BadInput(path, column, row[column], "a number") from None


CORPUS = Corpus("bids", FACTS, recordings, read)
