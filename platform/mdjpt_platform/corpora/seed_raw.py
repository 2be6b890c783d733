"""SEED as recorded: `SEED_RAW_EEG/<subject>_<session>.cnt`, 1000 Hz (its cut `.mat` files: seed.py).

Trials are cut at the seconds that EEG-FM-Bench publishes (DATASETS 2.3); their lengths are those of the cut files. The
digit is the session; all sessions show the same clips in the same order, so the stimulus is the trial number.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mdjpt_platform.corpora import reading, seed, seed_family
from mdjpt_platform.corpora.base import Corpus, Recording, Segment
from mdjpt_platform.corpora.seed_family import RAW_RATE

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

STARTS = (27, 290, 551, 784, 1050, 1262, 1484, 1748, 1993, 2287, 2551, 2812, 3072, 3335, 3599)
"""Seconds from the start of the file."""
MARKS = tuple((start, start + seconds) for start, seconds in zip(STARTS, seed.SECONDS, strict=True))

FACTS = replace(
    seed.FACTS,
    title="SEED, raw recordings",
    rate=RAW_RATE,
    unit="V, by the calibration in the file",
    obtain="apply at https://bcmi.sjtu.edu.cn/home/seed, unpack so that SEED_RAW_EEG/ lies in the folder",
)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a data file; a subject without all of its sessions carries the problem.

    Raises BadInput: folder absent, no data file.
    """
    seed_family.check_options(config, FACTS, seconds=False, stimuli=False)
    folder = reading.existing_folder(root, "SEED_RAW_EEG")
    files = reading.matching(folder, r"(\d+)_([123])\.cnt")
    found = [(match[1], (int(match[2]), path)) for match, path in files]
    return seed_family.by_session(name, "seed_raw", config, FACTS, folder, reading.wanted(found, config, folder))


def read(recording: Recording) -> list[Segment]:
    """One lazy segment a trial, with a margin before and after. Raises BadInput."""
    (path,) = recording.files
    return seed_family.marked(recording, seed_family.open_cnt(path), MARKS, FACTS.shown, FACTS)


CORPUS = Corpus("seed_raw", FACTS, recordings, read)
