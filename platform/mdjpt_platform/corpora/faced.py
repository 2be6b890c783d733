"""FACED: 123 subjects x 28 film clips, nine emotions (`Processed_data/sub<NNN>.pkl`).

One pickled array (28, 32, 7500) a subject: the last 30 s of every clip at 250 Hz in microvolts. Rows already lie in the
order of the video index, though every subject saw the clips in another order (which the file no longer tells): the
stimulus is row + 1 and nothing may be reordered.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdjpt_platform.corpora import reading
from mdjpt_platform.corpora.affect import VALENCE_CLASSES, plane, valence_class
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus, Trial
from mdjpt_platform.corpora.pickles import load_arrays
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

EEG = reading.words(
    "Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T7 T8 CP1 CP2 CP5 CP6 Pz P3 P4 P7 P8 PO3 PO4 Oz O1 O2"
)
FILE_CHANNELS = (*EEG, "A2", "A1")
"""Rows. Sources disagree on the last two (mastoids in either order, or eye channels): typed misc."""
RATE = 250.0
SECONDS = 30.0
EMOTIONS = ("anger", "disgust", "fear", "sadness", "neutral", "amusement", "inspiration", "joy", "tenderness")
STIMULUS_EMOTION = tuple(e for e in EMOTIONS for _ in range(4 if e == "neutral" else 3))
"""Emotion of stimuli 1..28: three clips each, four neutral."""
RATINGS: dict[str, tuple[float, float]] = {
    "anger": (1.70, 4.67), "disgust": (1.64, 4.15), "fear": (1.57, 4.33), "sadness": (1.86, 3.27),
    "neutral": (3.18, 1.41), "amusement": (4.23, 3.68), "inspiration": (4.79, 3.94), "joy": (4.37, 3.42),
    "tenderness": (4.43, 3.41),
}  # fmt: skip
"""Mean valence and arousal (0-7) that the 123 subjects gave the clips of an emotion."""
MEASURED = {word: (v / 3.5 - 1, a / 3.5 - 1) for word, (v, a) in RATINGS.items()}

FACTS = Facts(
    title="FACED",
    channels=EEG,
    rate=RATE,
    recorded=1000.0,
    subjects=123,
    sessions=1,
    shown=tuple(Stimulus(str(k), emotion, SECONDS) for k, emotion in enumerate(STIMULUS_EMOTION, 1)),
    unit="uV",
    labels={"default": EMOTIONS, "valence": VALENCE_CLASSES, "binary": ("negative", "positive")},
    licence="Synapse terms; the BIDS copy nm000112 is CC-BY-4.0",
    obtain="https://doi.org/10.7303/syn50614194 (free account): Processed_data.zip, unpacked in the folder",
    citation="Chen et al. 2023, Sci. Data 10:740, doi 10.1038/s41597-023-02650-w",
    tested="layout",
    affect={"unified": plane(EMOTIONS), "measured": MEASURED},
)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a subject. Raises BadInput: folder absent or without sub<NNN>.pkl."""
    reading.check_options(config, FACTS)
    reading.declared_stimuli(config, FACTS)
    folder = reading.existing_folder(root, "Processed_data")
    # The extracted features next door are called sub<NNN>.pkl.pkl: the whole name has to match.
    found = [(match[1], path) for match, path in reading.matching(folder, r"sub(\d+)\.pkl")]
    return [Recording(name, "faced", s, 1, (str(path),), config) for s, path in reading.wanted(found, config, folder)]


def read(recording: Recording) -> list[Segment]:
    """One segment a row. Raises BadInput: hostile or damaged pickle, another shape, values that are no numbers."""
    (path,) = recording.files
    config = recording.options
    stimuli = reading.declared_stimuli(config, FACTS)
    values = load_arrays(path)
    if not isinstance(values, np.ndarray):
        raise BadInput(path, "pickle", "a dictionary", "one array")
    length = reading.samples(config.facts.seconds or SECONDS, RATE)
    reading.check_shape(path, "array", values.shape, (len(stimuli), len(FILE_CHANNELS), length))
    reading.check_numbers(path, "array", values)
    types = ["eeg" if channel in EEG else "misc" for channel in FILE_CHANNELS]
    segments = []
    for position, (row, stimulus) in enumerate(zip(values, stimuli, strict=True), 1):
        place = reading.place(STIMULUS_EMOTION[stimulus - 1], config, FACTS)
        trial = Trial(position, str(stimulus), position, label_of(config, stimulus), *place, 0.0, None)
        segments.append(Segment(reading.raw_from_microvolts(row, FILE_CHANNELS, types, RATE), (trial,)))
    return segments


def label_of(config: CorpusConfig, stimulus: int) -> str | None:
    """Class of a stimulus (1..28) in the schemes that go by stimulus; None: left out by `binary`."""
    emotion = STIMULUS_EMOTION[stimulus - 1]
    return reading.in_scheme(emotion if config.labels == "default" else valence_class(emotion), config, FACTS)


CORPUS = Corpus("faced", FACTS, recordings, read)
