"""DREAMER: 23 subjects x 18 film clips, Emotiv EPOC, ratings 1-5 (`DREAMER.mat`, all subjects in one structure).

`Data{s}.EEG.stimuli{k}` is (T, 14), time first, at 128 Hz in microvolts, with the amplifier's offset of about 4200
left in; `ScoreValence` and `ScoreArousal` are (18, 1). The cell's number is the clip, the same for everybody; clips
differ in length. Other subjects, baselines and ECG are passed over: a subject's clips (50 MB) are all that is ever in
memory. The listing opens no signals, so a copy with fewer subjects needs `subjects` in the run file.

Label schemes: `default` is the emotion a clip was chosen for (nine, two clips each); `valence` and `arousal` cut the
clip's mean rating, `own_*` the subject's own; more than 3 is high, 3 is low. Source: DATASETS section 10.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdjpt_platform.corpora import matfile, matstream, reading
from mdjpt_platform.corpora.affect import AFFECT, plane
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus, Trial
from mdjpt_platform.corpora.ratings import OWN, own_label
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

EEG = reading.words("AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4")
"""Columns."""
RATE = 128.0
EMOTIONS = ("amusement", "excitement", "happy", "calmness", "anger", "disgust", "fear", "sadness", "surprise")
CLIPS: tuple[tuple[str, float, float], ...] = (
    ("calmness", 3.17, 2.26), ("surprise", 3.04, 3.00), ("amusement", 4.57, 3.83), ("fear", 2.04, 4.26),
    ("excitement", 3.22, 3.70), ("disgust", 2.70, 3.83), ("happy", 4.52, 3.17), ("anger", 1.35, 3.96),
    ("sadness", 1.39, 3.00), ("disgust", 2.17, 3.30), ("calmness", 3.96, 1.96), ("amusement", 3.96, 2.61),
    ("happy", 4.39, 3.70), ("anger", 2.35, 2.22), ("fear", 2.48, 3.09), ("excitement", 3.65, 3.35),
    ("sadness", 1.52, 3.00), ("surprise", 2.65, 3.91),
)  # fmt: skip
"""Clips 1..18: targeted emotion, mean valence, mean arousal (1-5)."""


def unit(rating: float) -> float:
    """1..5 to -1..1."""
    return (rating - 3) / 2


def _mean(emotion: str) -> tuple[float, float]:
    """Mean place of an emotion's two clips."""
    found = [(v, a) for word, v, a in CLIPS if word == emotion]
    return unit(sum(v for v, _ in found) / len(found)), unit(sum(a for _, a in found) / len(found))


FACTS = Facts(
    title="DREAMER",
    channels=EEG,
    rate=RATE,
    recorded=128.0,
    subjects=23,
    sessions=1,
    shown=tuple(Stimulus(str(k), emotion, None) for k, (emotion, _, _) in enumerate(CLIPS, 1)),
    unit="uV on an offset of about 4200 (unverified)",
    labels={"default": EMOTIONS, "valence": ("negative", "positive"), "arousal": ("low", "high"), **OWN},
    licence="on request, academic research",
    obtain="request https://doi.org/10.5281/zenodo.546113: DREAMER.mat in the folder",
    citation="Katsigiannis & Ramzan 2018, IEEE J. Biomed. Health Inform. 22(1):98-107, doi 10.1109/JBHI.2017.2688239",
    tested="layout",
    affect={
        "unified": plane(word for word in EMOTIONS if word in AFFECT),
        "measured": {word: _mean(word) for word in EMOTIONS},
    },
)
_NEEDLESS = ("ECG", "baseline", "ScoreDominance", "Age", "Gender")


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a published subject, whether the file has it or not: the file stays closed.

    Raises BadInput: DREAMER.mat absent.
    """
    reading.check_options(config, FACTS, seconds=False)
    reading.declared_stimuli(config, FACTS)
    path = reading.existing_file(reading.existing_folder(root), "DREAMER.mat")
    found = [(str(number), number) for number in range(1, FACTS.subjects + 1)]
    return [
        Recording(name, "dreamer", subject, 1, (str(path),), config)
        for subject, _ in reading.wanted(found, config, path)
    ]


def read(recording: Recording) -> list[Segment]:
    """One segment a clip. Raises BadInput: truncated before or in the subject, other shapes, NaN, ratings not 1-5."""
    (path,) = recording.files
    config = recording.options
    stimuli = reading.declared_stimuli(config, FACTS)
    matfile.variables(path)  # says it plainly where the file is none, or of version 7.3
    where = f"Data{{{recording.subject}}}"
    tree = matstream.branch(path, ("DREAMER", "Data", int(recording.subject) - 1), _NEEDLESS)
    try:
        clips, scores = tree["EEG"]["stimuli"], [tree[key] for key in ("ScoreValence", "ScoreArousal")]
    except (KeyError, TypeError, IndexError):
        found = ", ".join(tree) if isinstance(tree, dict) else type(tree).__name__
        raise BadInput(path, where, found, "EEG.stimuli, ScoreValence, ScoreArousal") from None
    if not isinstance(clips, list) or len(clips) != len(stimuli):
        raise BadInput(path, f"{where}.EEG.stimuli", f"{len(clips)} cells", f"{len(stimuli)}")
    valences, arousals = (_ratings(path, where, score, len(stimuli)) for score in scores)
    segments = []
    for position, (values, stimulus) in enumerate(zip(clips, stimuli, strict=True), 1):
        field = f"{where}.EEG.stimuli{{{position}}}"
        if not isinstance(values, np.ndarray) or values.ndim != 2 or values.shape[1] != len(EEG) or not len(values):
            raise BadInput(path, f"shape of {field}", np.shape(values), f"(time, {len(EEG)}), time first")
        reading.check_numbers(path, field, values)
        valence, arousal = valences[position - 1], arousals[position - 1]
        label = _label(config.labels, stimulus, valence, arousal)
        trial = Trial(position, str(stimulus), position, label, valence, arousal)
        raw = reading.raw_from_microvolts(values.T, EEG, ["eeg"] * len(EEG), RATE)
        segments.append(Segment(raw, (trial,)))
    return segments


def _ratings(path: str, where: str, scores: Any, trials: int) -> list[float]:
    """Ratings in [-1, 1]."""
    values = np.ravel(scores)
    if values.dtype.kind not in "fiu" or values.size != trials or not np.all((values >= 1) & (values <= 5)):
        raise BadInput(path, f"{where}, ratings", values.tolist(), f"{trials} ratings 1..5")
    return [unit(float(value)) for value in values]


def _label(scheme: str, stimulus: int, valence: float, arousal: float) -> str | None:
    emotion, mean_valence, mean_arousal = CLIPS[stimulus - 1]
    if scheme == "default":
        return emotion
    if scheme == "valence":
        return "positive" if mean_valence > 3 else "negative"
    if scheme == "arousal":
        return "high" if mean_arousal > 3 else "low"
    return own_label(scheme, valence, arousal, middle_is_high=False)


CORPUS = Corpus("dreamer", FACTS, recordings, read)
