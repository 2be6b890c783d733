"""Any folder of files that MNE can open, with `trials.csv` beside them: the layout for data in no published layout.

One row a trial: `file` (relative to the folder), `subject`, `session` (1, 2, ...), `trial` (its number in the
session), `stimulus` (equal for two trials iff the same thing was shown), `label`, `start`, `stop` (seconds into the
file; an empty stop is its end), and if there are any `valence`, `arousal` in [-1, 1], `play_order` (else the number).
Other column names, codes, classes and scales: `mapping` of the run file. A recording is a subject in a session, in as
many files as it takes. `channels.csv` (`name`, `type`, `rename`) mends types and names where MNE's are wrong.

Without a mapping, label scheme `default` sorts emotion words by valence, `emotions` keeps the nine of FACED.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mdjpt_platform.corpora import annex, bids, rawfile, reading
from mdjpt_platform.corpora import mapping as means
from mdjpt_platform.corpora.base import Corpus, Recording, Segment, Trial
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    import mne

    from mdjpt_platform.config import CorpusConfig

TABLE, CHANNELS = "trials.csv", "channels.csv"
MAX_DIGITS = 10
LABEL = "label"
"""Column of the label, unless the mapping names another."""
FACTS = replace(
    bids.FACTS,
    title="Folder",
    unit="as the files say",
    obtain="your own recordings, with a trials.csv that says what was shown when",
    citation="the data set's own",
)
"""Empty or zero: not a fact of the layout, the files tell."""


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a subject and session of trials.csv; a file that is absent is a problem of its recording.

    Raises BadInput: folder or trials.csv absent, columns missing, a subject, session or trial that is none, a trial
    twice, a file outside the folder.
    """
    reading.check_options(config, FACTS, sessions=True, mapping=True)
    means.check_mapping(config, FACTS)
    if means.mapping_of(config).source != "events":
        raise BadInput(FACTS.title, "mapping.source", "participants", "events: every row of trials.csv has its label")
    folder = reading.existing_folder(root)
    table = reading.existing_file(folder, TABLE)
    rows = _rows(table, config)
    if not rows:
        raise BadInput(table, "recordings", "no row", "one row a trial")
    grouped: dict[tuple[str, int], list[means.Row]] = {}
    for row in rows:
        grouped.setdefault((row["subject"], int(row["session"])), []).append(row)
    keys = sorted(grouped, key=lambda key: (reading.natural(key[0]), key[1]))
    sessions = {session for _, session in keys}
    if config.facts.sessions not in (None, len(sessions)):
        raise BadInput(table, "sessions", len(sessions), config.facts.sessions)
    listed = []
    for subject, (_, session) in reading.wanted([(subject, (subject, s)) for subject, s in keys], config, table):
        signals = list(dict.fromkeys(_below(folder, row["file"], table) for row in grouped[subject, session]))
        problem = next(filter(None, (annex.problem(path) for path in signals if not path.is_dir())), "")
        side = [table, *(path for path in [folder / CHANNELS] if path.is_file())]
        parts = [part for path in signals if path.exists() for part in rawfile.parts(path)]
        files = tuple(map(str, dict.fromkeys([*side, *parts])))
        listed.append(Recording(name, "folder", subject, session, files, config, problem))
    return listed


