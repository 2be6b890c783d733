"""EmoEEG-MC as its publishers prepared it: `derivatives/sub-<NN>/ses-{vid,ima}/eeg/*_reorder.npy`, 7 emotions x 3.

Two layouts of one download: `emoeeg_mc_video` (the last 30 s of 21 clips) and `emoeeg_mc_imagery` (30 s of imagining
the same 21 themes). One array (64, 21, 6000) = (channel, trial, time) at 200 Hz a subject and context; the trials lie
in the order of `CODES` for everybody, so play order is unknown. A stimulus is a context and a code, `vid-joy5`: what is
imagined after joy5 shares the theme with the clip and with other subjects, not the timing.

Subjects 55-60 have no such array (they miss trials) and are not listed; `emoeeg_mc_raw` has them. Valence and arousal
come from the tables: the ratings lie in the order of presentation, and which context came first in each block is in no
table but in the marks of the EDF, which only `emoeeg_mc_raw` opens. The unit is not stated (microvolts by the order of
the pipeline); the preparation's step `unit` tells by amplitude. mdJPT's "EMOEEG" is the video half without TP9, TP10.
Source: DATASETS 13; README of OpenNeuro ds005540.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mdjpt_platform.corpora import annex, npy, reading
from mdjpt_platform.corpora.affect import VALENCE_CLASSES, plane, valence_class
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus, Trial
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

EEG = reading.words(
    "Fp1 Fpz Fp2 AF7 AF3 AF4 AF8 F7 F5 F3 F1 Fz F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCz FC2 FC4 FC6 FT8 T7 C5 C3 C1 Cz C2 C4 "
    "C6 T8 TP7 CP5 CP3 CP1 CPz CP2 CP4 CP6 TP8 P7 P5 P3 P1 Pz P2 P4 P6 P8 PO7 PO3 POz PO4 PO8 O1 Oz O2 F9 F10 TP9 TP10"
)
RATE = 200.0
SECONDS = 30.0
WORDS = {
    "sad": "sadness", "dis": "disgust", "fear": "fear", "neu": "neutral", "joy": "joy", "ten": "tenderness",
    "ins": "inspiration",
}  # fmt: skip
"""The publishers' word -> ours, in the order of the arrays."""
CODES = tuple(f"{word}{material}" for word in WORDS for material in (4, 5, 8))
"""Trials of the arrays, and every stimulus of a context."""
EMOTIONS = ("disgust", "fear", "sadness", "neutral", "inspiration", "joy", "tenderness")
RATINGS: dict[str, tuple[float, float]] = {
    "disgust": (1.82, 3.97), "fear": (2.04, 4.28), "sadness": (2.28, 3.63), "neutral": (3.66, 2.06),
    "inspiration": (4.75, 3.53), "joy": (4.63, 3.85), "tenderness": (4.95, 4.05),
}  # fmt: skip
"""Mean valence and arousal (0-7) over subjects and both contexts (DATASETS 18.3)."""
MIDDLE = 3.5
INCOMPLETE = tuple(str(number) for number in range(55, 61))
"""Subjects without arrays."""
CONTEXTS = {"emoeeg_mc_video": "vid", "emoeeg_mc_imagery": "ima"}
"""Layout -> context, as in the names of the files."""


def facts_of(title: str, context: str, rate: float, unit: str, obtain: str) -> Facts:
    """What holds for both contexts, prepared or raw."""
    return Facts(
        title=title,
        channels=EEG,
        rate=rate,
        recorded=600.0,
        subjects=60,
        sessions=1,
        shown=tuple(Stimulus(f"{context}-{code}", WORDS[code[:-1]], SECONDS) for code in CODES),
        unit=unit,
        labels={"default": EMOTIONS, "valence": VALENCE_CLASSES, "binary": ("negative", "positive")},
        licence="CC0",
        obtain=obtain,
        citation="Xu, Shen et al., EmoEEG-MC, OpenNeuro ds005540, doi 10.18112/openneuro.ds005540.v1.0.7",
        tested="layout",
        affect={
            "unified": plane(EMOTIONS),
            "measured": {word: (v / MIDDLE - 1, a / MIDDLE - 1) for word, (v, a) in RATINGS.items()},
        },
    )


FACTS = {
    layout: facts_of(
        f"EmoEEG-MC, {title}",
        context,
        RATE,
        "not stated; uV by the order of the pipeline",
        f"https://openneuro.org/datasets/ds005540: derivatives/sub-*/ses-{context}/eeg/*_reorder.npy",
    )
    for (layout, context), title in zip(CONTEXTS.items(), ("video", "imagery"), strict=True)
}


def trial_of(
    context: str, code: str, position: int, config: CorpusConfig, facts: Facts,
    rated: tuple[float, float] | None = None, start: float = 0.0, stop: float | None = None,
) -> Trial:  # fmt: skip
    """The trial of a context and code; `rated` is the subject's own valence and arousal in [-1, 1], where known."""
    word = WORDS[code[:-1]]
    label = reading.in_scheme(word if config.labels == "default" else valence_class(word), config, facts)
    place = rated or reading.place(word, config, facts)
    return Trial(position, f"{context}-{code}", position, label, *place, start, stop)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a subject; its array absent, or a link in its place, is a problem. Raises BadInput: no folder."""
    facts, context = FACTS[config.layout], CONTEXTS[config.layout]
    reading.check_options(config, facts)
    reading.declared_stimuli(config, facts)
    folder = reading.existing_folder(root, "derivatives")
    found = [(match[1], path) for match, path in reading.matching(folder, r"sub-(\d+)") if path.is_dir()]
    found = [(subject, path) for subject, path in found if subject not in INCOMPLETE]
    if not found:
        raise BadInput(folder, "recordings", "none but subjects 55-60, which have no arrays", "sub-01 to sub-54")
    listed = []
    for subject, path in reading.wanted(found, config, folder):
        stem = f"sub-{subject}_ses-{context}_task-emotion_reorder.npy"
        file = path / f"ses-{context}" / "eeg" / stem
        listed.append(Recording(name, config.layout, subject, 1, (str(file),), config, annex.problem(file)))
    return listed


def read(recording: Recording) -> list[Segment]:
    """One segment a trial. Raises BadInput: a pickle or a link in place of the array, another shape, NaN."""
    (path,) = recording.files
    config = recording.options
    facts, context = FACTS[config.layout], CONTEXTS[config.layout]
    codes = [CODES[stimulus - 1] for stimulus in reading.declared_stimuli(config, facts)]
    annex.check(path)  # again: what was listed on storage had names and sizes alone
    values = npy.open_array(path)
    length = reading.samples(config.facts.seconds or SECONDS, RATE)
    # As the publishers' script takes it, or as it would be saved by anybody else; 64 is neither of the other lengths.
    if values.ndim == 3 and values.shape[0] != len(EEG):
        values = values.transpose(1, 0, 2)
    reading.check_shape(path, "array (channel, trial, time)", values.shape, (len(EEG), len(codes), length))
    segments = []
    for position, code in enumerate(codes, 1):
        trial = values[:, position - 1]
        reading.check_numbers(path, f"trial {position}", trial)
        raw = reading.raw_from_microvolts(trial, EEG, ["eeg"] * len(EEG), RATE)
        segments.append(Segment(raw, (trial_of(context, code, position, config, facts),)))
    return segments


VIDEO = Corpus("emoeeg_mc_video", FACTS["emoeeg_mc_video"], recordings, read)
IMAGERY = Corpus("emoeeg_mc_imagery", FACTS["emoeeg_mc_imagery"], recordings, read)
