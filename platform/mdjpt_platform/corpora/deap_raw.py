"""DEAP as recorded: `data_original/s<NN>.bdf` and `participant_ratings.csv`, 32 subjects x 40 music videos.

A BDF at 512 Hz holds the videos in the order in which its subject saw them. Signal 47 (0-based) is the Status word,
under changing names ("Status", none at all, "-1"); its lowest byte is 4 where a video of 60 s begins, whatever the
other bytes say. The k-th such mark is the row with `Trial` k of the ratings, whose `Experiment_id` is the stimulus.
Subjects 1-22 (Twente) and 23-32 (Geneva) have their channels in different orders: they are taken by name, in `deap`'s.

A recording with fewer marks than trials (one repository met one of 37) is refused: the ratings' `Start_time`, which
could tell the lost ones, is in a unit and from an origin that no source at hand confirms. Label schemes and their
caveats are those of `deap`. Source: DATASETS 9.2.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mdjpt_platform.corpora import deap, edf, reading
from mdjpt_platform.corpora.base import Corpus, Recording, Segment, Trial
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

RATE = 512.0
STATUS = 47
BEGINS = 4
RATINGS = "participant_ratings.csv"
PLACES = ("", "data_original", "metadata_csv")
"""Folders in which copies keep the ratings."""
COLUMNS = ("Participant_id", "Trial", "Experiment_id", "Valence", "Arousal")

FACTS = replace(
    deap.FACTS,
    title="DEAP, raw",
    rate=RATE,
    obtain="apply at http://www.eecs.qmul.ac.uk/mmv/datasets/deap, unpack data_original.zip and metadata_csv.zip there",
)


@dataclass(frozen=True)
class _Rated:
    """A row of the ratings."""

    trial: int
    stimulus: int
    valence: float
    arousal: float


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a subject. Raises BadInput: folder absent or without s<NN>.bdf, no participant_ratings.csv."""
    reading.check_options(config, FACTS)
    reading.declared_stimuli(config, FACTS)
    top = reading.existing_folder(root)
    folder = reading.existing_folder(top, "data_original")
    found = [(match[1], path) for match, path in reading.matching(folder, r"s(\d+)\.bdf")]
    tables = [path for place in PLACES if (path := top / place / RATINGS).is_file()]
    if not tables:
        raise BadInput(top, RATINGS, "none", f"one in the folder, or in {' or '.join(PLACES[1:])}")
    return [
        Recording(name, "deap_raw", subject, 1, (str(path), str(tables[0])), config)
        for subject, path in reading.wanted(found, config, folder)
    ]


def read(recording: Recording) -> list[Segment]:
    """One continuous segment, EEG alone. Raises BadInput: truncated BDF, marks and ratings that do not match."""
    path, table = recording.files
    config = recording.options
    rated = _ratings(table, int(recording.subject), reading.declared_stimuli(config, FACTS))
    raw = edf.open_sites(path, FACTS.channels, RATE)
    begins = edf.onsets(edf.low_bytes(path, STATUS), BEGINS)
    if len(begins) != len(rated):
        expected = f"{len(rated)}, one a video; which one is lost cannot be told"
        raise BadInput(path, f"marks of code {BEGINS} in signal {STATUS}", len(begins), expected)
    seconds = config.facts.seconds or deap.SECONDS
    trials = []
    for row, sample in zip(rated, begins, strict=True):
        start = sample / RATE
        if sample + reading.samples(seconds, RATE) > raw.n_times:
            length = raw.n_times / RATE
            raise BadInput(path, f"trial {row.trial}", f"{start:g} s + {seconds:g} s", f"within {length:g} s")
        scaled = (deap.unit(row.valence), deap.unit(row.arousal))
        label = deap.label_of(config.labels, row.stimulus, *scaled)
        trials.append(Trial(row.trial, str(row.stimulus), row.trial, label, *scaled, start, start + seconds))
    return [Segment(raw, tuple(trials))]


def _ratings(path: str, subject: int, stimuli: tuple[int, ...]) -> list[_Rated]:
    """A subject's rows in play order: trials 1..n, every stimulus once."""
    with Path(path).open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = list(csv.DictReader(file))
    missing = [column for column in COLUMNS if column not in (rows[0] if rows else ())]
    if missing:
        raise BadInput(path, "columns", f"no {', '.join(missing)}", ", ".join(COLUMNS))
    own = [row for row in rows if (row["Participant_id"] or "").strip() == str(subject)]
    found = sorted((_rated(path, row) for row in own), key=lambda row: row.trial)
    trials, shown = [row.trial for row in found], [row.stimulus for row in found]
    if trials != list(range(1, len(stimuli) + 1)):
        raise BadInput(path, f"Trial of participant {subject}", trials, f"1 to {len(stimuli)}")
    if sorted(shown) != sorted(stimuli):
        raise BadInput(path, f"Experiment_id of participant {subject}", shown, f"each of {sorted(stimuli)} once")
    return found


def _rated(path: str, row: dict[str, str]) -> _Rated:
    try:
        rated = _Rated(int(row["Trial"]), int(row["Experiment_id"]), float(row["Valence"]), float(row["Arousal"]))
    except (TypeError, ValueError):
        raise BadInput(path, "row", list(row.values())[:8], f"numbers in {', '.join(COLUMNS)}") from None
    if not (1 <= rated.valence <= 9 and 1 <= rated.arousal <= 9):
        raise BadInput(path, f"ratings of trial {rated.trial}", (rated.valence, rated.arousal), "1..9")
    return rated


CORPUS = Corpus("deap_raw", FACTS, recordings, read)
