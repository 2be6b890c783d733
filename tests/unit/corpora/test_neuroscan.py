"""Neuroscan `.cnt`: what MNE reads, what headers get wrong, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest

from corpora_cases import refused
from layouts.neuroscan import data_start, write_cnt
from mdjpt_platform.corpora import neuroscan

EEG = ("FP1", "FZ", "OZ")
NAMES = ("FP1", "M1", "FZ", "OZ", "CB1", "HEO", "VEO", "ECG")
END = data_start(len(NAMES)) + 4 * len(NAMES) * 20_000


def signal(channels: int = len(NAMES), samples: int = 4000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 20.0, (channels, samples))


def write(path: Path, names: Sequence[str] = NAMES, **changes: Any) -> Path:
    """20 s with two events; moving from 1 s to 5 s and flat otherwise, and so at two of the places looked at."""
    changes = {"signals": {1000: signal(len(names))}} | changes
    return write_cnt(path / "a.cnt", names, 20.0, [(1, 2000), (2, 17_000)], **changes)


def opened(path: Path) -> mne.io.BaseRaw:
    return neuroscan.open_cnt(path, EEG, 1000.0)


def same(raw: mne.io.BaseRaw) -> None:
    """The truth of `write`."""
    assert raw.n_times == 20_000
    assert raw.annotations.onset == pytest.approx([2.0, 17.0])
    assert list(raw.annotations.description) == ["1", "2"]
    assert 1e6 * raw.get_data(["FZ"], 1000, 5000)[0] == pytest.approx(signal()[2], abs=0.001)


def test_channels_are_typed_by_name_and_lazy(tmp_path: Path) -> None:
    raw = opened(write(tmp_path))
    same(raw)
    assert not raw.preload
    kinds = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    assert kinds == {
        "FP1": "eeg", "M1": "misc", "FZ": "eeg", "OZ": "eeg", "CB1": "misc", "HEO": "eog", "VEO": "eog", "ECG": "ecg",
    }  # fmt: skip


def test_unknown_unnamed_and_oddly_named_channels_are_no_eeg(tmp_path: Path) -> None:
    # "Trigger" reaches into the byte that marks a bad channel; two inputs have no name.
    raw = opened(write(tmp_path, ("OZ", "Trigger", "FZ", "", "FP1", "EMG", "")))
    kinds = raw.get_channel_types()
    assert [n for n, kind in zip(raw.ch_names, kinds, strict=True) if kind == "eeg"] == ["OZ", "FZ", "FP1"]
    assert [kinds[1], kinds[3], kinds[5]] == ["misc", "misc", "emg"]
    assert raw.info["bads"] == []


def test_lower_case_names_are_the_same_channels(tmp_path: Path) -> None:
    assert opened(write(tmp_path, ("Fp1", "Fz", "Oz", "m1"))).get_channel_types() == ["eeg", "eeg", "eeg", "misc"]


@pytest.mark.parametrize(
    "header",
    [
        {"table": 2**31 - 1},  # published SEED-V files: the pointer lies past the end
        {"count": 0},
        {"count": 12_345},
        {"count": -5},
    ],
)
def test_headers_with_one_wrong_number_are_read_right(tmp_path: Path, header: dict[str, int]) -> None:
    same(opened(write(tmp_path, **header)))


@pytest.mark.parametrize(
    "header",
    [
        {"table": 2**31 - 1, "count": 0},
        {"table": 0},
        {"table": -1},
        {"table": END - 400, "count": 19_999},
        {"count": 50_000, "table": 2**31 - 1},
        {"count": 0, "table": END + 4},
    ],
)
def test_headers_that_tell_no_length_are_refused(tmp_path: Path, header: dict[str, int]) -> None:
    path = write(tmp_path, **header)
    refused(lambda: opened(path), path, "CNT header", "event table at byte", "whole 4-byte samples")


def test_16_bit_samples_are_refused_by_size(tmp_path: Path) -> None:
    path = write(tmp_path, width=2)
    refused(lambda: opened(path), path, "sample format", "2 bytes a sample", "expected 4 bytes")
    path = write(tmp_path, width=2, table=2**31 - 1)
    refused(lambda: opened(path), path, "2 bytes a sample")


def test_16_bit_samples_are_refused_by_amplitude(tmp_path: Path) -> None:
    """Without a sample count the sizes fit either way; MNE reads it without a word."""
    path = write(tmp_path, width=2, count=0, signals={0: signal(len(NAMES), 20_000)})
    assert mne.io.read_raw_cnt(path, data_format="int32", verbose="ERROR").n_times == 10_000
    refused(lambda: opened(path), path, "amplitude", "uV", "16-bit")


def test_loud_but_possible_recordings_pass(tmp_path: Path) -> None:
    drift = np.cumsum(50 * signal(len(NAMES), 20_000), axis=1)  # a millivolt from sample to sample, and it adds up
    assert drift.std() > 1e4
    opened(write(tmp_path, signals={0: drift.clip(-2e6, 2e6)}))


def test_truncated_and_foreign_files(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    for length in (0, 100, 900, 1200, 1500, len(whole) // 2, END - 1, END, END + 8, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(lambda: opened(path), path, "CNT header")
    path.write_bytes(b"\xff" * 5000)
    refused(lambda: opened(path), path, "65535 channels")
    path.unlink()
    refused(lambda: opened(path), path, "No such file")
    path.mkdir()
    refused(lambda: opened(path), path, "file")


def test_wrong_rate_and_channels(tmp_path: Path) -> None:
    path = write(tmp_path, rate=200)
    refused(lambda: opened(path), path, "rate", "200 Hz", "1000 Hz")
    path = write(tmp_path, ("FP1", "FZ", "FZ", "M1"))
    refused(lambda: opened(path), path, "channels", "FZ 2 times", "OZ 0 times")


def test_cuts_have_a_margin_and_are_lazy(tmp_path: Path) -> None:
    path = write(tmp_path)
    raw = opened(path)
    cuts = neuroscan.around(path, raw, [(2.0, 4.0), (8.5, 12.25), (16.0, 20.0)])
    assert [(span, cut.n_times) for cut, span in cuts] == [
        ((2.0, 4.0), 9001),
        ((5.0, 8.75), 13_751),
        ((5.0, 9.0), 9000),
    ]
    assert not any(cut.preload for cut, _ in cuts)
    assert 1e6 * cuts[0][0].get_data(["OZ"], 2000, 4000)[0] == pytest.approx(signal()[3, 1000:3000], abs=0.001)
    refused(lambda: neuroscan.around(path, raw, [(2, 4), (16, 20.5)]), path, "length", "20.00 s", "20.5 s")


def test_a_recording_of_more_than_two_gigabytes(tmp_path: Path) -> None:
    """There the place of the event table no longer fits its field; a hole in the file costs nothing."""
    names = tuple(f"X{k}" for k in range(60)) + EEG
    seconds = 2**31 / 4 / len(names) / 1000 + 60
    path = write_cnt(tmp_path / "long.cnt", names, seconds, signals={8_000_000: signal(len(names))})
    assert path.stat().st_size > 2**31
    assert path.stat().st_blocks * 512 < 2**24
    raw = opened(path)
    assert raw.n_times == round(seconds * 1000)
    ((cut, span),) = neuroscan.around(path, raw, [(8000.0, 8004.0)])
    assert span == (5.0, 9.0)
    assert 1e6 * cut.get_data(["FP1"], 5000, 9000)[0] == pytest.approx(signal(len(names))[60], abs=0.001)
