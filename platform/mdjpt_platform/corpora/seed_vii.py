"""SEED-VII: 20 subjects x 4 sessions x 20 film clips, 62 channels, seven emotions (`EEG_preprocessed/<subject>.mat`).

One file a subject with a matrix (62, 200 s) in microvolts for each of the 80 clips, called `1`..`80`: the stimulus is
20 (session - 1) + trial, in the same order for everybody. A recording is the 20 clips of one session, and reads no
others. Names are numbers: `10` comes after `9`. The publisher filtered (0.1-70 Hz, notch 50 Hz) and repaired channels.

Only the sum of the clips' lengths is published (14 097.86 s) and that they last 2-5 min, so lengths are held against
generous bounds, which a copy at another rate oversteps, and `Stimulus.seconds` is None. Numbers of the classes differ
between repositories (fear and surprise); the words, and the order of the clips, do not. Source: DATASETS 5.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mdjpt_platform.corpora import matfile, reading, seed_family
from mdjpt_platform.corpora.affect import VALENCE_CLASSES, on_grid, plane
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus
from mdjpt_platform.corpora.seed_family import EEG, FILE_CHANNELS, LICENCE, RATE, RAW_RATE
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

EMOTIONS = ("happy", "neutral", "disgust", "sadness", "anger", "fear", "surprise")
HALVES = (
    ("happy", "neutral", "disgust", "sadness", "anger", "anger", "sadness", "disgust", "neutral", "happy"),
    ("anger", "sadness", "fear", "neutral", "surprise", "surprise", "neutral", "fear", "sadness", "anger"),
    ("happy", "surprise", "disgust", "fear", "anger", "anger", "fear", "disgust", "surprise", "happy"),
    ("disgust", "sadness", "fear", "surprise", "happy", "happy", "surprise", "fear", "sadness", "disgust"),
)
"""Emotions of the first ten clips, by session; the other ten repeat them."""
EMOD = {
    "happy": (7, 6), "neutral": (4, 4), "disgust": (2, 5), "sadness": (3, 5), "anger": (3, 6), "fear": (3, 6),
    "surprise": (4, 6),
}  # fmt: skip
"""Valence and arousal (0-8) of EMOD, AAAI 2026."""
TRIALS = 20
BOUNDS = (60.0, 400.0)
"""Seconds that a clip may last."""

SHOWN = tuple(
    Stimulus(str(TRIALS * (session - 1) + k), emotion, None, session)
    for session, half in enumerate(HALVES, 1)
    for k, emotion in enumerate(2 * half, 1)
)

FACTS = Facts(
    title="SEED-VII",
    channels=EEG,
    rate=RATE,
    recorded=RAW_RATE,
    subjects=20,
    sessions=4,
    shown=SHOWN,
    unit="uV",
    labels={"default": EMOTIONS, "valence": VALENCE_CLASSES, "binary": ("negative", "positive")},
    licence=LICENCE,
    obtain="apply at https://bcmi.sjtu.edu.cn/home/seed, unpack so that EEG_preprocessed/ lies in the folder",
    citation="Jiang et al. 2024, IEEE Trans. Affect. Comput., doi 10.1109/TAFFC.2024.3485057",
    tested="layout",
    affect={"unified": plane(EMOTIONS), "emod": on_grid(EMOD)},
)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """Four recordings a data file, whose sessions are counted when it is opened. Raises BadInput: folder absent, no
    data file.
    """
    seed_family.check_options(config, FACTS)
    folder = reading.existing_folder(root, "EEG_preprocessed")
    files = [(match[1], path) for match, path in reading.matching(folder, r"(\d+)\.mat")]
    sessions = range(1, (config.facts.sessions or FACTS.sessions) + 1)
    found = [(subject, (k, path)) for subject, path in reading.wanted(files, config, folder) for k in sessions]
    return seed_family.by_session(name, "seed_vii", config, FACTS, folder, found)


def read(recording: Recording) -> list[Segment]:
    """One segment a clip of the session. Raises BadInput; also for a session missing or one too many in the file."""
    (path,) = recording.files
    config = recording.options
    shapes = matfile.variables(path)
    _check_sessions(path, list(shapes), config.facts.sessions or FACTS.sessions)
    segments = []
    for position, number in enumerate(reading.declared_stimuli(config, FACTS), 1):
        shown = SHOWN[TRIALS * (recording.session - 1) + number - 1]
        if shown.id not in shapes:
            raise BadInput(path, "variables", f"no {shown.id}", f"the declared clips of session {recording.session}")
        seconds = config.facts.seconds or _seconds(path, shown.id, shapes[shown.id])
        values = matfile.matrix(path, shown.id, (len(FILE_CHANNELS), reading.samples(seconds, RATE)))
        trial = reading.trial(position, shown, (0.0, seconds), config, FACTS)
        segments.append(seed_family.segment(values, trial))
    return segments


def _check_sessions(path: str, names: list[str], expected: int) -> None:
    clips = [int(name) for name in names if name.isdecimal()]
    if not clips:
        raise BadInput(path, "variables", ", ".join(names[:5]) or "none", "1, 2, ... 80")
    sessions = sorted({(clip - 1) // TRIALS + 1 for clip in clips})
    if sessions != list(range(1, expected + 1)):
        raise BadInput(path, "sessions", f"{sessions} by the clips' numbers", list(range(1, expected + 1)))


def _seconds(path: str, key: str, shape: tuple[int, ...]) -> float:
    """Seconds of a clip of this shape: whole, and as many as a clip of 2-5 min may last."""
    rows, length = (*shape, 0, 0)[:2]
    seconds, rest = divmod(length, int(RATE))
    if rows != len(FILE_CHANNELS) or rest or not BOUNDS[0] <= seconds <= BOUNDS[1]:
        expected = f"{len(FILE_CHANNELS)} rows of whole seconds at {RATE:g} Hz, {BOUNDS[0]:g} to {BOUNDS[1]:g} of them"
        raise BadInput(path, f"shape of {key}", shape, expected)
    return float(seconds)


CORPUS = Corpus("seed_vii", FACTS, recordings, read)
