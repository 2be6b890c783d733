"""Anybody's file: which channels are scalp EEG, at which sites, and what the file itself calls bad."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest

from anybody import SITES, raw_of, write
from mdjpt_platform.corpora.anyfile import Opened, open_recording, sites_of
from mdjpt_platform.errors import BadInput


def opened(tmp_path: Path, raw: mne.io.BaseRaw, rename: str | None = None) -> Opened:
    table = None
    if rename is not None:
        table = tmp_path / "names.csv"
        table.write_text(rename, encoding="utf-8")
    return open_recording(write(tmp_path / "x_raw.fif", raw), table)


def eeg(found: Opened) -> list[str]:
    return found.raw.copy().pick("eeg").ch_names


@pytest.mark.parametrize(
    ("names", "sites"),
    [
        (["EEG Fp1-Ref", "T3", "Fc5.", "P8-LE"], ["FP1", "T7", "FC5", "P8"]),
        (["C3-A2", "C4-A1", "O1-M2", "Fz"], ["C3", "C4", "O1", "FZ"]),
        (["Fp1-CZ", "O2-CZ"], ["FP1", "O2"]),  # one reference for all
        (["Fp1-F7", "F7-T7"], []),  # differences between sites
        (["Fp1-CZ", "O2"], ["O2"]),  # a difference beside a channel
        (["E1", "EEG 001", "A1"], []),
    ],
)
def test_names_that_say_a_site(names: list[str], sites: list[str]) -> None:
    assert list(sites_of(names).values()) == sites


def test_what_is_no_scalp_is_left_out_and_told(tmp_path: Path) -> None:
    found = opened(tmp_path, raw_of([*SITES, "ECG ECG", "EEG A2-A1", "Marker thing", "EOG left"]))
    assert eeg(found) == [name.upper() for name in SITES]
    assert set(found.left_out) == {"ECG ECG", "EEG A2-A1", "Marker thing", "EOG left"}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["E1", "E2", "E3", "Cz"], "no known site: E1, E2, E3"),
        ([f"A{n}" for n in range(1, 33)], "no known site: A3"),
        (["Fp1-F7", "F7-T7", "T7-P7"], "differences between two sites: Fp1-F7"),
        (["ECG", "EMG1"], "no EEG (ECG, EMG1)"),
        (["T3", "T7", "O1"], "T7 twice (T3, T7)"),
    ],
)
def test_refused_in_one_line(tmp_path: Path, names: list[str], words: str) -> None:
    with pytest.raises(BadInput) as refused:
        opened(tmp_path, raw_of(names))
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_table_renames_even_in_a_ring(tmp_path: Path) -> None:
    names = ["Cz", "Fz", "E3", "E4"]
    rename = "name,rename,type,status\nCz,Fz,,\nFz,Cz,,\nE3,O1,,bad\nE4,,EOG,\nE5,O2,,\n"
    found = opened(tmp_path, raw_of(names), rename)
    assert eeg(found) == ["FZ", "CZ", "O1"] and found.marked == ("O1",)
    assert np.array_equal(
        found.raw.get_data(["FZ"])[0], mne.io.read_raw(tmp_path / "x_raw.fif", verbose="ERROR")["Cz"][0][0]
    )
    with pytest.raises(BadInput, match="no channel of the recording"):
        opened(tmp_path, raw_of(names), "name,rename\nE9,O1\n")


@pytest.mark.parametrize(("cap", "least"), [("biosemi64", 64), ("biosemi128", 60), ("GSN-HydroCel-128", 55)])
def test_positions_name_what_names_do_not(tmp_path: Path, cap: str, least: int) -> None:
    montage = mne.channels.make_standard_montage(cap)
    numbered = {name: f"E{n}" for n, name in enumerate(montage.ch_names, 1)}
    raw = raw_of(montage.ch_names, seconds=1.0).set_montage(montage).rename_channels(numbered)
    found = opened(tmp_path, raw)
    assert len(eeg(found)) >= least and len(found.placed) == len(eeg(found))
    if cap == "biosemi64":  # named by the 10-20 system, so the truth is known
        assert set(found.placed) == {f"{numbered[name]} as {name.upper()}" for name in montage.ch_names}


def test_bad_stretches_count_from_the_beginning_of_the_file(tmp_path: Path) -> None:
    raw = raw_of()
    raw.set_annotations(mne.Annotations([4, 1, 4.5, 9], [1, 1, 1, 1], ["BAD_x", "bad blink", "BAD boundary", "rest"]))
    raw.info["bads"] = ["C3"]
    found = opened(tmp_path, raw.crop(0.5, None))
    assert np.allclose(found.artefacts, [(0.5, 1.5), (3.5, 5.0)]) and found.marked == ("C3",)


def test_real_files(shared: Path) -> None:
    folder = shared / "eeg"
    assert len(eeg(open_recording(folder / "eegmat" / "Subject00_1.edf"))) == 19
    assert len(eeg(open_recording(folder / "formats" / "mne" / "test.vhdr"))) == 26
    for name, words in (("duplicate_channel_labels.edf", "F1 twice"), ("test.edf", "no known site"),
                        ("test_egi.raw", "no known site"), ("test.vmrk", "suffix")):  # fmt: skip
        with pytest.raises(BadInput, match=words):
            open_recording(folder / "formats" / "mne" / name)
    with pytest.raises(BadInput, match="suffix"):
        open_recording(folder / "feis" / "01" / "articulators.zip")
