"""What mdJPT's preprocessing script leaves, a layout a corpus: `mdjpt_seed`, `mdjpt_seed_iv`, ..., `mdjpt_emoeeg`.

Either one file a subject, the subject being the first number in its name, with `merged_data_all_cleaned` (channels, all
samples of all sessions; in some sets spelt `merged_data_all_cleared`) and `merged_n_samples_one` (1, trials); or one a
recording, `Sub_<id>_Session_<s>.mat`, with `data_all_cleaned` and `n_samples_one`. 125 Hz, microvolts, 0.5-47 Hz,
cleaned by ICA, average reference. Nothing in a file says which corpus it is, so the layout does: it shares stimuli,
labels and tables with the reader of that corpus. Rows are known by their number (60 without CB1 and CB2, 62 with them).

Lengths are in seconds, a sample too long (125 s + 1), as the cut was inclusive. Here they are read from every subject's
own file, turned into samples and summed; mdJPT's loader takes the first subject's, cut down to whole seconds, for all,
and so slides by a sample a trial. FACED and EmoEEG-MC use the last 30 s of a clip, the others the clip from its start.
Source: DATASETS 19.1 and 13 (order of the EmoEEG-MC trials, which is not that of its publishers).
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdjpt_platform.corpora import emoeeg_mc, faced, matfile, reading, seed, seed_family, seed_iv, seed_v, seed_vii
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

RATE = 125.0
MERGED = (("merged_data_all_cleaned", "merged_data_all_cleared"), "merged_n_samples_one")
SINGLE = (("data_all_cleaned",), "n_samples_one")
"""Names of the signals, and of the lengths."""
_SINGLE_NAME = re.compile(r"Sub_(\d+)_Session_(\d+)\.mat")

EMOEEG_CODES = tuple(f"{word}{k}" for word in ("joy", "sad", "dis", "ins", "fear", "neu", "ten") for k in (8, 5, 4))
_VIDEO = replace(
    emoeeg_mc.FACTS["emoeeg_mc_video"],
    subjects=51,
    channels=emoeeg_mc.EEG[:62],
    shown=tuple(Stimulus(f"vid-{code}", emoeeg_mc.WORDS[code[:-1]], emoeeg_mc.SECONDS) for code in EMOEEG_CODES),
)
_BASES = {
    "mdjpt_seed": seed.FACTS,
    "mdjpt_seed_iv": seed_iv.FACTS,
    "mdjpt_seed_v": seed_v.FACTS,
    "mdjpt_seed_vii": seed_vii.FACTS,
    "mdjpt_faced": faced.FACTS,
    "mdjpt_emoeeg": _VIDEO,
}
FACTS: dict[str, Facts] = {
    layout: replace(
        base,
        title=f"{base.title}, prepared by mdJPT",
        rate=RATE,
        unit="uV",
        obtain=f"the files that mdJPT's preprocessing leaves, in one folder; the recordings: {base.obtain}",
    )
    for layout, base in _BASES.items()
}
LAST = ("mdjpt_faced", "mdjpt_emoeeg")
"""Layouts whose trial is the end of the clip."""


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a subject and session; a subject without all of its sessions carries the problem.

    Raises BadInput: folder absent, no file with a number in its name, both kinds of files in one folder.
    """
    facts = FACTS[config.layout]
    seed_family.check_options(config, facts)
    folder = reading.existing_folder(root)
    files = [path for _, path in reading.matching(folder, r".*\d.*\.mat")]
    single = [(match[1], (int(match[2]), path)) for path in files if (match := _SINGLE_NAME.fullmatch(path.name))]
    if single and len(single) < len(files):
        other = next(path.name for path in files if not _SINGLE_NAME.fullmatch(path.name))
        raise BadInput(folder, "files", f"{single[0][1][1].name} and {other}", "one kind of file")
    sessions = range(1, (config.facts.sessions or facts.sessions) + 1)
    merged = [(re.findall(r"\d+", path.name)[0], (session, path)) for path in files for session in sessions]
    found = reading.wanted(single or merged, config, folder)
    return seed_family.by_session(name, config.layout, config, facts, folder, found)


def read(recording: Recording) -> list[Segment]:
    """One segment a trial of the session. Raises BadInput."""
    (path,) = recording.files
    config, facts = recording.options, FACTS[recording.layout]
    stimuli = reading.declared_stimuli(config, facts)
    single = _SINGLE_NAME.fullmatch(Path(path).name)
    sessions = 1 if single else config.facts.sessions or facts.sessions
    shapes = matfile.variables(path)
    names, lengths_name = SINGLE if single else MERGED
    key = next((name for name in names if name in shapes), None)
    if key is None:
        raise BadInput(path, "variables", ", ".join(shapes) or "none", " or ".join(names))
    lengths = _samples(path, lengths_name)
    if len(lengths) != sessions * len(stimuli):
        raise BadInput(path, lengths_name, f"{len(lengths)} trials", f"{sessions * len(stimuli)}")
    channels = _channels(recording.layout, path, key, shapes[key])
    values = matfile.matrix(path, key, (len(channels), sum(lengths)))
    types = ["eeg" if name in facts.channels else "misc" for name in channels]
    shown = [stimulus for stimulus in facts.shown if stimulus.session in (0, recording.session)]
    first = 0 if single else (recording.session - 1) * len(stimuli)
    ends = list(accumulate(lengths))
    segments = []
    for position, (number, row) in enumerate(zip(stimuli, range(first, first + len(stimuli)), strict=True), 1):
        raw = reading.raw_from_microvolts(values[:, ends[row] - lengths[row] : ends[row]], channels, types, RATE)
        seconds = config.facts.seconds or shown[number - 1].seconds
        span = _span(f"{path}: trial {row + 1}", lengths[row], seconds, recording.layout in LAST)
        segments.append(Segment(raw, (reading.trial(position, shown[number - 1], span, config, facts),)))
    return segments


def _samples(path: str, key: str) -> list[int]:
    """Lengths of the trials in samples."""
    seconds = np.ravel(matfile.numbers(path, key))
    samples = np.round(seconds * RATE).astype(int)
    # A length that is no whole number of samples was taken at another rate.
    if not samples.size or samples.min() < RATE or np.abs(seconds * RATE - samples).max() > 0.01:
        raise BadInput(path, key, seconds.tolist()[:3], f"seconds of at least one, in whole samples at {RATE:g} Hz")
    return [int(count) for count in samples]


def _channels(layout: str, path: str, key: str, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the rows, told by their number."""
    known = {
        "mdjpt_faced": (faced.EEG, faced.FILE_CHANNELS),
        "mdjpt_emoeeg": (FACTS["mdjpt_emoeeg"].channels,),
    }.get(layout, (seed_family.EEG, seed_family.FILE_CHANNELS))
    for names in known:
        if shape[0] == len(names):
            return names
    expected = f"{' or '.join(str(len(names)) for names in known)} rows"
    raise BadInput(path, f"shape of {key}", shape, expected)


def _span(where: str, samples: int, seconds: float | None, last: bool) -> tuple[float, float]:
    """(start, stop) of a trial in seconds of its own signal; unpublished lengths are cut to whole seconds."""
    if seconds is None:
        return 0.0, float(samples // RATE)
    spare = samples - reading.samples(seconds, RATE)
    if not (spare >= 0 if last else 0 <= spare <= 1):
        raise BadInput(where, "length", f"{samples} samples", f"{seconds:g} s at {RATE:g} Hz, and a sample at most")
    start = spare / RATE if last else 0.0
    return start, start + seconds


CORPORA = {layout: Corpus(layout, facts, recordings, read) for layout, facts in FACTS.items()}