def read(recording: Recording) -> list[Segment]:
    """One segment a file. Raises BadInput: unreadable or truncated file, a trial outside it, ratings off the scale."""
    config, mapping = recording.options, means.mapping_of(recording.options)
    table = Path(recording.files[0])
    column = mapping.label or LABEL
    mine = (recording.subject, recording.session)
    rows = [row for row in _rows(table, config) if (row["subject"], int(row["session"])) == mine]
    rows.sort(key=lambda row: (row["file"], int(row["trial"])))
    channels = table.with_name(CHANNELS)
    typed = means.table(channels, ",", ["name"]) if str(channels) in recording.files else []
    unknown = [row["type"] for row in typed if row.get("type", "").upper() not in ("", *rawfile.KINDS)]
    if unknown:
        raise BadInput(channels, "type", unknown[0], ", ".join(rawfile.KINDS))
    segments = []
    for name, group in groupby(rows, key=lambda row: row["file"]):
        raw = rawfile.open_raw(_below(table.parent, name, table), recording.files)
        lost = [row["name"] for row in typed if row["name"] not in raw.ch_names]
        if lost:
            raise BadInput(channels, "channel", lost[0], f"one of {name}'s: {', '.join(raw.ch_names)}")
        rawfile.set_channels(raw, typed, channels)
        segments.append(Segment(raw, tuple(_trial(row, raw, column, config, table) for row in group)))
    trials = sorted((trial for segment in segments for trial in segment.trials), key=lambda trial: trial.trial)
    means.check_labelled(trials, rows, column, config, FACTS, table)
    found, expected = sorted(trial.stimulus for trial in trials), config.facts.stimuli
    if expected is not None and found != sorted(map(str, expected)):
        raise BadInput(table, f"stimuli of {recording.id}", found, sorted(map(str, expected)))
    return sorted(segments, key=lambda segment: segment.trials[0].trial)


def _rows(table: Path, config: CorpusConfig) -> list[means.Row]:
    """Rows that are trials, with subject, session and trial sound. Raises BadInput."""
    fixed = ["file", "subject", "session", "trial", "start", "stop"]
    rows = means.chosen(means.table(table, ",", [*fixed, *means.columns(config, LABEL)]), config)
    seen = set()
    for row in rows:
        for column in ("session", "trial", *(["play_order"] if row.get("play_order") else [])):
            text = row[column]
            if not (text.isascii() and text.isdigit() and len(text) < MAX_DIGITS and int(text) > 0):
                raise BadInput(table, column, repr(text), "a number from 1 on")
        if not (row["subject"].isascii() and row["subject"].replace("-", "").isalnum()):
            raise BadInput(table, "subject", repr(row["subject"]), "letters and digits")
        key = row["subject"], int(row["session"]), int(row["trial"])
        if key in seen:
            raise BadInput(table, "trial", "subject {}, session {}, trial {} twice".format(*key), "every trial once")
        seen.add(key)
        if row[means.mapping_of(config).stimulus] in means.ABSENT:
            raise BadInput(table, f"stimulus of trial {row['trial']}", "nothing", "what was shown")
    return rows


def _below(folder: Path, name: str, table: Path) -> Path:
    """The file, which must lie in the folder whatever its name says."""
    path = folder / name
    inside = name and not PurePosixPath(name).is_absolute() and path.resolve().is_relative_to(folder.resolve())
    if not inside or path.resolve() == folder.resolve():
        raise BadInput(table, "file", repr(name), "a file below the folder of trials.csv")
    return path


def _trial(row: means.Row, raw: mne.io.BaseRaw, column: str, config: CorpusConfig, table: Path) -> Trial:
    where = f"{table}: subject {row['subject']}, session {row['session']}, trial {row['trial']}"
    rate, number = raw.info["sfreq"], int(row["trial"])
    length = float(raw.n_times / rate)
    start = means.number(row, "start", where)
    stop = length if row["stop"] in means.ABSENT else means.number(row, "stop", where)
    if not 0 <= start < stop <= length + 1 / rate:
        raise BadInput(where, "start, stop", f"{start:g} s to {stop:g} s", f"within {length:.2f} s of {row['file']}")
    if config.facts.seconds is not None and abs(stop - start - config.facts.seconds) > 1 / rate:
        raise BadInput(
            where, "stop - start", f"{stop - start:g} s", f"{config.facts.seconds:g} s, as facts.seconds says"
        )
    label, valence, arousal = means.meaning(row, column, config, FACTS, where)
    stimulus, order = row[means.mapping_of(config).stimulus], int(row.get("play_order") or number)
    return Trial(number, stimulus, order, label, valence, arousal, start, min(stop, length))


CORPUS = Corpus("folder", FACTS, recordings, read)
