"""THU-EP: one band of an HDF5 file, holes, damage."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from corpora_cases import config, first, listed, made, microvolts, read, refused
from layouts import thu_ep as files
from mdjpt_platform.corpora import thu_ep

OPTIONS = config("thu_ep", seconds=files.SECONDS)


def test_broad_band_by_stimulus() -> None:
    root, options = made("thu_ep")
    segments = first(root, options)
    columns = np.array([k for k, name in enumerate(thu_ep.FILE_CHANNELS) if name not in ("A1", "A2")])
    for index, segment in enumerate(segments):
        x = microvolts(segment)
        assert x.shape == (30, 250)
        np.testing.assert_allclose(x[:, 0], columns / 100 + index)
        assert np.abs(x[:, 1:]).max() < 100  # none of the other bands, which hold a million
        assert segment.raw.get_channel_types(["A1", "A2"]) == ["misc", "misc"]
        assert segment.raw.get_data(["A1"])[0, 0] * 1e6 == pytest.approx(0.16 + index)
    emotions = [s.trials[0].label for s in segments]
    assert emotions[::3] == [
        "anger", "disgust", "fear", "sadness", "neutral", "neutral", "amusement", "inspiration", "joy", "tenderness",
    ]  # fmt: skip
    by_valence = [s.trials[0].label for s in first(root, options.model_copy(update={"labels": "valence"}))]
    assert by_valence == ["negative"] * 12 + ["neutral"] * 4 + ["positive"] * 12


def test_damaged_subject_and_absent_stimuli(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 10, (250, 32, 28, 6))
    values[5, 5, [15, 21, 24], 5] = np.nan  # counted from 0, as published
    files.save(tmp_path, 37, values)
    for subject in (4, 75, 46):
        files.save(tmp_path, subject)
    found = listed(tmp_path, OPTIONS)
    assert [r.subject for r in found] == ["4", "37", "46", "75"]
    assert [bool(r.problem) for r in found] == [False, False, False, True]
    for recording, holes in ((found[1], {16, 22, 25}), (found[2], {4, 10, 18, 24, 27})):
        trials = [t for s in read(recording) for t in s.trials]
        assert {t.trial for t in trials} == set(range(1, 29)) - holes
        assert all(t.stimulus == str(t.trial) for t in trials)
    path = files.save(tmp_path, 5, values)
    refused(lambda: read(listed(tmp_path, OPTIONS)[1]), path, "stimulus 16", "NaN")


def test_refusals(tmp_path: Path) -> None:
    refused(lambda: listed(tmp_path, OPTIONS), "EEG data", "nothing there")
    path = files.save(tmp_path, 1)
    refused(lambda: first(tmp_path, config("thu_ep")), path, "(250, 32, 28, 6)", "(7500, 32, 28, 6)")
    whole = path.read_bytes()
    for length in (0, 300, 600, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(lambda: first(tmp_path, OPTIONS), path, "HDF5 file")
    files.save(tmp_path, 1, name="eeg")
    refused(lambda: first(tmp_path, OPTIONS), path, "variables", "eeg", "`data`")
    files.save(tmp_path, 1, np.zeros((6, 28, 32, 250)))  # the axes as MATLAB shows them
    refused(lambda: first(tmp_path, OPTIONS), path, "(6, 28, 32, 250)")
    files.save(tmp_path, 1, np.zeros((250, 32, 28, 6), dtype=np.complex64))
    refused(lambda: first(tmp_path, OPTIONS), path, "complex64")
    path.unlink()
    other = files.save(tmp_path / "elsewhere", 1)
    with h5py.File(path, "w") as file:
        file["data"] = h5py.ExternalLink(str(other), "data")
    refused(lambda: first(tmp_path, OPTIONS), path, "`data`")
    refused(lambda: listed(tmp_path, config("thu_ep", sessions=2)), "facts.sessions")
