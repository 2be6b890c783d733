"""FEIS, fixation stage: 21 subjects, 14 Emotiv channels, the second before a phoneme is heard.

`<NN>/articulators.zip` holds one CSV: time, epoch, 14 channels in microvolts on an offset of about 4200, label, stage.
160 epochs of 1 s (subject 12 left after 112) lie 22 s apart, so each is a segment of its own. 16 labels x 10, in the
same order for everybody. The labels name what is heard only *afterwards*: they must not be decodable, which makes this
a negative control.
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdjpt_platform.corpora import reading
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus, Trial
from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import opened

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

RATE = 256.0
SAMPLES = 256
"""Rows of an epoch."""
CHANNELS = ("F3", "FC5", "AF3", "F7", "T7", "P7", "O1", "O2", "P8", "T8", "F8", "AF4", "FC6", "F4")
HEADER = ["Time:256Hz", "Epoch", *CHANNELS, "Label", "Stage", "Flag"]
PHONEMES = reading.words("fleece goose trap thought m n ng f s sh v z zh p t k")
REPEATS = 10
MAX_BYTES = 64 * 2**20
"""Largest CSV unpacked; the published ones have 10 MB. A small archive can unpack to terabytes."""

MAX_ROWS = 1 + len(PHONEMES) * REPEATS * SAMPLES
"""Header and epochs of a whole session."""

FACTS = Facts(
    title="FEIS fixation",
    channels=CHANNELS,
    rate=RATE,
    recorded=256.0,
    subjects=21,
    sessions=1,
    shown=tuple(Stimulus(f"{label}-{n}", label, SAMPLES / RATE) for label in PHONEMES for n in range(1, REPEATS + 1)),
    unit="uV",
    labels={"default": PHONEMES},
    licence="ODC-BY-1.0 (its readme adds: academic research, non-profit)",
    obtain="https://doi.org/10.5281/zenodo.3369178: articulators.zip of the subjects 01-21",
    citation="Wellington & Clayton 2019, FEIS v1.0, doi 10.5281/zenodo.3369178",
    tested="real",
)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a subject folder. Raises BadInput: folder absent, archive absent."""
    reading.check_options(config, FACTS, seconds=False)
    if config.facts.stimuli is not None:
        raise BadInput(FACTS.title, "facts.stimuli", list(config.facts.stimuli), "none: the files tell")
    folder = reading.existing_folder(root)
    found = [(match[1], path) for match, path in reading.matching(folder, r"(\d\d)")]
    return [
        Recording(name, "feis", subject, 1, (str(reading.existing_file(path, "articulators.zip")),), config)
        for subject, path in reading.wanted(found, config, folder)
    ]


def read(recording: Recording) -> list[Segment]:
    """One segment an epoch; the stimulus is `<label>-<occurrence>`. Raises BadInput."""
    (path,) = recording.files
    try:
        rows = list(islice(csv.reader(io.StringIO(_unpack(path))), MAX_ROWS + 1))  # lines without text take memory too
    except csv.Error as error:
        raise BadInput(path, "CSV", error, "a table") from None
    if len(rows) > MAX_ROWS:
        raise BadInput(path, "CSV rows", f"more than {MAX_ROWS}", f"a header and at most {len(FACTS.shown)} epochs")
    if not rows or rows[0] != HEADER:
        raise BadInput(path, "CSV header", ",".join(rows[0] if rows else []), ",".join(HEADER))
    body = rows[1:]
    if not body or len(body) % SAMPLES or any(len(row) != len(HEADER) for row in body):
        raise BadInput(path, "CSV rows", f"{len(body)} rows", f"full rows, a multiple of {SAMPLES}")
    try:
        values = np.array([row[2 : 2 + len(CHANNELS)] for row in body], dtype=np.float64)
    except ValueError as error:
        raise BadInput(path, "CSV values", str(error), "numbers") from None
    reading.check_numbers(path, "CSV values", values)
    seen: Counter[str] = Counter()
    segments = []
    for start in range(0, len(body), SAMPLES):
        epoch = body[start : start + SAMPLES]
        position, label = start // SAMPLES + 1, epoch[0][-3]
        if {(row[1], row[-3]) for row in epoch} != {(str(position - 1), label)} or label not in PHONEMES:
            raise BadInput(path, f"rows {start + 2}-{start + SAMPLES + 1}", f"label {label}", f"epoch {position - 1}")
        seen[label] += 1
        raw = reading.raw_from_microvolts(values[start : start + SAMPLES].T, CHANNELS, ["eeg"] * len(CHANNELS), RATE)
        segments.append(Segment(raw, (Trial(position, f"{label}-{seen[label]}", position, label),)))
    return segments


def _unpack(path: str) -> str:
    """The one CSV of the archive. Never trusts the size that the archive declares."""
    try:
        with opened(path) as packed, zipfile.ZipFile(packed) as archive:
            names = [name for name in archive.namelist() if name.endswith(".csv")]
            if len(names) != 1:
                raise BadInput(path, "archive", ", ".join(archive.namelist()[:5]) or "nothing", "one CSV file")
            with archive.open(names[0]) as file:
                data = file.read(MAX_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise BadInput(path, "archive", f"{type(error).__name__}: {error}", "a whole ZIP archive") from None
    if len(data) > MAX_BYTES:
        raise BadInput(path, "archive", "a CSV that unpacks to more", f"at most {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(path, "CSV", "bytes that are no text", "UTF-8") from None


CORPUS = Corpus("feis", FACTS, recordings, read)
