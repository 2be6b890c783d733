"""SEED: 15 subjects x 3 sessions x 15 film clips, 62 channels, three classes (`Preprocessed_EEG/*.mat`).

One file a session, `<subject>_<date>.mat`, with a matrix `<initials>_eeg<k>` (62, 200 s + 1) in microvolts for trial k.
The initials differ from subject to subject; k is a number, so 10 comes after 9. Sessions are a subject's files by date.
All sessions show the same clips in the same order: the stimulus is the trial number, whatever the session.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdjpt_platform.corpora import matfile, reading, seed_family
from mdjpt_platform.corpora.affect import VALENCE_CLASSES, plane
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus
from mdjpt_platform.corpora.seed_family import EEG, FILE_CHANNELS, LICENCE, RATE, RAW_RATE
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

SECONDS = (235, 233, 206, 238, 185, 195, 237, 216, 265, 237, 235, 233, 235, 238, 206)
"""Length of the published trials 1..15."""
LABELS = (1, 0, -1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 0, 1, -1)
"""Published labels of trials 1..15."""

FACTS = Facts(
    title="SEED",
    channels=EEG,
    rate=RATE,
    recorded=RAW_RATE,
    subjects=15,
    sessions=3,
    shown=tuple(
        Stimulus(str(k), VALENCE_CLASSES[label + 1], float(seconds))
        for k, (label, seconds) in enumerate(zip(LABELS, SECONDS, strict=True), 1)
    ),
    unit="uV",
    labels={"default": VALENCE_CLASSES},
    licence=LICENCE,
    obtain="apply at https://bcmi.sjtu.edu.cn/home/seed, unpack so that Preprocessed_EEG/ lies in the folder",
    citation="Zheng & Lu 2015, IEEE Trans. Auton. Ment. Dev. 7(3):162-175, doi 10.1109/TAMD.2015.2431497",
    tested="layout",
    affect={"unified": plane(VALENCE_CLASSES)},
)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a data file; a subject without all of its sessions carries the problem.

    Raises BadInput: folder or label.mat absent.
    """
    reading.check_options(config, FACTS, sessions=True)
    reading.declared_stimuli(config, FACTS)
    folder = reading.existing_folder(root, "Preprocessed_EEG")
    labels = reading.existing_file(folder, "label.mat")
    found = [(match[1], path) for match, path in reading.matching(folder, r"(\d+)_(\d{8})\.mat")]
    by_date = groupby(reading.wanted(found, config, folder), key=lambda item: item[0])
    ranked = [(subject, item) for subject, group in by_date for item in enumerate((path for _, path in group), 1)]
    return seed_family.by_session(name, "seed", config, FACTS, folder, ranked, beside=(labels,))


def read(recording: Recording) -> list[Segment]:
    """One segment a trial; its trial leaves out the sample past the whole seconds. Raises BadInput."""
    path, label_path = recording.files
    config = recording.options
    stimuli = reading.declared_stimuli(config, FACTS)
    keys = seed_family.numbered(path, matfile.variables(path), stimuli)
    _check_labels(label_path, stimuli)
    segments = []
    for position, (key, stimulus) in enumerate(zip(keys, stimuli, strict=True), 1):
        seconds = config.facts.seconds or SECONDS[stimulus - 1]
        # One matrix at a time: a whole published file is 350 MB once unpacked.
        values = matfile.matrix(path, key, (len(FILE_CHANNELS), reading.samples(seconds, RATE) + 1))
        trial = reading.trial(position, FACTS.shown[stimulus - 1], (0.0, float(seconds)), config, FACTS)
        segments.append(seed_family.segment(values, trial))
    return segments


def _check_labels(path: str, stimuli: tuple[int, ...]) -> None:
    """Hold the labels -1, 0, 1 of the files' trials against the published ones."""
    values = np.ravel(matfile.numbers(path, "label")).tolist()
    if len(values) == FACTS.stimuli:
        values = [values[stimulus - 1] for stimulus in stimuli]
    expected = [LABELS[stimulus - 1] for stimulus in stimuli]
    if values != expected:
        raise BadInput(path, "label", values, f"{expected}: the published labels of stimuli {list(stimuli)}")


CORPUS = Corpus("seed", FACTS, recordings, read)
