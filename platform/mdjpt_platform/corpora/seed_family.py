"""What the SEED sets share: the cap, one recording a subject and session, variables numbered by trial.

Channels: DATASETS 1 (`seed62`). A subject without all of its sessions is listed with a `problem`, so that its
recordings are left out with a reason and those of the other subjects are prepared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import mne
import numpy as np

from mdjpt_platform.corpora import neuroscan, reading
from mdjpt_platform.corpora.base import Facts, Recording, Segment, Stimulus, Trial
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

FILE_CHANNELS = reading.words(
    "FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4 C6 T8 "
    "TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 CB1 O1 OZ O2 CB2"
)
"""Rows of every cut matrix."""
UNPLACED = ("CB1", "CB2")
"""Cerebellar sites that no standard montage holds: typed misc, as mdJPT and EEG-FM-Bench leave them out."""
EEG = tuple(name for name in FILE_CHANNELS if name not in UNPLACED)
RATE = 200.0
"""Samples per second of the cut matrices."""
RAW_RATE = 1000.0
"""Samples per second of the amplifier, and so of every `.cnt`."""
KEY = re.compile(r"(?!_).*_eeg(\d+)")
"""Variables of SEED and SEED-IV: the subject's initials, `_eeg`, the number of the trial."""
LICENCE = "signed agreement, non-commercial research"


def check_options(config: CorpusConfig, facts: Facts, *, seconds: bool = True, stimuli: bool = True) -> None:
    """As `reading.check_options`; further, sessions beyond the published are refused, and a subset of stimuli where a
    continuous recording holds them all."""
    reading.check_options(config, facts, sessions=True, seconds=seconds)
    reading.declared_stimuli(config, facts)
    if (config.facts.sessions or 1) > facts.sessions:
        raise BadInput(facts.title, "facts.sessions", config.facts.sessions, f"at most {facts.sessions}")
    if not stimuli and config.facts.stimuli is not None:
        raise BadInput(facts.title, "facts.stimuli", "a subset", "none: the recordings are continuous")


def by_session(
    name: str,
    layout: str,
    config: CorpusConfig,
    facts: Facts,
    folder: Path,
    found: Iterable[tuple[str, tuple[int, Path]]],
    beside: Sequence[Path] = (),
) -> list[Recording]:
    """Recordings of (subject, (session, file)), each with the files `beside` it, sorted by subject and session.

    Wherever a subject's sessions are not 1, 2, ... once each, all of its recordings carry the problem.
    """
    expected = list(range(1, (config.facts.sessions or facts.sessions) + 1))
    listed = []
    ordered = sorted(found, key=lambda item: (reading.natural(item[0]), item[1][0]))
    for subject, group in groupby(ordered, key=lambda item: item[0]):
        files = [item for _, item in group]
        sessions = [session for session, _ in files]
        problem = ""
        if sessions != expected:
            names = ", ".join(sorted({path.name for _, path in files}, key=reading.natural))
            problem = str(BadInput(folder, f"sessions of subject {subject}", f"{sessions} ({names})", expected))
        for session, same in groupby(files, key=lambda item: item[0]):
            paths = tuple(str(path) for path in (*(path for _, path in same), *beside))
            listed.append(Recording(name, layout, subject, session, paths, config, problem))
    return listed


def numbered(path: str, names: Iterable[str], stimuli: tuple[int, ...]) -> list[str]:
    """Variable names in the order of their numbers, which are 1..n or the declared stimuli's own."""
    names = list(names)
    found = sorted((int(match[1]), name) for name in names if (match := KEY.fullmatch(name)))
    numbers = [number for number, _ in found]
    if not numbers:
        raise BadInput(path, "variables", ", ".join(names[:5]) or "none", "<initials>_eeg1, <initials>_eeg2, ...")
    if numbers not in (list(range(1, len(stimuli) + 1)), list(stimuli)):
        raise BadInput(path, "trials", numbers, f"1..{len(stimuli)} for stimuli {list(stimuli)}")
    return [name for _, name in found]


def segment(values: np.ndarray, trial: Trial) -> Segment:
    """A cut matrix (62, samples) in microvolts with its trial."""
    types = ["misc" if channel in UNPLACED else "eeg" for channel in FILE_CHANNELS]
    return Segment(reading.raw_from_microvolts(values, FILE_CHANNELS, types, RATE), (trial,))


def open_cnt(path: str) -> mne.io.BaseRaw:
    """A continuous recording, lazily. Raises BadInput."""
    return neuroscan.open_cnt(path, EEG, RAW_RATE)


def marked(
    recording: Recording,
    raw: mne.io.BaseRaw,
    marks: Sequence[tuple[float, float]],
    shown: Sequence[Stimulus],
    facts: Facts,
) -> list[Segment]:
    """One lazy segment a trial of a continuous recording, from the (start, end) of its stimuli in seconds."""
    cuts = neuroscan.around(recording.files[0], raw, marks)
    return [
        Segment(cut, (reading.trial(position, stimulus, span, recording.options, facts),))
        for position, ((cut, span), stimulus) in enumerate(zip(cuts, shown, strict=True), 1)
    ]
