"""What mdJPT's preprocessing leaves: lengths, drift, names, sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from corpora_cases import config, first, listed, made, microvolts, read, refused
from layouts.mdjpt_mat import SHAPES
from mdjpt_platform.corpora import CORPORA, seed

MERGED = {"data": "merged_data_all_cleaned", "lengths": "merged_n_samples_one"}


def write(path: Path, lengths: list[int], rows: int = 60, *, data: str, lengths_name: str, **more: Any) -> Path:
    """Every trial holds its own number, and ends in the inclusive cut's sample too many, which holds -1."""
    values = np.concatenate([np.full((rows, n), k, np.int16) for k, n in enumerate(lengths, 1)], axis=1)
    values[:, np.cumsum(lengths) - 1] = -1
    savemat(path, {data: values, lengths_name: np.array([lengths]) / 125} | more)
    return path


def merged(path: Path, lengths: list[int], rows: int = 60, data: str = "merged_data_all_cleaned", **more: Any) -> Path:
    return write(path, lengths, rows, data=data, lengths_name="merged_n_samples_one", **more)


def test_trials_do_not_drift(tmp_path: Path) -> None:
    """mdJPT's loader would be 44 samples early by the last trial of the third session."""
    merged(tmp_path / "sub1.mat", [501] * 45)
    found = listed(tmp_path, config("mdjpt_seed", seconds=4))
    assert [r.id for r in found] == ["sub-1_ses-1", "sub-1_ses-2", "sub-1_ses-3"]
    segments = read(found[2])
    for k, segment in enumerate(segments, 31):
        values = microvolts(segment)
        assert values.shape == (60, 500)
        assert values.min() == values.max() == pytest.approx(k)
    assert [s.trials[0].label for s in segments[:4]] == ["positive", "neutral", "negative", "negative"]
    assert segments[0].raw.info["sfreq"] == 125.0


def test_published_lengths_hold(tmp_path: Path) -> None:
    options = config("mdjpt_seed", sessions=1, stimuli=(6, 5))
    path = merged(tmp_path / "sub1.mat", [125 * seed.SECONDS[k - 1] + 1 for k in (6, 5)])
    assert [microvolts(s).shape[1] for s in first(tmp_path, options)] == [125 * 195, 125 * 185]
    merged(path, [125 * 185 + 1, 125 * 195 + 1])
    refused(lambda: first(tmp_path, options), path, "trial 1", "23126 samples", "195 s at 125 Hz")


def test_every_subject_has_its_own_lengths(tmp_path: Path) -> None:
    """Lengths of SEED-VII are not published: whole seconds of what is there."""
    lengths = {1: [125 * 30 + 1] * 20, 2: [125 * (30 + k) + 1 for k in range(20)]}
    for subject, samples in lengths.items():
        merged(tmp_path / f"{subject}.mat", samples, 62)
    for recording in listed(tmp_path, config("mdjpt_seed_vii", sessions=1)):
        stops = [125 * s.trials[0].stop + 1 for s in read(recording)]
        assert stops == lengths[int(recording.subject)]
        assert all(microvolts(s).min() > 0 for s in read(recording))


def test_sixty_or_sixty_two_rows(tmp_path: Path) -> None:
    for rows in (60, 62):
        merged(tmp_path / "1.mat", [251] * 15, rows)
        segment = first(tmp_path, config("mdjpt_seed", sessions=1, seconds=2))[0]
        assert microvolts(segment).shape == (60, 250)
        assert segment.raw.get_channel_types().count("misc") == rows - 60
    merged(tmp_path / "1.mat", [251] * 15, 61)
    refused(
        lambda: first(tmp_path, config("mdjpt_seed", sessions=1, seconds=2)), "1.mat", "(61, 3765)", "60 or 62 rows"
    )


def test_last_seconds_of_a_clip(tmp_path: Path) -> None:
    path = merged(tmp_path / "sub003.mat", [125 * (40 + k) for k in range(28)], 30)
    for k, segment in enumerate(first(tmp_path, config("mdjpt_faced"))):
        (trial,) = segment.trials
        assert (trial.start, trial.stop) == (10.0 + k, 40.0 + k)
    merged(path, [125 * 29] * 28, 30)
    refused(lambda: first(tmp_path, config("mdjpt_faced")), path, "trial 1", "3625 samples", "30 s")


