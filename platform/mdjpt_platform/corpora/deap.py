"""DEAP: 32 subjects x 40 one-minute music videos with ratings (`data_preprocessed_python/s<NN>.dat`).

One Python-2 pickle a subject: `data` (40, 40, 8064) at 128 Hz in microvolts, three seconds of baseline first, and
`labels` (40, 4) = valence, arousal, dominance, liking on 1-9. Rows already lie in the order of Experiment_id for every
subject: the stimulus is row + 1.

Label schemes: `default` calls stimuli 1-20 positive and 21-40 negative. That halving is what mdJPT uses; that the first
half is the pleasant one is recalled from the video list and not verified against it. `quadrant` goes by stimulus too:
1-10 HAHV, 11-20 LAHV, 21-30 LALV, 31-40 HALV, recalled and not verified either (DATASETS 9.2). `own_valence`,
`own_arousal` and `own_quadrant` cut the subject's own ratings at 5 (5 counts as high).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdjpt_platform.corpora import reading
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus, Trial
from mdjpt_platform.corpora.pickles import load_arrays
from mdjpt_platform.corpora.ratings import OWN, QUADRANTS, own_label
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

EEG = reading.words(
    "Fp1 AF3 F3 F7 FC5 FC1 C3 T7 CP5 CP1 P3 P7 PO3 O1 Oz Pz Fp2 AF4 Fz F4 F8 FC6 FC2 Cz C4 T8 CP6 CP2 P4 P8 PO4 O2"
)
PERIPHERAL = {
    "hEOG": "eog",
    "vEOG": "eog",
    "zEMG": "emg",
    "tEMG": "emg",
    "GSR": "misc",
    "Respiration": "misc",
    "Plethysmograph": "misc",
    "Temperature": "misc",
}
FILE_CHANNELS = (*EEG, *PERIPHERAL)
NO_VOLTAGE = tuple(name for name, kind in PERIPHERAL.items() if kind == "misc")
RATE = 128.0
BASELINE = 3.0
"""Seconds before every trial."""
SECONDS = 60.0
MIDDLE = 5.0

FACTS = Facts(
    title="DEAP",
    channels=EEG,
    rate=RATE,
    recorded=512.0,
    subjects=32,
    sessions=1,
    shown=tuple(Stimulus(str(k), "positive" if k <= 20 else "negative", SECONDS) for k in range(1, 41)),
    unit="uV",
    labels={"default": ("negative", "positive"), "quadrant": QUADRANTS} | OWN,
    licence="signed end-user licence, academic research",
    obtain="apply at http://www.eecs.qmul.ac.uk/mmv/datasets/deap, unpack data_preprocessed_python.zip in the folder",
    citation="Koelstra et al. 2012, IEEE Trans. Affect. Comput. 3(1):18-31, doi 10.1109/T-AFFC.2011.15",
    tested="layout",
)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a subject. Raises BadInput: folder absent or without s<NN>.dat."""
    reading.check_options(config, FACTS)
    reading.declared_stimuli(config, FACTS)
    folder = reading.existing_folder(root, "data_preprocessed_python")
    found = [(match[1], path) for match, path in reading.matching(folder, r"s(\d+)\.dat")]
    return [Recording(name, "deap", s, 1, (str(path),), config) for s, path in reading.wanted(found, config, folder)]


def read(recording: Recording) -> list[Segment]:
    """One segment a row, baseline included; the trial starts after it. Raises BadInput."""
    (path,) = recording.files
    config = recording.options
    stimuli = reading.declared_stimuli(config, FACTS)
    seconds = config.facts.seconds or SECONDS
    tree = load_arrays(path)
    if isinstance(tree, np.ndarray) or not {"data", "labels"} <= tree.keys():
        found = "one array" if isinstance(tree, np.ndarray) else ", ".join(tree)
        raise BadInput(path, "pickle", found, "a dictionary with data and labels")
    values, ratings = tree["data"], tree["labels"]
    length = reading.samples(BASELINE + seconds, RATE)
    reading.check_shape(path, "data", values.shape, (len(stimuli), len(FILE_CHANNELS), length))
    reading.check_shape(path, "labels", ratings.shape, (len(stimuli), 4))
    reading.check_numbers(path, "data", values)
    if not np.all((ratings[:, :2] >= 1) & (ratings[:, :2] <= 9)):
        raise BadInput(path, "labels", f"ratings {ratings[:, :2].min()}..{ratings[:, :2].max()}", "1..9")
    types = ["eeg"] * len(EEG) + list(PERIPHERAL.values())
    segments = []
    for position, (row, stimulus) in enumerate(zip(values, stimuli, strict=True), 1):
        valence, arousal = (unit(float(rating)) for rating in ratings[position - 1, :2])
        label = label_of(config.labels, stimulus, valence, arousal)
        trial = Trial(position, str(stimulus), position, label, valence, arousal, BASELINE, BASELINE + seconds)
        segments.append(Segment(reading.raw_from_microvolts(row, FILE_CHANNELS, types, RATE, NO_VOLTAGE), (trial,)))
    return segments


def half(stimulus: int) -> str:
    """`positive` for stimuli 1-20, `negative` for 21-40 (see the module's docstring)."""
    return "positive" if stimulus <= FACTS.stimuli // 2 else "negative"


def label_of(scheme: str, stimulus: int, valence: float, arousal: float) -> str | None:
    """Class of a trial: by its stimulus, or for `own_` schemes by the ratings (in [-1, 1]) that its subject gave."""
    if scheme == "default":
        return half(stimulus)
    if scheme == "quadrant":
        return QUADRANTS[(stimulus - 1) // 10]
    return own_label(scheme, valence, arousal, middle_is_high=True)


def unit(rating: float) -> float:
    """1..9 to -1..1."""
    return (rating - MIDDLE) / 4


CORPUS = Corpus("deap", FACTS, recordings, read)
