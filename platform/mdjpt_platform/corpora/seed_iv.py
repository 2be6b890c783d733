"""SEED-IV: 15 subjects x 3 sessions x 24 film clips, 62 channels, four emotions (`eeg_raw_data/<session>/*.mat`).

One file a session, `<session>/<subject>_<date>.mat`: the folder is the session, whatever the date. Trial k is the
matrix `<initials>_eeg<k>` (62, 200 s + 1) in microvolts; the initials differ from subject to subject. The 72 clips are
all different and come in the same order for everybody: the stimulus is 24 (session - 1) + trial.

How long a clip is, is published only as its number n of 4-s windows (the features of DATASETS 0.3), so a trial must be
a whole number of seconds in [4n, 4n + 4), and `Stimulus.seconds` is None. That also tells a copy at another rate.
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

EMOTIONS = ("neutral", "sadness", "fear", "happy")
"""In order of the published codes 0..3."""
CODES = (
    (1, 2, 3, 0, 2, 0, 0, 1, 0, 1, 2, 1, 1, 1, 2, 3, 2, 2, 3, 3, 0, 3, 0, 3),
    (2, 1, 3, 0, 0, 2, 0, 2, 3, 3, 2, 3, 2, 0, 1, 1, 2, 1, 0, 3, 0, 1, 3, 1),
    (1, 2, 2, 1, 3, 3, 3, 1, 1, 2, 1, 0, 2, 3, 3, 0, 2, 3, 0, 0, 2, 0, 1, 0),
)
"""Published labels by session."""
WINDOWS = (
    (42, 23, 49, 32, 22, 40, 38, 52, 36, 42, 12, 27, 54, 42, 64, 35, 17, 44, 35, 12, 28, 28, 43, 34),
    (55, 25, 34, 36, 53, 27, 34, 46, 34, 20, 60, 12, 36, 27, 44, 15, 46, 49, 45, 10, 37, 44, 24, 19),
    (42, 32, 23, 45, 48, 26, 64, 23, 26, 16, 51, 41, 39, 19, 28, 44, 14, 17, 45, 22, 39, 38, 41, 39),
)
"""Windows of 4 s in the published features, by session."""
EMOD = {"neutral": (4, 4), "sadness": (3, 5), "fear": (3, 6), "happy": (7, 6)}
"""Valence and arousal (0-8) of EMOD, AAAI 2026."""
TRIALS = 24

SHOWN = tuple(
    Stimulus(str(TRIALS * (session - 1) + k), EMOTIONS[code], None, session)
    for session, codes in enumerate(CODES, 1)
    for k, code in enumerate(codes, 1)
)

FACTS = Facts(
    title="SEED-IV",
    channels=EEG,
    rate=RATE,
    recorded=RAW_RATE,
    subjects=15,
    sessions=3,
    shown=SHOWN,
    unit="uV",
    labels={"default": EMOTIONS, "valence": VALENCE_CLASSES, "binary": ("negative", "positive")},
    licence=LICENCE,
    obtain="apply at https://bcmi.sjtu.edu.cn/home/seed, unpack so that eeg_raw_data/ lies in the folder",
    citation="Zheng et al. 2019, IEEE Trans. Cybern. 49(3):1110-1122, doi 10.1109/TCYB.2018.2797176",
    tested="layout",
    affect={"unified": plane(EMOTIONS), "emod": on_grid(EMOD)},
)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a data file; a subject without all of its sessions carries the problem.

    Raises BadInput: folder absent, no data file.
    """
    seed_family.check_options(config, FACTS)
    folder = reading.existing_folder(root, "eeg_raw_data")
    found = []
    for match, inside in reading.matching(folder, r"[123]"):
        files = reading.matching(reading.existing_folder(inside), r"(\d+)_(\d{8})\.mat")
        found += [(file[1], (int(match[0]), path)) for file, path in files]
    return seed_family.by_session(name, "seed_iv", config, FACTS, folder, reading.wanted(found, config, folder))


def read(recording: Recording) -> list[Segment]:
    """One segment a trial; its trial leaves out the sample past the whole seconds. Raises BadInput."""
    (path,) = recording.files
    config = recording.options
    stimuli = reading.declared_stimuli(config, FACTS)
    shapes = matfile.variables(path)
    segments = []
    for position, (key, number) in enumerate(zip(seed_family.numbered(path, shapes, stimuli), stimuli, strict=True), 1):
        shown = SHOWN[TRIALS * (recording.session - 1) + number - 1]
        seconds = _seconds(path, key, shapes[key], WINDOWS[recording.session - 1][number - 1], config.facts.seconds)
        # One matrix at a time: a whole published file is 350 MB once unpacked.
        values = matfile.matrix(path, key, (len(FILE_CHANNELS), reading.samples(seconds, RATE) + 1))
        trial = reading.trial(position, shown, (0.0, seconds), config, FACTS)
        segments.append(seed_family.segment(values, trial))
    return segments


def _seconds(path: str, key: str, shape: tuple[int, ...], windows: int, declared: float | None) -> float:
    """Seconds of a trial of this shape: as declared, or whole seconds that hold the published number of windows."""
    rows, length = (*shape, 0, 0)[:2]
    if declared is not None:
        return declared
    seconds, rest = divmod(length - 1, int(RATE))
    if rows != len(FILE_CHANNELS) or rest or seconds // 4 != windows:
        lowest, highest = (int(RATE) * s + 1 for s in (4 * windows, 4 * windows + 3))
        expected = f"({len(FILE_CHANNELS)}, {lowest}..{highest}), whole seconds at {RATE:g} Hz and one sample"
        raise BadInput(path, f"shape of {key}", shape, expected)
    return float(seconds)


CORPUS = Corpus("seed_iv", FACTS, recordings, read)
