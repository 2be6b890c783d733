"""SSVEP exoskeleton (Kalunga 2016): 12 subjects looking at lights that flicker at 13, 17 or 21 Hz, or at none.

`subject<NN>/record-[...]_raw.fif` with events in `record-[...]-eve.fif` beside it: 8 occipital channels, 256 Hz, 32
trials of 5 s from the event on. Not emotional: a real corpus with a known answer. The numbers are called volts and are
not (standard deviation about 0.01 where EEG has 0.00001). They are handed on as they are; a preparation step mends
units by amplitude.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import mne

from mdjpt_platform.corpora import reading
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus, Trial
from mdjpt_platform.corpora.fif import check_whole
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

RATE = 256.0
SECONDS = 5.0
EVENT_LABEL = {1: "rest", 2: "13Hz", 3: "21Hz", 4: "17Hz"}
REPEATS = 8

FACTS = Facts(
    title="SSVEP exoskeleton",
    channels=("Oz", "O1", "O2", "PO3", "POz", "PO7", "PO8", "PO4"),
    rate=RATE,
    recorded=256.0,
    subjects=12,
    sessions=1,
    shown=tuple(
        Stimulus(f"{label}-{n}", label, SECONDS) for label in EVENT_LABEL.values() for n in range(1, REPEATS + 1)
    ),
    unit="V in the file, wrong by about a factor of a thousand",
    labels={"default": tuple(EVENT_LABEL.values())},
    licence="CC0-1.0",
    obtain="https://github.com/sylvchev/dataset-ssvep-exoskeleton, converted to FIF, one session a subject",
    citation="Kalunga, Chevallier & Barthelemy 2016, Neurocomputing 191:55-68, arXiv 1501.03227",
    tested="real",
)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a subject folder, in `root` or in `root`/fif. Raises BadInput: a file absent or twice."""
    reading.check_options(config, FACTS)
    if config.facts.stimuli is not None:
        raise BadInput(FACTS.title, "facts.stimuli", list(config.facts.stimuli), "none: the events tell")
    folder = reading.existing_folder(root)
    folder = folder / "fif" if (folder / "fif").is_dir() else folder
    found = [(match[1], path) for match, path in reading.matching(folder, r"subject(\d+)")]
    listed = []
    for subject, path in reading.wanted(found, config, folder):
        (_, raw), *more = reading.matching(path, r".*_raw\.fif")
        if more:
            raise BadInput(path, "recordings", f"{len(more) + 1} *_raw.fif", "one")
        events = reading.existing_file(path, raw.name.removesuffix("_raw.fif") + "-eve.fif")
        listed.append(Recording(name, "ssvep_exo", subject, 1, (str(raw), str(events)), config))
    return listed


def read(recording: Recording) -> list[Segment]:
    """One segment with every trial; the stimulus is `<label>-<occurrence>`. Raises BadInput."""
    path, events_path = recording.files
    seconds = recording.options.facts.seconds or SECONDS
    for file in recording.files:
        check_whole(file)
    try:
        raw = mne.io.read_raw_fif(path, preload=True, verbose="ERROR")
        events = mne.read_events(events_path, verbose="ERROR")
    except reading.READ_ERRORS as error:
        raise BadInput(path, "FIF file", f"{type(error).__name__}: {str(error)[:80]}", "a whole FIF file") from None
    if tuple(raw.ch_names) != FACTS.channels or raw.info["sfreq"] != RATE:
        raise BadInput(path, "channels", f"{raw.ch_names} at {raw.info['sfreq']} Hz", f"{FACTS.channels} at {RATE} Hz")
    seen: Counter[str] = Counter()
    trials = []
    for position, (sample, _, code) in enumerate(events.tolist(), 1):
        if code not in EVENT_LABEL:
            raise BadInput(events_path, "event", code, f"one of {EVENT_LABEL}")
        start = (sample - raw.first_samp) / RATE
        if not 0 <= start <= raw.n_times / RATE - seconds:
            raise BadInput(
                path, f"trial {position}", f"{start:.1f} s + {seconds} s", f"within {raw.n_times / RATE:.1f} s"
            )
        label = EVENT_LABEL[code]
        seen[label] += 1
        stimulus = f"{label}-{seen[label]}"
        trials.append(Trial(position, stimulus, position, label, start=start, stop=start + seconds))
    if seen != Counter(dict.fromkeys(EVENT_LABEL.values(), REPEATS)):
        raise BadInput(events_path, "trials", dict(seen), f"{REPEATS} of each of {', '.join(EVENT_LABEL.values())}")
    return [Segment(raw, tuple(trials))]


CORPUS = Corpus("ssvep_exo", FACTS, recordings, read)
