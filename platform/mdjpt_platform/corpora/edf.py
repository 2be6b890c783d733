"""Is an EDF or BDF file whole? MNE opens some truncated ones without a word, so the header is held against the size.

Header layout: Kemp et al. 1992 (EDF), BioSemi's BDF with 3-byte samples: 256 bytes, then 256 bytes a signal.
"""

from __future__ import annotations

from pathlib import Path

from mdjpt_platform.errors import BadInput


def check_whole(path: str | Path) -> None:
    """Raise BadInput unless the file is exactly as long as its own header says."""
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
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
    if header != 256 * (signals + 1) or records < 0:
        raise BadInput(path, "EDF header", f"{header} header bytes, {records} records", f"{256 * (signals + 1)}, known")
    width = 3 if fixed[:1] == b"\xff" else 2
    expected = header + records * sum(per_record) * width
    if size != expected:
        raise BadInput(path, "size", f"{size} bytes", f"{expected}: {records} records after the header")


def _number(path: Path, field: str, text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadInput(path, f"EDF header, {field}", repr(text[:16]), "a decimal number") from None