def test_emoeeg_has_its_own_order_and_a_misspelt_variable() -> None:
    segments = first(*made("mdjpt_emoeeg"))
    assert [s.trials[0].stimulus for s in segments[:4]] == ["vid-joy8", "vid-joy5", "vid-joy4", "vid-sad8"]
    assert [s.trials[0].label for s in segments[::3]] == [
        "joy", "sadness", "disgust", "inspiration", "fear", "neutral", "tenderness",
    ]  # fmt: skip
    assert set(CORPORA["mdjpt_emoeeg"].facts.shown) == set(CORPORA["emoeeg_mc_video"].facts.shown)


def test_a_file_a_recording_or_a_file_a_subject(tmp_path: Path) -> None:
    found = listed(*made("mdjpt_seed_v"))
    assert [(r.id, Path(r.files[0]).name) for r in found[2:4]] == [
        ("sub-2_ses-3", "Sub_2_Session_3.mat"), ("sub-10_ses-1", "Sub_10_Session_1.mat"),
    ]  # fmt: skip
    assert [s.trials[0].stimulus for s in read(found[1])] == [str(k) for k in range(16, 31)]
    write(tmp_path / "Sub_1_Session_2.mat", [251] * 15, data="data_all_cleaned", lengths_name="n_samples_one")
    (alone,) = listed(tmp_path, config("mdjpt_seed_v"))
    assert "sessions of subject 1: found [2]" in alone.problem
    merged(tmp_path / "sub1.mat", [251] * 15)
    refused(lambda: listed(tmp_path, config("mdjpt_seed_v")), "files", "Sub_1_Session_2.mat and sub1.mat")


def test_two_files_of_one_subject_and_side_files(tmp_path: Path) -> None:
    for name in ("sub1_a.mat", "sub01_b.mat", "sub1_b.mat", "sub2.mat", "coords_matrix.mat"):
        merged(tmp_path / name, [251] * 15)
    found = {r.id: r.problem for r in listed(tmp_path, config("mdjpt_seed", sessions=1))}
    assert list(found) == ["sub-1_ses-1", "sub-01_ses-1", "sub-2_ses-1"]
    assert [bool(p) for p in found.values()] == [True, False, False]


@pytest.mark.parametrize(
    ("tree", "parts"),
    [
        ({"merged_n_samples_one": [[2.008] * 14]}, ("merged_n_samples_one", "14 trials", "15")),
        ({"merged_n_samples_one": [[2.0] * 15]}, ("shape of merged_data_all_cleaned", "(60, 3765)", "(60, 3750)")),
        ({"merged_n_samples_one": [[2.005] * 15]}, ("merged_n_samples_one", "whole samples at 125 Hz")),
        ({"merged_n_samples_one": [[np.nan] * 15]}, ("merged_n_samples_one", "NaN")),
        ({"merged_n_samples_one": [[0.0] + [2.008] * 14]}, ("merged_n_samples_one", "at least one")),
        ({"merged_n_samples_one": [[3.008, 1.008] + [2.008] * 13]}, ("trial 1", "376 samples", "2 s")),
    ],
)
def test_lengths_that_do_not_fit(tmp_path: Path, tree: dict[str, Any], parts: tuple[str, ...]) -> None:
    path = merged(tmp_path / "1.mat", [251] * 15, **tree)
    refused(lambda: first(tmp_path, config("mdjpt_seed", sessions=1, seconds=2)), path, *parts)


def test_foreign_and_damaged_files(tmp_path: Path) -> None:
    options = config("mdjpt_seed", sessions=1, seconds=2)
    path = merged(tmp_path / "1.mat", [251] * 15, data="something")
    refused(lambda: first(tmp_path, options), path, "variables", "something", "merged_data_all_cleaned or")
    whole = merged(path, [251] * 15).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(lambda: first(tmp_path, options), path)
    assert set(SHAPES) | {"mdjpt_seed_v"} == {name for name in CORPORA if name.startswith("mdjpt_")}
