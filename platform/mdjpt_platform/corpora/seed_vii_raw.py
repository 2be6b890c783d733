"""SEED-VII as recorded: `EEG_raw/<subject>_<date>_<session>.cnt`, 1000 Hz (its cut `.mat` files: seed_vii.py).

62 EEG channels, M1, M2, ECG, HEO, VEO. The date comes before the session here, the other way round than in SEED-V. The
annotations of a file are pairs, start and end of a clip; the first 20 pairs are the trials. Two published recordings
have wrong triggers; theirs stand in `save_info/<recording>_trigger_info.csv` (code, time of day; 1 starts a clip, 2
ends it), to be counted from the times in CLOCK. Trials are cut to whole seconds, as the publisher cut the `.mat` files.
Source: DATASETS 5, from the corpus authors' own extraction code.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from mdjpt_platform.corpora import reading, seed_family, seed_vii
from mdjpt_platform.corpora.base import Corpus, Recording, Segment
from mdjpt_platform.corpora.seed_family import RAW_RATE
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

CLOCK = {"9_20221111_3": datetime(2022, 11, 11, 14, 1, 27), "14_20221015_1": datetime(2022, 10, 15, 14, 25, 34)}
"""When the recordings with wrong triggers began."""

FACTS = replace(
    seed_vii.FACTS,
    title="SEED-VII, raw recordings",
    rate=RAW_RATE,
    unit="V, by the calibration in the file",
    obtain="apply at https://bcmi.sjtu.edu.cn/home/seed, unpack so that EEG_raw/ and save_info/ lie in the folder",
)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a data file; what lacks its trigger file, or a subject without all of its sessions, carries the
    problem.

    Raises BadInput: folder absent, no data file.
    """
    seed_family.check_options(config, FACTS, seconds=False, stimuli=False)
    folder = reading.existing_folder(root, "EEG_raw")
    files = reading.matching(folder, r"(\d+)_(\d{8})_([1-4])\.cnt")
    found = [(match[1], (int(match[3]), path)) for match, path in files]
    listed = seed_family.by_session(name, "seed_vii_raw", config, FACTS, folder, reading.wanted(found, config, folder))
    return [_with_triggers(recording, root) for recording in listed]


def read(recording: Recording) -> list[Segment]:
    """One lazy segment a clip, with a margin before and after. Raises BadInput."""
    path, *triggers = recording.files
    raw = seed_family.open_cnt(path)
    if triggers:
        marks = _from_csv(triggers[0], CLOCK[Path(path).stem])
    else:
        marks = _pairs(path, [float(onset) for onset in raw.annotations.onset])
    shown = [stimulus for stimulus in FACTS.shown if stimulus.session == recording.session]
    return seed_family.marked(recording, raw, marks, shown, FACTS)


def _with_triggers(recording: Recording, root: Path) -> Recording:
    """The recording with the trigger file it needs, if it needs one."""
    stem = Path(recording.files[0]).stem
    if stem not in CLOCK or recording.problem:
        return recording
    path = Path(root, "save_info", f"{stem}_trigger_info.csv").absolute()
    if not path.is_file():
        problem = BadInput(path, "file", "nothing there", "the triggers, which are wrong in this recording's .cnt")
        return replace(recording, problem=str(problem))
    return replace(recording, files=(*recording.files, str(path)))


def _from_csv(path: str, clock: datetime) -> list[tuple[float, float]]:
    """Marks of a trigger file without header: code, date and time."""
    onsets, codes = [], []
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            try:
                code, moment = int(row[0]), datetime.fromisoformat(row[1].strip().replace("/", "-"))
            except (LookupError, ValueError):
                raise BadInput(path, f"line {number}", ",".join(row), "a code, and a date with a time") from None
            if code in (1, 2):
                onsets.append((moment - clock).total_seconds())
                codes.append(code)
    pairs = len(onsets) // 2
    if codes != [1, 2] * pairs:
        raise BadInput(path, "codes", codes, "1 and 2 in turn")
    return _pairs(path, onsets)


def _pairs(path: str, onsets: Sequence[float]) -> list[tuple[float, float]]:
    """(start, end) of the clips, each of whole seconds, from their alternating onsets in seconds."""
    wanted = 2 * seed_vii.TRIALS
    if len(onsets) < wanted:
        raise BadInput(path, "triggers", len(onsets), f"{wanted}: start and end of {seed_vii.TRIALS} clips")
    onsets = onsets[:wanted]
    low, high = seed_vii.BOUNDS
    lengths = [end - start for start, end in zip(onsets[::2], onsets[1::2], strict=True)]
    if onsets[0] < 0 or any(after <= before for before, after in pairwise(onsets)):
        raise BadInput(path, "triggers", "seconds that do not rise from 0", "clips one after another")
    for position, length in enumerate(lengths, 1):
        if not low <= length <= high:
            raise BadInput(path, f"length of clip {position}", f"{length:.2f} s", f"{low:g} to {high:g} s")
    # A trigger may be a few milliseconds off, which must not cost a whole second.
    return [(start, start + int(length + 0.05)) for start, length in zip(onsets[::2], lengths, strict=True)]


CORPUS = Corpus("seed_vii_raw", FACTS, recordings, read)
