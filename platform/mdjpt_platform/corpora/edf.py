"""EDF and BDF files: whole or not, opened lazily, and the trigger word of BioSemi's.

MNE opens some truncated files without a word, so the header is held against the size. Header layout: Kemp et al. 1992
(EDF), BioSemi's BDF with 3-byte samples: 256 bytes, then 256 bytes a signal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mne
import numpy as np
from numpy.typing import NDArray

from mdjpt_platform.corpora import reading
from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import opened


class _Header(NamedTuple):
    size: int
    """Bytes before the first record."""
    records: int
    per_record: tuple[int, ...]
    """Samples of every signal in a record."""
    width: int
    """Bytes a sample."""


def check_whole(path: str | Path) -> None:
    """Raise BadInput unless the file is exactly as long as its own header says."""
    _whole(Path(path))


def open_raw(path: str | Path, include: Sequence[str] | None = None) -> mne.io.BaseRaw:
    """Lazy Raw of a whole file (.edf or .bdf), all channels typed EEG; if `include` is given, of these channels alone.

    Signals called Status are no different from others: what they are called varies, see `low_bytes`.
    Raises BadInput: truncated, no EDF or BDF file.
    """
    check_whole(path)
    opens = mne.io.read_raw_bdf if Path(path).suffix.lower() == ".bdf" else mne.io.read_raw_edf
    try:
        names = None if include is None else list(include)
        return opens(path, stim_channel=None, include=names, verbose="ERROR")
    except reading.READ_ERRORS as error:
        found = f"{type(error).__name__}: {str(error)[:80]}"
        raise BadInput(path, "EDF file", found, "a whole EDF or BDF file") from None


def open_sites(path: str | Path, sites: Sequence[str], rate: float) -> mne.io.BaseRaw:
    """Lazy Raw of the named channels alone, in that order wherever they lie in the file.

    Raises BadInput: as `open_raw`, and where a channel is absent or the rate is another.
    """
    raw = open_raw(path, sites)
    absent = [site for site in sites if site not in raw.ch_names]
    if absent or len(raw.ch_names) != len(sites):
        raise BadInput(path, "channels", f"no {', '.join(absent)}" if absent else "a name twice", ", ".join(sites))
    if raw.info["sfreq"] != rate:
        raise BadInput(path, "rate", f"{raw.info['sfreq']:g} Hz", f"{rate:g} Hz")
    return raw.reorder_channels(list(sites))


def low_bytes(path: str | Path, signal: int) -> NDArray[np.uint8]:
    """Lowest byte of every sample of one signal (0-based) of a BDF file: the codes at BioSemi's trigger input.

    The other bytes of its Status word hold flags that are set more often than not (DATASETS 0.2.12).
    Raises BadInput: truncated, no BDF file, fewer signals.
    """
    header = _whole(Path(path))
    if header.width != 3 or signal >= len(header.per_record):
        found = f"{len(header.per_record)} signals of {header.width}-byte samples"
        raise BadInput(path, "signals", found, f"BDF with at least {signal + 1}")
    start = sum(header.per_record[:signal])
    shape = (header.records, sum(header.per_record) * header.width)
    if not header.records:  # an empty file cannot be mapped
        return np.zeros(0, np.uint8)
    records = np.memmap(path, np.uint8, "r", header.size, shape)
    return np.ravel(records[:, 3 * start : 3 * (start + header.per_record[signal]) : 3])


def onsets(codes: NDArray[np.uint8], code: int | None = None) -> list[int]:
    """Samples at which a code (any but zero, if None) begins; a code that is held counts once."""
    begins = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    wanted = codes[begins] != 0 if code is None else codes[begins] == code
    return [int(sample) for sample in begins[wanted]]


def _whole(path: Path) -> _Header:
    try:
        size = path.stat().st_size
        with opened(path) as file:
            fixed = file.read(256)
            signals = _number(path, "number of signals", fixed[252:256])
            if len(fixed) < 256 or not 1 <= signals <= 4096:
                raise BadInput(
                    path, "EDF header", f"{len(fixed)} bytes, {signals} signals", "256 bytes, 1-4096 signals"
                )
            table = file.read(256 * signals)
    except OSError as error:
        raise BadInput(path, "file", error.strerror, "a readable EDF or BDF file") from None
    header = _number(path, "header bytes", fixed[184:192])
    records = _number(path, "number of records", fixed[236:244])
    start = 216 * signals
    per_record = [_number(path, "samples a record", table[start + 8 * i : start + 8 * i + 8]) for i in range(signals)]
    if header != 256 * (signals + 1) or records < 0 or min(per_record) < 0:
        raise BadInput(path, "EDF header", f"{header} header bytes, {records} records", f"{256 * (signals + 1)}, known")
    width = 3 if fixed[:1] == b"\xff" else 2
    expected = header + records * sum(per_record) * width
    if size != expected:
        raise BadInput(path, "size", f"{size} bytes", f"{expected}: {records} records after the header")
    return _Header(header, records, tuple(per_record), width)


def _number(path: Path, field: str, text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadInput(path, f"EDF header, {field}", repr(text[:16]), "a decimal number") from None
