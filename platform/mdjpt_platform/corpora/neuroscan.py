"""Neuroscan `.cnt` of the SEED sets: 32-bit samples, opened lazily, channels typed by name.

MNE believes what it is told: a 16-bit file read as 32-bit, or the reverse, gives numbers and no error, and a header
whose sample count is wrong gives too few or too many of them. So the header is held against the file here, the format
is never guessed, and the amplitude is looked at. Header: Paul Bourke, "EEG data file format"; faults seen in published
files: DATASETS 4 and 20; MNE issues 6535, 11802, 12940.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import mne
import numpy as np

from mdjpt_platform.corpora import reading
from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import opened

KINDS = {"VEO": "eog", "HEO": "eog", "VEOG": "eog", "HEOG": "eog", "ECG": "ecg", "EKG": "ecg", "EMG": "emg"}
"""Type by name; whatever else is no declared EEG channel is misc: mastoids, CB1, CB2, triggers, unnamed inputs."""
SETUP, ELECTRODE, TABLE = 900, 75, 9
"""Bytes of the fixed header, of a channel's header, of the event table's header."""
WIDTH = 4
"""Bytes a sample."""
MAX_CHANNELS = 1024
UNCHECKED = 2 * 10**9
"""File size from which MNE computes the place of the event table, since its pointer in the header overflows."""
MARGIN = 5.0
"""Seconds kept before and after a trial, so that filters are in swing when it begins."""
LOUDEST = 1e5
"""Microvolts: SD of two seconds that no amplifier for EEG gives. 16-bit samples read in pairs give 65 536 times their
own."""


@dataclass(frozen=True)
class _Header:
    names: tuple[str, ...]
    rate: int
    recount: bool
    """Whether the header's sample count is wrong, and the place of the event table tells the right one."""


def open_cnt(path: str | Path, eeg: Sequence[str], rate: float) -> mne.io.BaseRaw:
    """Lazy Raw whose EEG channels are `eeg` (upper case), whatever their order and whatever lies between them.

    Raises BadInput: absent, truncated, 16-bit samples, header at odds with the size, another rate, a channel of `eeg`
    absent or there twice.
    """
    path = Path(path)
    header = _header(path)
    if header.rate != rate:
        raise BadInput(path, "rate", f"{header.rate} Hz", f"{rate:g} Hz")
    upper = [name.upper() for name in header.names]
    wrong = [name for name in eeg if upper.count(name) != 1]
    if wrong:
        found = ", ".join(f"{name} {upper.count(name)} times" for name in wrong)
        raise BadInput(path, "channels", found, f"each of {', '.join(eeg)} once")
    rows: dict[str, list[int]] = {kind: [] for kind in ("eog", "ecg", "emg", "misc")}
    for row, name in enumerate(upper):
        if name not in eeg:
            rows[KINDS.get(name, "misc")].append(row)
    try:
        with np.errstate(all="ignore"):  # positions on the sphere, of which we use none
            raw = mne.io.read_raw_cnt(
                path, **rows, data_format="int32", recompute_n_samples=header.recount or None, verbose="ERROR"
            )
    except reading.READ_ERRORS as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise BadInput(path, "CNT file", found, "a whole Neuroscan file with 32-bit samples") from None
    raw.info["bads"] = []  # MNE takes the fifth letter of a name for the mark of a bad channel
    _check_amplitude(path, raw)
    return raw


def around(
    path: str | Path, raw: mne.io.BaseRaw, marks: Sequence[tuple[float, float]]
) -> list[tuple[mne.io.BaseRaw, tuple[float, float]]]:
    """For every (start, end) in seconds: a lazy cut with a margin, and (start, end) inside that cut.

    Raises BadInput: the recording ends before the last mark.
    """
    rate = raw.info["sfreq"]
    last = max(end for _, end in marks)
    if raw.n_times < reading.samples(last, rate):
        raise BadInput(path, "length", f"{raw.n_times / rate:.2f} s", f"at least {last:g} s, the last mark")
    cuts = []
    for start, end in marks:
        cut = raw.copy().crop(max(start - MARGIN, 0.0), min(end + MARGIN, (raw.n_times - 1) / rate))
        begin = cut.first_time
        cuts.append((cut, (start - begin, end - begin)))
    return cuts


def _header(path: Path) -> _Header:
    """What is needed of the header, once it agrees with the file's size."""
    try:
        size = path.stat().st_size
        with opened(path) as file:
            setup = file.read(SETUP).ljust(SETUP, b"\0")
            channels, rate = struct.unpack_from("<H", setup, 370)[0], struct.unpack_from("<H", setup, 376)[0]
            samples, table = struct.unpack_from("<i", setup, 864)[0], struct.unpack_from("<i", setup, 886)[0]
            electrodes = file.read(ELECTRODE * channels)
            begin = SETUP + ELECTRODE * channels
            if not 1 <= channels <= MAX_CHANNELS or size < begin:
                found = f"{size} bytes, {channels} channels"
                raise BadInput(path, "CNT header", found, f"1-{MAX_CHANNELS} channels and their headers")
            ends = {width: begin + width * channels * samples if samples > 0 else -1 for width in (WIDTH, 2)}
            tables = {place for place in (*ends.values(), table) if _is_table(file, place, begin, size)}
    except OSError as error:
        raise BadInput(path, "file", error.strerror, "a readable CNT file") from None
    # MNE takes the count for the length; for the events it looks where the header points, or after the counted samples
    # if that lies past the end of the file.
    counted = ends[WIDTH] in tables and (table == ends[WIDTH] or table > size or size >= UNCHECKED)
    recount = table in tables and size < UNCHECKED and (table - begin) % (WIDTH * channels) == 0
    found = f"{size} bytes, {channels} channels, {samples} samples, event table at byte {table}"
    if not counted and ends[2] in tables:
        raise BadInput(path, "sample format", f"2 bytes a sample ({found})", f"{WIDTH} bytes a sample")
    if not counted and not recount:
        raise BadInput(path, "CNT header", found, "whole 4-byte samples up to an event table")
    names = (electrodes[place : place + 10].split(b"\0")[0] for place in range(0, len(electrodes), ELECTRODE))
    return _Header(tuple(name.decode("latin1").strip() for name in names), rate, not counted)


def _is_table(file: BinaryIO, place: int, begin: int, size: int) -> bool:
    """Whether an event table (type 1-3, its length in bytes) lies there and fits the file."""
    if not begin <= place <= size - TABLE:
        return False
    file.seek(place)
    kind, length = struct.unpack("<Bi", file.read(5))
    return kind in (1, 2, 3) and 0 <= length <= size - place - TABLE


def _check_amplitude(path: Path, raw: mne.io.BaseRaw) -> None:
    """Two seconds at three places; flat channels and stretches say nothing."""
    count = min(reading.samples(2, raw.info["sfreq"]), raw.n_times)
    for place in (0.25, 0.5, 0.75):
        start = int(place * (raw.n_times - count))
        spread = float(np.median(raw.get_data("eeg", start, start + count).std(axis=1))) / reading.MICROVOLT
        if not spread <= LOUDEST:
            found = f"a median SD of {spread:.3g} uV around {start / raw.info['sfreq']:.0f} s"
            raise BadInput(path, "amplitude", found, f"at most {LOUDEST:g} uV (are these 16-bit samples?)")
