"""SEED-V: 16 subjects x 3 sessions x 15 film clips, five emotions, raw recordings only (`EEG_raw/*.cnt`).

One file a session, `<subject>_<set>_<date>.cnt`, 1000 Hz, 62 EEG channels, M1, M2, VEO, HEO. The digit names the set of
clips and not the rank of the date (some subjects saw set 3 before set 2): it is the session. The 45 clips are all
different and come in the same order for everybody: the stimulus is 15 (session - 1) + trial.

Trials are cut at the published seconds from the file's start, equal for all subjects. The files hold everything, so no
shorter trials and no subset of stimuli can be declared. Source: DATASETS 4, where five readers agree on the marks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mdjpt_platform.corpora import reading, seed_family
from mdjpt_platform.corpora.affect import VALENCE_CLASSES, plane
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus
from mdjpt_platform.corpora.seed_family import EEG, LICENCE, RAW_RATE

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

EMOTIONS = ("disgust", "fear", "sadness", "neutral", "happy")
"""In order of the published codes 0..4."""
CODES = (
    (4, 1, 3, 2, 0, 4, 1, 3, 2, 0, 4, 1, 3, 2, 0),
    (2, 1, 3, 0, 4, 4, 0, 3, 2, 1, 3, 4, 1, 2, 0),
    (2, 1, 3, 0, 4, 4, 0, 3, 2, 1, 3, 4, 1, 2, 0),
)
"""Published labels by session."""
STARTS = (
    (30, 132, 287, 555, 773, 982, 1271, 1628, 1730, 2025, 2227, 2435, 2667, 2932, 3204),
    (30, 299, 548, 646, 836, 1000, 1091, 1392, 1657, 1809, 1966, 2186, 2333, 2490, 2741),
    (30, 353, 478, 674, 825, 908, 1200, 1346, 1451, 1711, 2055, 2307, 2457, 2726, 2888),
)
ENDS = (
    (102, 228, 524, 742, 920, 1240, 1568, 1697, 1994, 2166, 2401, 2607, 2901, 3172, 3359),
    (267, 488, 614, 773, 967, 1059, 1331, 1622, 1777, 1908, 2153, 2302, 2428, 2709, 2817),
    (321, 418, 643, 764, 877, 1147, 1284, 1418, 1679, 1996, 2275, 2425, 2664, 2857, 3066),
)
MARKS = tuple(tuple(zip(starts, ends, strict=True)) for starts, ends in zip(STARTS, ENDS, strict=True))
"""Published (start, end) of the trials in seconds, by session."""
TRIALS = 15

SHOWN = tuple(
    Stimulus(str(TRIALS * (session - 1) + k), EMOTIONS[code], float(end - start), session)
    for session, (codes, marks) in enumerate(zip(CODES, MARKS, strict=True), 1)
    for k, (code, (start, end)) in enumerate(zip(codes, marks, strict=True), 1)
)

FACTS = Facts(
    title="SEED-V",
    channels=EEG,
    rate=RAW_RATE,
    recorded=RAW_RATE,
    subjects=16,
    sessions=3,
    shown=SHOWN,
    unit="V, by the calibration in the file",
    labels={"default": EMOTIONS, "valence": VALENCE_CLASSES, "binary": ("negative", "positive")},
    licence=LICENCE,
    obtain="apply at https://bcmi.sjtu.edu.cn/home/seed, unpack so that EEG_raw/ lies in the folder",
    citation="Liu et al. 2022, IEEE Trans. Cogn. Dev. Syst. 14(2):715-729, doi 10.1109/TCDS.2021.3071170",
    tested="layout",
    affect={"unified": plane(EMOTIONS)},
)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a data file; a subject without all of its sets carries the problem.

    Raises BadInput: folder absent, no data file.
    """
    seed_family.check_options(config, FACTS, seconds=False, stimuli=False)
    folder = reading.existing_folder(root, "EEG_raw")
    files = reading.matching(folder, r"(\d+)_([123])_(\d{8})\.cnt")
    found = [(match[1], (int(match[2]), path)) for match, path in files]
    return seed_family.by_session(name, "seed_v", config, FACTS, folder, reading.wanted(found, config, folder))


def read(recording: Recording) -> list[Segment]:
    """One lazy segment a trial, with a margin before and after. Raises BadInput."""
    (path,) = recording.files
    shown = [stimulus for stimulus in SHOWN if stimulus.session == recording.session]
    return seed_family.marked(recording, seed_family.open_cnt(path), MARKS[recording.session - 1], shown, FACTS)


CORPUS = Corpus("seed_v", FACTS, recordings, read)
