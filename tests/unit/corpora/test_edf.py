"""EDF and BDF: whole or refused, channels by name, the low byte of the Status word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from corpora_cases import refused
from layouts.planted import planted, status, write_edf
from mdjpt_platform.corpora import edf

RATE = 256


def recording(path: Path, codes: list[tuple[float, int]], high: int = 0) -> Path:
    rows = dict(zip("ABC", planted(3, RATE, 3, []), strict=True))
    return write_edf(path, rows, RATE, status=("Status", status(codes, RATE, 3, high)))


@pytest.mark.parametrize("high", [0, 0x18FF00, 0x58FF00, 0x7FFF00, 0xFFFF00])
def test_codes_under_any_flags(tmp_path: Path, high: int) -> None:
    path = recording(tmp_path / "a.bdf", [(0.5, 4), (1.0, 255), (2.5, 4)], high)
    codes = edf.low_bytes(path, 3)
    assert codes.shape == (3 * RATE,)
    assert edf.onsets(codes) == [128, 256, 640]
    assert edf.onsets(codes, 4) == [128, 640]
    assert edf.onsets(codes, 1) == []


def test_onsets() -> None:
    assert edf.onsets(np.array([4, 4, 0, 4, 4, 5, 4, 0, 0], np.uint8)) == [3, 5, 6]  # what was there is no onset
    assert edf.onsets(np.array([4, 4, 0, 4, 4, 5, 4, 0, 0], np.uint8), 4) == [3, 6]
    assert edf.onsets(np.zeros(0, np.uint8)) == []


def test_sites_come_by_name_and_lazily(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.bdf", [])
    raw = edf.open_sites(path, ("C", "A"), RATE)
    assert raw.ch_names == ["C", "A"]
    assert not raw.preload
    whole = edf.open_raw(path)
    assert whole.ch_names == ["A", "B", "C", "Status"]
    assert np.array_equal(raw.get_data(), whole.get_data([2, 0]))
    refused(lambda: edf.open_sites(path, ("A", "D"), RATE), path, "no D")
    refused(lambda: edf.open_sites(path, ("A",), 512), path, "256 Hz", "512 Hz")


def test_files_that_are_not_whole(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.bdf", [])
    whole = path.read_bytes()
    for length in (0, 100, 300, len(whole) - 1):
        path.write_bytes(whole[:length])
        for call in (edf.check_whole, edf.open_raw, lambda p: edf.low_bytes(p, 3)):
            refused(lambda call=call: call(path), path)
    path.write_bytes(whole)
    refused(lambda: edf.low_bytes(path, 4), path, "4 signals", "at least 5")
    plain = write_edf(tmp_path / "a.edf", dict(zip("AB", planted(2, RATE, 2, []), strict=True)), RATE)
    refused(lambda: edf.low_bytes(plain, 1), plain, "2-byte", "BDF")
    huge = bytearray(whole)
    huge[236:244] = b"99999999"  # a header that promises terabytes
    path.write_bytes(bytes(huge))
    refused(lambda: edf.open_raw(path), path, "size")
    refused(lambda: edf.open_raw(tmp_path / "absent.bdf"), "absent.bdf")
