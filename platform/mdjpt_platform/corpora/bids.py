"""Any EEG data set in BIDS: `sub-*/[ses-*/]eeg/*_eeg.{vhdr,edf,bdf,set}` with `*_events.tsv`.

Trials are the rows of events.tsv that have a `stimulus` (equal for two rows iff the same thing was shown), with a
`trial_type` (an emotion word), `onset`, `duration` in seconds and optionally `valence`, `arousal` in [-1, 1]; without
them the word's place in the affect plane is taken. Other columns, codes, classes, scales: `mapping` of the run file;
with `source: participants` every run is one trial, its label a column of participants.tsv, its stimulus the task.
Trials keep the order in which they were shown, which may differ between subjects; runs follow by name.

Channel names come from the files, types and bad channels from channels.tsv. Sessions count from 1 in the order of
their names over the whole data set. Without a mapping, label scheme `default` sorts emotion words by valence,
`emotions` keeps the nine of FACED; other rows are unlabelled. Source: BIDS 1.10, "Electroencephalography", "Events".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import mne

from mdjpt_platform.corpora import annex, bids_events, rawfile, reading
from mdjpt_platform.corpora import mapping as means
from mdjpt_platform.corpora.affect import AFFECT, VALENCE_CLASSES, plane
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment
from mdjpt_platform.corpora.faced import EMOTIONS
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

SIGNALS = (".vhdr", ".edf", ".bdf", ".set")

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
    """One recording a subject and session, with all its runs. A subject without EEG, a run without events or without
    content, a session that `facts.sessions` declares and a subject lacks: a problem of the recording.

    Raises BadInput: no subject, a number of sessions other than declared, participants.tsv absent where it is needed.
    """
    reading.check_options(config, FACTS, sessions=True, mapping=True)
    means.check_mapping(config, FACTS)
    folder = reading.existing_folder(root)
    found = [(match[1], path) for match, path in reading.matching(folder, r"sub-([A-Za-z0-9]+)") if path.is_dir()]
    runs = {subject: _runs(path) for subject, path in found}
    sessions = sorted({session for by_session in runs.values() for session in by_session}, key=reading.natural)
    if config.facts.sessions not in (None, len(sessions)):
        raise BadInput(folder, "sessions", f"{len(sessions)} with EEG", config.facts.sessions)
    people = None
    if means.mapping_of(config).source == "participants":
        people = bids_events.participants(reading.existing_file(folder, "participants.tsv"), config)
    listed = []
    for subject, path in reading.wanted(found, config, folder):
        for session, label in enumerate(sessions or [""], 1):
            signals = runs[subject].get(label, [])
            if not signals and runs[subject] and config.facts.sessions is None:
                continue
            files = list(dict.fromkeys(part for signal in signals for part in _parts(signal)))
            if people is not None:
                files.append(folder / "participants.tsv")
            problem = _problem(path, label, signals, people is None)
            if people is not None and subject not in people:
                problem = problem or str(BadInput(folder / "participants.tsv", "participant_id", "no row", path.name))
            listed.append(Recording(name, "bids", subject, session, tuple(map(str, files)), config, problem))
    return listed


def read(recording: Recording) -> list[Segment]:
    """One segment a run. Raises BadInput: truncated signals, events outside them, missing columns, other stimuli."""
    config = recording.options
    segments: list[Segment] = []
    for path in (Path(file) for file in recording.files if Path(file).stem.endswith("_eeg")):
        if path.suffix.lower() not in SIGNALS:
            continue
        raw = _signals(path, recording.files)
        before = sum(len(segment.trials) for segment in segments)
        if means.mapping_of(config).source == "participants":
            table = Path(recording.files[-1])
            row = bids_events.participants(table, config)[recording.subject]
            trials = [bids_events.trial_of_run(path, row, config, FACTS, before, table)]
        else:
            events = bids_events.beside(path, "events.tsv") or path
            trials = bids_events.trials_of_events(events, raw, config, FACTS, before)
        segments.append(Segment(raw, tuple(trials)))
    found = [trial.stimulus for segment in segments for trial in segment.trials]
    expected = None if config.facts.stimuli is None else sorted(map(str, config.facts.stimuli))
    if not found or (expected is not None and sorted(found) != expected):
        where = recording.files[0]
        raise BadInput(where, "stimuli of events.tsv", sorted(found, key=reading.natural), expected or "at least one")
    return segments


def _runs(subject: Path) -> dict[str, list[Path]]:
    """Name of the session folder (empty: none) -> its signal files, in natural order."""
    found: dict[str, list[Path]] = {}
    for pattern in ("eeg/*_eeg.*", "ses-*/eeg/*_eeg.*"):
        for file in sorted(subject.glob(pattern), key=lambda file: reading.natural(file.name)):
            if file.suffix.lower() in SIGNALS:
                session = file.parent.parent.name
                found.setdefault(session if session.startswith("ses-") else "", []).append(file)
    return found


def _parts(signal: Path) -> list[Path]:
    """The signal file and everything that decides what is read of it."""
    tables = (bids_events.beside(signal, ending) for ending in ("events.tsv", "channels.tsv"))
    return [*rawfile.parts(signal), *(path for path in tables if path is not None and path.is_file())]


def _problem(subject: Path, session: str, signals: list[Path], events: bool) -> str:
    if not signals:
        return str(BadInput(subject, "EEG", "no *_eeg file", f"some in {session or 'eeg'}"))
    for signal in signals:
        if [other.stem for other in signals].count(signal.stem) > 1:
            return str(BadInput(signal, "run", "in two formats", "one file a run"))
        beside = (signal.with_suffix(suffix) for suffix in (".eeg", ".vmrk", ".fdt", ".json"))
        needed = [signal, *(path for path in beside if path.is_symlink() or path.exists())]
        table = bids_events.beside(signal, "events.tsv")
        if events and table is None:
            return str(
                BadInput(signal, "events.tsv", "none that applies", f"{signal.stem.removesuffix('_eeg')}_events.tsv")
            )
        for path in [*needed, table] if table is not None else needed:
            if why := annex.problem(path):
                return why
    return ""


def _signals(path: Path, files: tuple[str, ...]) -> mne.io.BaseRaw:
    raw = rawfile.open_raw(path, files)
    sidecar = path.with_suffix(".json")
    declared = json.loads(sidecar.read_text(encoding="utf-8")).get("RecordingDuration") if sidecar.is_file() else None
    seconds = raw.n_times / raw.info["sfreq"]
    # BrainVision has no length of its own: without this a truncated .eeg would merely look short.
    if isinstance(declared, int | float) and abs(declared - seconds) > 1:
        raise BadInput(path, "length", f"{seconds:.2f} s", f"{declared} s, the RecordingDuration of {sidecar.name}")
    channels = bids_events.beside(path, "channels.tsv")
    return raw if channels is None else rawfile.set_channels(raw, means.table(channels, "\t", ["name"]), channels)


CORPUS = Corpus("bids", FACTS, recordings, read)
