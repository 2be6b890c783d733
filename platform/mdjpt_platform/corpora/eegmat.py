"""EEG during mental arithmetic (PhysioNet eegmat): `Subject<NN>_1.edf` at rest, `Subject<NN>_2.edf` subtracting.

500 Hz, 19 scalp channels under their old names with the prefix `EEG `, a mastoid derivation and an ECG. There are no
trial marks: the file is the condition and the whole file its only trial, of a length that differs between subjects at
rest. Not emotional: a real corpus with an alpha peak over O1 and O2 in every file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import mne

from mdjpt_platform.corpora import reading
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus, Trial
from mdjpt_platform.corpora.edf import check_whole
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

RATE = 500.0
CONDITIONS = {"1": "rest", "2": "arithmetic"}
OTHER = {"EEG A2-A1": "misc", "ECG ECG": "ecg"}
"""No scalp sites, whatever their names say."""

FACTS = Facts(
    title="EEG during mental arithmetic",
    channels=tuple(
        f"EEG {site}" for site in reading.words("Fp1 Fp2 F3 F4 F7 F8 T3 T4 C3 C4 T5 T6 P3 P4 O1 O2 Fz Cz Pz")
    ),
    rate=RATE,
    recorded=500.0,
    subjects=36,
    sessions=1,
    shown=tuple(Stimulus(label, label, None) for label in CONDITIONS.values()),
    unit="uV",
    labels={"default": tuple(CONDITIONS.values())},
    licence="ODC-BY-1.0",
    obtain="https://physionet.org/content/eegmat/1.0.0/",
    citation="Zyma et al. 2019, Data 4(1):14, doi 10.3390/data4010014",
    tested="real",
)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a subject, both files. Raises BadInput: folder absent or empty, one of the two files absent."""
    reading.check_options(config, FACTS, seconds=False)
    if config.facts.stimuli is not None:
        raise BadInput(FACTS.title, "facts.stimuli", list(config.facts.stimuli), "none: both conditions are needed")
    folder = reading.existing_folder(root)
    subjects = {match[1]: folder for match, _ in reading.matching(folder, r"Subject(\d+)_[12]\.edf")}
    listed = []
    for subject, _ in reading.wanted(subjects.items(), config, folder):
        files = tuple(str(reading.existing_file(folder, f"Subject{subject}_{part}.edf")) for part in CONDITIONS)
        listed.append(Recording(name, "eegmat", subject, 1, files, config))
    return listed


def read(recording: Recording) -> list[Segment]:
    """One segment a file, with one trial. Raises BadInput: truncated EDF, other channels or rate."""
    segments = []
    for position, (path, label) in enumerate(zip(recording.files, CONDITIONS.values(), strict=True), 1):
        check_whole(path)
        try:
            raw = mne.io.read_raw_edf(path, preload=True, verbose="ERROR")
        except reading.READ_ERRORS as error:
            raise BadInput(path, "EDF file", f"{type(error).__name__}: {str(error)[:80]}", "a whole EDF file") from None
        expected = {*FACTS.channels, *OTHER}
        if set(raw.ch_names) != expected or raw.info["sfreq"] != RATE:
            found = sorted(set(raw.ch_names) ^ expected) or f"{raw.info['sfreq']} Hz"
            raise BadInput(path, "channels", f"a difference in {found}", f"{len(expected)} channels at {RATE} Hz")
        raw.set_channel_types(OTHER, on_unit_change="ignore", verbose="ERROR")
        segments.append(Segment(raw, (Trial(position, label, position, label),)))
    return segments


CORPUS = Corpus("eegmat", FACTS, recordings, read)
