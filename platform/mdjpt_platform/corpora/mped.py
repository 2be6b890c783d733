"""MPED: 23 subjects x 28 videos, seven emotions, 1000 Hz (`raw_EEG_signals/<name>/<name>_{d,dd}.mat`).

Two files a subject: `raw_eeg1`..`raw_eeg17` in `_d`, `raw_eeg18`..`raw_eeg34` in `_dd`, each (64 or more, samples). The
first 64 rows are the 62 EEG channels with M1 as the 33rd and M2 as the 43rd; what follows is not EEG. Of the 34 cuts 28
are trials; rest and "other" are left out. The stimulus is the trial's number among the 28. Subjects go by their names.

CONFLICT: which cut is which emotion. Followed here is EMOD's list of 34 codes, its used entries counted from 1, which
alone gives four trials of each emotion; LibEER uses another list and takes the first 62 rows, mastoids included. The
providers have not settled it, nor is the unit stated (microvolts by the lab's other sets). Lengths are not published
either; EMOD counts 530 windows of 10 s a subject, which all trials together have to come near: that tells a copy at
another rate. Source: DATASETS 16 and 18.1.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mdjpt_platform.corpora import matfile, reading
from mdjpt_platform.corpora.affect import VALENCE_CLASSES, on_grid, plane
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus
from mdjpt_platform.corpora.seed_family import EEG, FILE_CHANNELS
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

ROWS = (*FILE_CHANNELS[:32], "M1", *FILE_CHANNELS[32:41], "M2", *FILE_CHANNELS[41:])
"""Names of the first 64 rows."""
RATE = 1000.0
EMOTIONS = ("neutral", "joy", "amusement", "anger", "fear", "disgust", "sadness")
"""Codes 1..7; the providers' words for the third and fourth are funny and angry."""
CODES = (
    0, 2, 1, 4, 3, 5, 6, 7, 8, 1, 2, 3, 8, 6, 7, 4, 5,
    0, 1, 5, 6, 2, 2, 1, 8, 7, 6, 4, 4, 3, 5, 3, 7, 8,
)  # fmt: skip
"""EMOD's codes of the cuts 1..34: 0 rest, 8 other."""
USED = tuple(cut for cut, code in enumerate(CODES, 1) if code not in (0, 8))
"""Cuts that are trials: 2-8, 10-12, 14-17, 19-24, 26-33."""
HALVES = {"d": range(1, 18), "dd": range(18, 35)}
"""Cuts in each of the two files."""
EMOD = {
    "neutral": (4, 4), "joy": (7, 6), "amusement": (6, 5), "anger": (3, 6), "fear": (3, 6), "disgust": (2, 5),
    "sadness": (3, 5),
}  # fmt: skip
"""Valence and arousal (0-8) of EMOD, AAAI 2026."""
WINDOWS = 530
"""Of 10 s, in all trials of a subject."""

FACTS = Facts(
    title="MPED",
    channels=EEG,
    rate=RATE,
    recorded=RATE,
    subjects=23,
    sessions=1,
    shown=tuple(Stimulus(str(k), EMOTIONS[CODES[cut - 1] - 1], None) for k, cut in enumerate(USED, 1)),
    unit="not stated; uV",
    labels={"default": EMOTIONS, "valence": VALENCE_CLASSES, "binary": ("negative", "positive")},
    licence="on request, academic research",
    obtain="apply to the authors (Southeast University), unpack so that raw_EEG_signals/ lies in the folder",
    citation="Song et al. 2019, IEEE Access 7:12177-12191, doi 10.1109/ACCESS.2019.2891579",
    tested="layout",
    affect={"unified": plane(EMOTIONS), "emod": on_grid(EMOD)},
)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a folder; without both of its files it carries the problem. Raises BadInput: folder absent."""
    reading.check_options(config, FACTS)
    reading.declared_stimuli(config, FACTS)
    folder = reading.existing_folder(root, "raw_EEG_signals")
    found = [(match[0], path) for match, path in reading.matching(folder, r"\w+") if path.is_dir()]
    listed = []
    for subject, path in reading.wanted(found, config, folder):
        files = [path / f"{subject}_{half}.mat" for half in HALVES]
        absent = ", ".join(file.name for file in files if not file.is_file())
        problem = str(BadInput(path, "files", f"no {absent}", "both halves")) if absent else ""
        present = tuple(str(file) for file in files if file.is_file())
        listed.append(Recording(name, "mped", subject, 1, present, config, problem))
    return listed


def read(recording: Recording) -> list[Segment]:
    """One segment a trial. Raises BadInput: damaged files, cuts absent or of other shapes."""
    config = recording.options
    stimuli = reading.declared_stimuli(config, FACTS)
    shapes = {file: matfile.variables(file) for file in recording.files}
    cuts = {number: USED[number - 1] for number in stimuli}
    files = {cut: file for file, half in zip(recording.files, HALVES.values(), strict=True) for cut in half}
    for cut in cuts.values():
        _check_shape(files[cut], f"raw_eeg{cut}", shapes[files[cut]], config.facts.seconds)
    if config.facts.seconds is None and len(stimuli) == FACTS.stimuli:
        _check_windows(recording.files, shapes)
    segments = []
    for position, number in enumerate(stimuli, 1):
        file, key = files[cuts[number]], f"raw_eeg{cuts[number]}"
        shape = shapes[file][key]
        values = matfile.matrix(file, key, shape)[: len(ROWS)]
        types = ["eeg" if name in EEG else "misc" for name in ROWS]
        span = (0.0, config.facts.seconds or shape[1] / RATE)
        trial = reading.trial(position, FACTS.shown[number - 1], span, config, FACTS)
        segments.append(Segment(reading.raw_from_microvolts(values, ROWS, types, RATE), (trial,)))
    return segments


def _check_shape(file: str, key: str, shapes: dict[str, tuple[int, ...]], seconds: float | None) -> None:
    if key not in shapes:
        raise BadInput(file, "variables", f"no {key} among {', '.join(list(shapes)[:3])}", key)
    length = reading.samples(seconds or 1.0, RATE)
    expected = f"({len(ROWS)} or more, {length}{'' if seconds else ' or more'})"
    rows, found = (*shapes[key], 0, 0)[:2]
    if rows < len(ROWS) or found < length or (seconds and found != length) or rows > found:
        raise BadInput(file, f"shape of {key}", shapes[key], expected)


def _check_windows(files: tuple[str, ...], shapes: dict[str, dict[str, tuple[int, ...]]]) -> None:
    """Hold the length of all trials against EMOD's count, a tenth either way."""
    lengths = dict(chain.from_iterable(shapes[file].items() for file in files))
    windows = sum(int(lengths[f"raw_eeg{cut}"][1] / RATE // 10) for cut in USED)
    if abs(windows - WINDOWS) > WINDOWS / 10:
        raise BadInput(files[0], "windows of 10 s", windows, f"{WINDOWS} (a tenth either way) at {RATE:g} Hz")


CORPUS = Corpus("mped", FACTS, recordings, read)
