"""AMIGOS: 40 subjects x 16 short and 4 long videos, Emotiv EPOC (`Data_Preprocessed_P<NN>.mat`).

One MAT file a subject, in `data_preprocessed/` or the folder itself, some copies in a folder of the file's own name. It
holds four cells of 20 that belong together: `VideoIDs`, `joined_data` (T, 17), time first, 128 Hz, microvolts, five
seconds of baseline first; `labels_selfassessment` with AROUSAL before valence on 1-9. The cells are in no promised
order: the stimulus is the VideoID. Session 1 is the short videos; `facts.sessions: 2` adds, as session 2, the long
ones, seen on another day (not by subjects 8, 24, 28; one source adds 32).

Holes are part of the publication: a video whose cell is empty or whose EEG has NaN is absent from the trials, which
keep their cell's number; a missing rating is None. A recording without any whole video is refused.

Label schemes: `default` (valence) and `quadrant` are what a short video was chosen for: four clips a quadrant, as the
paper tabulates them; recalled, not verified. `own_*` cut the subject's own ratings at 5 (5 counts as high). Source:
DATASETS section 11.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdjpt_platform.corpora import matfile, matstream, reading
from mdjpt_platform.corpora.affect import plane
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus, Trial
from mdjpt_platform.corpora.ratings import OWN, QUADRANTS, own_label
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

EEG = reading.words("AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4")
FILE_CHANNELS = (*EEG, "ECG_Right", "ECG_Left", "GSR")
"""Columns."""
TYPES = ("eeg",) * len(EEG) + ("ecg", "ecg", "misc")
RATE = 128.0
BASELINE = 5.0
"""Seconds before every video."""
SHORT = {
    "4": "HAHV", "5": "HAHV", "9": "HAHV", "10": "LAHV", "13": "LAHV", "18": "LAHV", "19": "LALV", "20": "LALV",
    "23": "LALV", "30": "HALV", "31": "HALV", "34": "HALV", "36": "HALV", "58": "LAHV", "80": "HAHV", "138": "LALV",
}  # fmt: skip
"""VideoID -> quadrant."""
LONG = ("N1", "P1", "B1", "U1")
NOT_LONG = ("8", "24", "28")
CELLS = ("VideoIDs", "joined_data", "labels_selfassessment")


def _half(video: str) -> str | None:
    return {"H": "positive", "L": "negative"}[SHORT[video][2]] if video in SHORT else None


FACTS = Facts(
    title="AMIGOS",
    channels=EEG,
    rate=RATE,
    recorded=128.0,
    subjects=40,
    sessions=1,
    shown=(
        *(Stimulus(video, _half(video), None, 1) for video in SHORT),
        *(Stimulus(video, None, None, 2) for video in LONG),
    ),
    unit="uV",
    labels={"default": ("negative", "positive"), "quadrant": QUADRANTS, **OWN},
    licence="signed end-user licence, academic research",
    obtain="apply at http://www.eecs.qmul.ac.uk/mmv/datasets/amigos, unpack the Data_Preprocessed archives",
    citation="Miranda-Correa et al. 2021, IEEE Trans. Affect. Comput. 12(2):479-493, arXiv 1702.02510",
    tested="layout",
    affect={"unified": plane(("negative", "positive"))},
)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a subject, two with the long videos. Raises BadInput: folder absent or empty, a subject twice."""
    reading.check_options(config, FACTS, sessions=True, seconds=False)
    _shown(config, 1)
    sessions = config.facts.sessions or FACTS.sessions
    if sessions > 2:
        raise BadInput(FACTS.title, "facts.sessions", sessions, "1: the short videos, or 2: the long ones as well")
    folder = reading.existing_folder(root)
    folder = folder / "data_preprocessed" if (folder / "data_preprocessed").is_dir() else folder
    hits = reading.matching(folder, r"Data_Preprocessed_P(\d\d)(\.mat)?")
    found = [(str(int(match[1])), path) for match, path in hits]
    twice = [subject for subject, _ in found if [s for s, _ in found].count(subject) > 1]
    if twice:
        raise BadInput(folder, f"subject {twice[0]}", "a file and a folder", "one of the two")
    listed = []
    for subject, path in reading.wanted(found, config, folder):
        file = path / f"{path.name}.mat" if path.is_dir() else path
        absent = "" if file.is_file() else str(BadInput(file, "file", "nothing there", "a file"))
        for session in range(1, sessions + 1):
            problem = absent
            if session == 2 and subject in NOT_LONG:
                problem = str(BadInput(file, "long videos", "none", "four, which this subject did not see"))
            listed.append(Recording(name, "amigos", subject, session, (str(file),), config, problem))
    return listed


