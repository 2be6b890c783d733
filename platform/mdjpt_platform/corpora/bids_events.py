"""Trials of one BIDS run: rows of events.tsv, or the run as a whole."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from mdjpt_platform.corpora import mapping as means
from mdjpt_platform.corpora.base import Facts, Trial
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    import mne

    from mdjpt_platform.config import CorpusConfig

LABEL = "trial_type"
"""Column of the label, unless the mapping names another."""


def beside(signal: Path, ending: str) -> Path | None:
    """The `*_<ending>` that applies to a signal file: its own, or the nearest above it whose entities it all has.

    Source: BIDS 1.10, "The Inheritance Principle".
    """
    entities = set(signal.name.rpartition("_")[0].split("_"))
    for folder in signal.parents[: 4 if signal.parent.parent.name.startswith("ses-") else 3]:
        hits = [p for p in folder.glob(f"*_{ending}") if set(p.name.removesuffix(f"_{ending}").split("_")) <= entities]
        if hits:
            return max(hits, key=lambda path: len(path.name))
    return None


def trials_of_events(events: Path, raw: mne.io.BaseRaw, config: CorpusConfig, facts: Facts, before: int) -> list[Trial]:
    """Rows of events.tsv that have a stimulus, in the order of their onsets; `before` trials came in earlier runs.

    A duration of 0 or n/a is `facts.seconds`, if that is declared. Raises BadInput: columns or numbers missing, onsets
    in samples, a trial outside the recording, a mapping under which nothing has a label.
    """
    mapping, rate = means.mapping_of(config), raw.info["sfreq"]
    column, length = mapping.label or LABEL, float(raw.n_times / rate)
    rows = means.table(events, "\t", ["onset", "duration", *means.columns(config, LABEL)])
    onsets = [means.number(row, "onset", events) for row in rows if row["onset"] not in means.ABSENT]
    if onsets and median(onsets) > length:
        raise BadInput(events, "onset", f"{max(onsets):g} in a recording of {length:.2f} s: samples?", "seconds")
    rows = [row for row in means.chosen(rows, config) if row[mapping.stimulus] not in means.ABSENT]
    rows.sort(key=lambda row: means.number(row, "onset", events))
    trials = []
    for position, row in enumerate(rows, before + 1):
        start, seconds = means.number(row, "onset", events), _duration(row, position, config, events)
        if not (start >= 0 and seconds > 0 and start + seconds <= length + 1 / rate):
            raise BadInput(events, f"trial {position}", f"{start} s + {seconds} s", f"within {length:.2f} s")
        if config.facts.seconds is not None and abs(seconds - config.facts.seconds) > 1 / rate:
            raise BadInput(events, f"duration of trial {position}", seconds, config.facts.seconds)
        label, valence, arousal = means.meaning(row, column, config, facts, events)
        stop = min(start + seconds, length)
        trials.append(Trial(position, row[mapping.stimulus], position, label, valence, arousal, start, stop))
    means.check_labelled(trials, rows, column, config, facts, events)
    return trials


def trial_of_run(signal: Path, row: means.Row, config: CorpusConfig, facts: Facts, before: int, where: Path) -> Trial:
    """The whole run as one trial: label from the subject's row of participants.tsv, stimulus the task (and run)."""
    column = means.mapping_of(config).label or LABEL
    entities = dict(part.split("-", 1) for part in signal.name.split("_") if "-" in part)
    stimulus = "-".join(entities[key] for key in ("task", "run") if key in entities)
    trial = Trial(before + 1, stimulus, before + 1, *means.meaning(row, column, config, facts, where))
    means.check_labelled([trial], [row], column, config, facts, where)
    return trial


def participants(path: Path, config: CorpusConfig) -> dict[str, means.Row]:
    """Subject (without `sub-`) -> row of participants.tsv. Raises BadInput: a column absent, a subject twice."""
    rows = means.table(path, "\t", ["participant_id", *means.columns(config, LABEL, stimulus=False)])
    found = {row["participant_id"].removeprefix("sub-"): row for row in rows}
    if len(found) < len(rows):
        raise BadInput(path, "participant_id", "a subject twice", "every subject once")
    return found


def _duration(row: means.Row, position: int, config: CorpusConfig, events: Path) -> float:
    seconds = 0.0 if row["duration"] in means.ABSENT else means.number(row, "duration", events)
    if seconds == 0:
        if config.facts.seconds is None:
            raise BadInput(events, f"duration of trial {position}", row["duration"], "seconds here or in facts.seconds")
        return config.facts.seconds
    return seconds
