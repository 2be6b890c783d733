"""Any BIDS data set: trials by name in the order they were shown, damage noticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import mne
import numpy as np
import pytest

from corpora_cases import SMALL, config, first, listed, microvolts, read, refused, small, small_config


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Path(shutil.copytree(small("bids"), tmp_path / "bids"))


def events_of(root: Path) -> Path:
    return Path(next(f for f in listed(root, small_config("bids"))[0].files if f.endswith("_events.tsv")))


def test_order_is_random_and_ids_are_not() -> None:
    shown = []
    for recording in listed(small("bids"), small_config("bids")):
        (segment,) = read(recording)
        assert [t.play_order for t in segment.trials] == [1, 2, 3, 4, 5]
        assert all(microvolts(segment, i).shape == (28, 1250) for i in range(5))
        assert segment.raw.get_channel_types(["VEOG"]) == ["eog"]
        shown.append([t.stimulus for t in segment.trials])
    assert [sorted(ids, key=int) for ids in shown] == [["1", "5", "13", "17", "20"]] * 3
    assert len({tuple(ids) for ids in shown}) > 1


def test_label_schemes() -> None:
    expected = {"1": ("negative", "anger"), "13": ("neutral", "neutral"), "20": ("positive", "inspiration")}
    for scheme, place in (("default", 0), ("emotions", 1)):
        (segment,) = first(small("bids"), small_config("bids", scheme))
        labels = {t.stimulus: t.label for t in segment.trials}
        assert {stimulus: labels[stimulus] for stimulus in expected} == {s: e[place] for s, e in expected.items()}


def test_byte_order_mark_missing_ratings_and_other_rows(root: Path) -> None:
    events = events_of(root)
    header, *rows = events.read_text(encoding="utf-8").splitlines()
    columns = header.split("\t")
    assert columns[-3:] == ["stimulus", "valence", "arousal"]
    plain = ["\t".join(row.split("\t")[:-2]) for row in rows]
    plain[0] = plain[0].rpartition("\t")[0] + "\tn/a"
    events.write_text("\ufeff" + "\n".join(["\t".join(columns[:-2]), *plain]) + "\n", encoding="utf-8")
    (segment,) = first(root, config("bids"))
    assert len(segment.trials) == len(rows) - 1
    values = {t.label: t.valence for t in segment.trials}
    assert values["positive"] == 0.6


def test_refusals(root: Path) -> None:
    options = small_config("bids")
    events = events_of(root)
    text = events.read_text(encoding="utf-8")
    refused(lambda: first(root, small_config("bids", stimuli=(1, 2))), "stimuli of events.tsv", "['1', '2']")
    refused(lambda: first(root, small_config("bids", seconds=6)), "duration of trial 1", "5.0", "6")
    refused(lambda: listed(root, small_config("bids", sessions=2)), "sessions", "1 with EEG", 2)
    events.write_text(text.replace("stimulus", "something"), encoding="utf-8")
    refused(lambda: first(root, options), events.name, "columns", "stimulus")
    events.write_text(text.replace("\n4.0\t", "\n400.0\t", 1), encoding="utf-8")
    refused(lambda: first(root, options), events.name, "400.0 s", "within 45.00 s")
    events.write_text(text.replace("\n4.0\t", "\nsoon\t", 1), encoding="utf-8")
    refused(lambda: first(root, options), events.name, "onset", "soon", "a number")
    events.write_text(text, encoding="utf-8")
    signal = Path(next(f for f in listed(root, options)[0].files if f.endswith("_eeg.eeg")))
    content = signal.read_bytes()
    signal.write_bytes(content[: len(content) // 2])
    refused(lambda: first(root, options), "length", "RecordingDuration")
    signal.unlink()
    refused(lambda: first(root, options), "EEG file")
    events.unlink()
    assert events.name in listed(root, options)[0].problem


def test_edf_and_bdf_are_read_and_their_truncation_noticed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    info = mne.create_info(["Fp1", "T3", "Oz"], 250.0, "eeg")
    raw = mne.io.RawArray(1e-5 * rng.standard_normal((3, 2500)), info, verbose="ERROR")
    for suffix in ("edf", "bdf"):
        folder = tmp_path / suffix / "sub-01" / "eeg"
        folder.mkdir(parents=True)
        path = folder / f"sub-01_task-watching_eeg.{suffix}"
        mne.export.export_raw(path, raw, verbose="ERROR")
        stem = path.name.removesuffix(f"eeg.{suffix}")
        rows = "onset\tduration\ttrial_type\tstimulus\n1.0\t4.0\tjoy\tclip-a\n"
        (folder / f"{stem}events.tsv").write_text(rows, encoding="utf-8")
        names = "name\ttype\tunits\n" + "".join(f"{name}\tEEG\tuV\n" for name in info["ch_names"])
        (folder / f"{stem}channels.tsv").write_text(names, encoding="utf-8")
        (segment,) = first(tmp_path / suffix, config("bids"))
        np.testing.assert_allclose(segment.raw.get_data()[:, :2500], raw.get_data(), atol=2e-9)
        assert segment.trials[0].stimulus == "clip-a"
        content = path.read_bytes()
        for length in (len(content) - 1, len(content) * 3 // 4):
            path.write_bytes(content[:length])
            refused(lambda suffix=suffix: first(tmp_path / suffix, config("bids")), path.name, "size", "records")


def test_sessions_of_a_simulated_set(tmp_path: Path) -> None:
    from dataclasses import replace

    from mdjpt_platform.corpora.simulated import write

    root = write(replace(SMALL["bids"], subjects=1, sessions=2), tmp_path / "two", progress=False)
    found = listed(root, small_config("bids", sessions=2))
    assert [r.id for r in found] == ["sub-01_ses-1", "sub-01_ses-2"]
    assert "ses-02" in found[1].files[0]