def read(recording: Recording) -> list[Segment]:
    """One segment a whole video, baseline included; the trial starts after it. Raises BadInput."""
    (path,) = recording.files
    config = recording.options
    shown = _shown(config, recording.session)
    videos, signals, ratings = _cells(path)
    names = [_text(video) for video in videos]
    unknown = [video for video in names if video not in SHORT and video not in LONG]
    absent = [video for video in shown if video not in names]
    if unknown or absent or len(set(names)) < len(names):
        raise BadInput(path, "VideoIDs", ", ".join(names), f"each once: {', '.join(shown)}")
    segments = []
    for position, (video, values, rating) in enumerate(zip(names, signals, ratings, strict=True), 1):
        if video not in shown or not _whole(path, f"joined_data{{{position}}}", values):
            continue
        valence, arousal = _rating(path, f"labels_selfassessment{{{position}}}", rating)
        usual = reading.place(_half(video), config, FACTS)
        trial = Trial(
            position,
            video,
            position,
            _label(config.labels, video, valence, arousal),
            usual[0] if valence is None else valence,
            usual[1] if arousal is None else arousal,
            BASELINE,
        )
        raw = reading.raw_from_microvolts(values.T, FILE_CHANNELS, TYPES, RATE, ("GSR",))
        segments.append(Segment(raw, (trial,)))
    if not segments:
        raise BadInput(path, "joined_data", "no whole video", f"some of {', '.join(shown)}")
    return segments


def _shown(config: CorpusConfig, session: int) -> tuple[str, ...]:
    """VideoIDs of a session; `facts.stimuli` are the short videos' numbers."""
    if session == 2:
        return LONG
    shown = tuple(map(str, config.facts.stimuli or SHORT))
    if len(set(shown)) < len(shown) or not set(shown) <= set(SHORT):
        raise BadInput(FACTS.title, "facts.stimuli", ", ".join(shown), f"different ones of {', '.join(SHORT)}")
    return shown


def _cells(path: str) -> list[list[Any]]:
    """The three cells, flat and equally long."""
    shapes = matfile.variables(path)
    missing = [key for key in CELLS if key not in shapes]
    if missing:
        raise BadInput(path, "variables", f"no {', '.join(missing)}", ", ".join(CELLS))
    cells = [matstream.branch(path, [key]) for key in CELLS]
    if not all(isinstance(cell, list) for cell in cells) or len({len(cell) for cell in cells}) > 1:
        found = ", ".join(f"{key} {shapes[key]}" for key in CELLS)
        raise BadInput(path, "cells", found, "three cell arrays of one length")
    return cells


def _text(cell: Any) -> str:
    """A VideoID; text, or a number in some copies."""
    return cell.strip() if isinstance(cell, str) else " ".join(f"{number:g}" for number in np.ravel(cell).tolist())


def _whole(path: str, field: str, values: Any) -> bool:
    """Whether a cell holds a video without NaN in its EEG. Another shape is no hole, and refused."""
    if np.size(values) == 0:
        return False
    if np.ndim(values) != 2 or values.shape[1] != len(FILE_CHANNELS) or values.dtype.kind not in "fiu":
        raise BadInput(path, f"shape of {field}", np.shape(values), f"(time, {len(FILE_CHANNELS)}), time first")
    if len(values) <= reading.samples(BASELINE, RATE):
        raise BadInput(path, f"length of {field}", f"{len(values)} samples", f"more than {BASELINE:g} s of baseline")
    return bool(np.isfinite(values[:, : len(EEG)]).all())


def _rating(path: str, field: str, values: Any) -> tuple[float | None, float | None]:
    """(valence, arousal) in [-1, 1] out of a row that begins with arousal, valence."""
    row = np.ravel(values)
    if row.size == 0:
        return None, None
    if row.dtype.kind not in "fiu" or row.size < 2:
        raise BadInput(path, field, row.tolist(), "12 numbers, arousal and valence first")
    arousal, valence = (None if np.isnan(value) else float(value) for value in row[:2])
    if not all(value is None or 1 <= value <= 9 for value in (arousal, valence)):
        raise BadInput(path, field, [arousal, valence], "arousal, valence 1..9")
    return None if valence is None else (valence - 5) / 4, None if arousal is None else (arousal - 5) / 4


def _label(scheme: str, video: str, valence: float | None, arousal: float | None) -> str | None:
    if scheme == "default":
        return _half(video)
    if scheme == "quadrant":
        return SHORT.get(video)
    return own_label(scheme, valence, arousal, middle_is_high=True)


CORPUS = Corpus("amigos", FACTS, recordings, read)
