"""THU-EP: 80 subjects x 28 film clips, nine emotions (`EEG data/sub_<N>.mat`).

One MATLAB 7.3 file (HDF5) a subject, with `data` (7500, 32, 28, 6) as HDF5 has it: time, channel, stimulus, band, at
250 Hz in microvolts. Bands are delta to gamma and, last, 0.5-47 Hz: that one alone is read, a sixth of 320 MB. The
stimulus axis has the same order for everybody, with the emotions of FACED in FACED's order: the stimulus is index + 1.

Subject 75 is unusable, subjects 37 and 46 lack some stimuli (those trials are absent, the others keep their numbers).
Source: DATASETS section 8, loaders of others; the ratings beside the signals are of unknown shape and are not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from mdjpt_platform.corpora import reading
from mdjpt_platform.corpora.affect import VALENCE_CLASSES, plane, valence_class
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus, Trial
from mdjpt_platform.corpora.faced import EMOTIONS, STIMULUS_EMOTION
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

FILE_CHANNELS = reading.words(
    "Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T7 T8 A1 A2 CP1 CP2 CP5 CP6 Pz P3 P4 P7 P8 PO3 PO4 Oz O1 O2"
)
MASTOIDS = ("A1", "A2")
EEG = tuple(name for name in FILE_CHANNELS if name not in MASTOIDS)
BANDS, BROAD = 6, 5
RATE = 250.0
SECONDS = 30.0
UNUSABLE = ("75",)
ABSENT = {"37": (16, 22, 25), "46": (4, 10, 18, 24, 27)}
"""Damaged stimuli of a subject (published counted from 0: 15, 21, 24 and 3, 9, 17, 23, 26)."""

FACTS = Facts(
    title="THU-EP",
    channels=EEG,
    rate=RATE,
    recorded=250.0,
    subjects=80,
    sessions=1,
    shown=tuple(Stimulus(str(k), emotion, SECONDS) for k, emotion in enumerate(STIMULUS_EMOTION, 1)),
    unit="uV",
    labels={"default": EMOTIONS, "valence": VALENCE_CLASSES, "binary": ("negative", "positive")},
    licence="not found; ask the authors",
    obtain="from the authors (Tsinghua University): `EEG data/sub_1.mat` to `sub_80.mat` in the folder",
    citation="Hu, Wang & Zhang 2022, NeuroImage (unverified); used in Shen et al. 2023, IEEE Trans. Affect. Comput.",
    tested="layout",
    affect={"unified": plane(EMOTIONS)},
)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a subject; subject 75 has a problem. Raises BadInput: folder absent or without sub_<N>.mat."""
    reading.check_options(config, FACTS)
    reading.declared_stimuli(config, FACTS)
    folder = reading.existing_folder(root, "EEG data")
    found = [(match[1], path) for match, path in reading.matching(folder, r"sub_([1-9]\d*)\.mat")]
    return [
        Recording(name, "thu_ep", subject, 1, (str(path),), config, _problem(path, subject))
        for subject, path in reading.wanted(found, config, folder)
    ]


def read(recording: Recording) -> list[Segment]:
    """One segment a stimulus. Raises BadInput: no HDF5 file, `data` absent or of another shape, NaN."""
    (path,) = recording.files
    config = recording.options
    stimuli = reading.declared_stimuli(config, FACTS)
    length = reading.samples(config.facts.seconds or SECONDS, RATE)
    values = _broad_band(path, (length, len(FILE_CHANNELS), len(stimuli), BANDS))
    types = ["misc" if channel in MASTOIDS else "eeg" for channel in FILE_CHANNELS]
    segments = []
    for position, stimulus in enumerate(stimuli, 1):
        if stimulus in ABSENT.get(recording.subject, ()):
            continue
        row = values[:, :, position - 1].T
        reading.check_numbers(path, f"stimulus {stimulus}", row)
        emotion = STIMULUS_EMOTION[stimulus - 1]
        word = emotion if config.labels == "default" else valence_class(emotion)
        trial = Trial(
            position,
            str(stimulus),
            position,
            reading.in_scheme(word, config, FACTS),
            *reading.place(emotion, config, FACTS),
        )
        segments.append(Segment(reading.raw_from_microvolts(row, FILE_CHANNELS, types, RATE), (trial,)))
    return segments


def _problem(path: Path, subject: str) -> str:
    return str(BadInput(path, "subject", subject, "another: its recording is damaged")) if subject in UNUSABLE else ""


def _broad_band(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """[time, channel, stimulus] of the broad band, read without the other five."""
    try:
        with h5py.File(path, "r") as file:
            # A link or a virtual or external data set would open files that nobody named.
            plain = isinstance(file.get("data", getlink=True), h5py.HardLink)
            data = file["data"] if plain else None
            if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
                raise BadInput(path, "variables", ", ".join(sorted(file)[:5]) or "none", "a data set `data`")
            reading.check_shape(path, "data", data.shape, shape)
            if data.dtype.kind != "f":
                raise BadInput(path, "type of data", data.dtype, "real numbers")
            return np.asarray(data[..., BROAD])
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        text = " ".join(str(error).split())[:80]
        raise BadInput(path, "HDF5 file", f"{type(error).__name__}: {text}", "a whole MATLAB 7.3 file") from None


CORPUS = Corpus("thu_ep", FACTS, recordings, read)
