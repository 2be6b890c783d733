"""SEED: 15 subjects x 3 sessions x 15 film clips, 62 channels, three classes (`Preprocessed_EEG/*.mat`).

One file a session, `<subject>_<date>.mat`, with a matrix `<initials>_eeg<k>` (62, 200 s + 1) in microvolts for trial k.
The initials differ from subject to subject; k is a number, so 10 comes after 9. Sessions are a subject's files by date.
All sessions show the same clips in the same order: the stimulus is the trial number, whatever the session.
"""

from __future__ import annotations

import re
import zlib
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.io import loadmat, whosmat
from scipy.io.matlab import MatReadError

from mdjpt_platform.corpora import reading
from mdjpt_platform.corpora.affect import VALENCE_CLASSES, plane
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus, Trial
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

FILE_CHANNELS = reading.words(
    "FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4 C6 T8 "
    "TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 CB1 O1 OZ O2 CB2"
)
"""Rows of every matrix."""
UNPLACED = ("CB1", "CB2")
"""Cerebellar sites that no standard montage holds: typed misc, as mdJPT and EEG-FM-Bench leave them out."""
RATE = 200.0
SECONDS = (235, 233, 206, 238, 185, 195, 237, 216, 265, 237, 235, 233, 235, 238, 206)
"""Length of the published trials 1..15."""
LABELS = (1, 0, -1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 0, 1, -1)
"""Published labels of trials 1..15."""

FACTS = Facts(
    title="SEED",
    channels=tuple(name for name in FILE_CHANNELS if name not in UNPLACED),
    rate=RATE,
    recorded=1000.0,
    subjects=15,
    sessions=3,
    shown=tuple(
        Stimulus(str(k), VALENCE_CLASSES[label + 1], float(seconds))
        for k, (label, seconds) in enumerate(zip(LABELS, SECONDS, strict=True), 1)
    ),
    unit="uV",
    labels={"default": VALENCE_CLASSES},
    licence="signed agreement, non-commercial research",
    obtain="apply at https://bcmi.sjtu.edu.cn/home/seed, unpack so that Preprocessed_EEG/ lies in the folder",
    citation="Zheng & Lu 2015, IEEE Trans. Auton. Ment. Dev. 7(3):162-175, doi 10.1109/TAMD.2015.2431497",
    tested="layout",
    affect={"unified": plane(VALENCE_CLASSES)},
)
_KEY = re.compile(r"(?!_).*_eeg(\d+)")
_DAMAGED = (MatReadError, ValueError, TypeError, LookupError, EOFError, OSError, NotImplementedError, zlib.error)
"""What SciPy raises on files that are truncated or no MAT file (NotImplementedError: MATLAB 7.3)."""


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a data file. Raises BadInput: folder or label.mat absent, wrong number of sessions."""
    reading.check_options(config, FACTS, sessions=True)
    reading.declared_stimuli(config, FACTS)
    folder = reading.existing_folder(root, "Preprocessed_EEG")
    labels = reading.existing_file(folder, "label.mat")
    found = [(match[1], path) for match, path in reading.matching(folder, r"(\d+)_(\d{8})\.mat")]
    sessions = config.facts.sessions or FACTS.sessions
    listed = []
    for subject, group in groupby(reading.wanted(found, config, folder), key=lambda item: item[0]):
        files = [path for _, path in group]
        if len(files) != sessions:
            names = ", ".join(path.name for path in files)
            raise BadInput(folder, f"sessions of subject {subject}", f"{len(files)} ({names})", sessions)
        for session, path in enumerate(files, 1):
            listed.append(Recording(name, "seed", subject, session, (str(path), str(labels)), config))
    return listed


def read(recording: Recording) -> list[Segment]:
    """One segment a trial; its trial leaves out the sample past the whole seconds. Raises BadInput."""
    path, label_path = recording.files
    config = recording.options
    stimuli = reading.declared_stimuli(config, FACTS)
    keys, labels = _keys(path, stimuli), _labels(label_path, stimuli)
    segments = []
    for position, (key, stimulus) in enumerate(zip(keys, stimuli, strict=True), 1):
        seconds = config.facts.seconds or SECONDS[stimulus - 1]
        # One matrix at a time: a whole published file is 350 MB once unpacked.
        values = _load(path, key)
        reading.check_shape(path, key, values.shape, (len(FILE_CHANNELS), reading.samples(seconds, RATE) + 1))
        reading.check_numbers(path, key, values)
        types = ["misc" if channel in UNPLACED else "eeg" for channel in FILE_CHANNELS]
        raw = reading.raw_from_microvolts(values, FILE_CHANNELS, types, RATE)
        label = VALENCE_CLASSES[labels[position - 1] + 1]
        valence, arousal = reading.place(label, config, FACTS)
        trial = Trial(position, str(stimulus), position, label, valence, arousal, 0.0, float(seconds))
        segments.append(Segment(raw, (trial,)))
    return segments


def _keys(path: str, stimuli: tuple[int, ...]) -> list[str]:
    """Variable names in the order of their numbers, which are 1..n or the declared stimuli's own."""
    try:
        names = [name for name, _, _ in whosmat(path)]
    except _DAMAGED as error:
        raise _damaged(path, error) from None
    numbered = sorted((int(match[1]), name) for name in names if (match := _KEY.fullmatch(name)))
    numbers = [number for number, _ in numbered]
    if not numbers:
        raise BadInput(path, "variables", ", ".join(names[:5]) or "none", "<initials>_eeg1, <initials>_eeg2, ...")
    if numbers not in (list(range(1, len(stimuli) + 1)), list(stimuli)):
        raise BadInput(path, "trials", numbers, f"1..{len(stimuli)} for stimuli {list(stimuli)}")
    return [name for _, name in numbered]


def _labels(path: str, stimuli: tuple[int, ...]) -> list[int]:
    """Labels -1, 0, 1 of the files' trials, held against the published ones."""
    values = np.ravel(_load(path, "label")).tolist()
    if len(values) == FACTS.stimuli:
        values = [values[stimulus - 1] for stimulus in stimuli]
    expected = [LABELS[stimulus - 1] for stimulus in stimuli]
    if values != expected:
        raise BadInput(path, "label", values, f"{expected}: the published labels of stimuli {list(stimuli)}")
    return expected


def _load(path: str, key: str) -> np.ndarray[Any, Any]:
    try:
        tree = loadmat(path, variable_names=[key])
    except _DAMAGED as error:
        raise _damaged(path, error) from None
    if key not in tree:
        raise BadInput(path, "variables", "none of that name", key)
    return np.asarray(tree[key])


def _damaged(path: str, error: Exception) -> BadInput:
    return BadInput(path, "MAT file", f"{type(error).__name__}: {str(error)[:80]}", "a whole MAT file, version 5")


CORPUS = Corpus("seed", FACTS, recordings, read)
