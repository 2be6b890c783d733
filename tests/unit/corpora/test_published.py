"""SEED, FACED and DEAP: published shapes, declared deviations, traps, refusals."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from corpora_cases import SMALL, config, first, listed, microvolts, read, refused, small, small_config
from mdjpt_platform.corpora import CORPORA, deap, seed
from mdjpt_platform.corpora.reading import natural

Copy = Callable[[str], Path]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A copy of a small corpus that a test may damage."""
    return lambda layout: Path(shutil.copytree(small(layout), tmp_path / layout))


def write_seed(root: Path, names: dict[str, int], subject: str = "1_20131027", scale: int = 1) -> Path:
    """A session with the given keys and seconds; row r of trial k holds r + 100 k (int16 keeps the file small)."""
    folder = root / "Preprocessed_EEG"
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.arange(62, dtype=np.int16)[:, None]
    tree = {
        name: np.repeat(scale * (rows + 100 * int(name.rpartition("eeg")[2])), 200 * seconds + 1, axis=1)
        for name, seconds in names.items()
    }
    savemat(folder / f"{subject}.mat", tree)
    savemat(folder / "label.mat", {"label": [list(seed.LABELS)]})
    return root


def test_seed_as_published(tmp_path: Path) -> None:
    root = write_seed(tmp_path, {f"djc_eeg{k}": s for k, s in enumerate(seed.SECONDS, 1)})
    options = config("seed", sessions=1)
    segments = first(root, options)
    assert [s.raw.n_times for s in segments] == [
        47001, 46601, 41201, 47601, 37001, 39001, 47401, 43201, 53001, 47401, 47001, 46601, 47001, 47601, 41201,
    ]  # fmt: skip
    trials = [segment.trials[0] for segment in segments]
    assert [trial.label for trial in trials[:4]] == ["positive", "neutral", "negative", "negative"]
    assert [trial.stop for trial in trials] == list(seed.SECONDS)  # the sample past the whole seconds is left out
    for number, segment in enumerate(segments, 1):
        assert segment.raw.get_data(["OZ"])[0, 0] == pytest.approx((59 + 100 * number) * 1e-6)
        assert segment.raw.get_channel_types(["CB1", "CB2"]) == ["misc", "misc"]


def test_seed_keys_are_numbers_and_prefixes_differ(tmp_path: Path) -> None:
    # Written in the order of text (1, 10, 11, 2 ...), under another subject's initials.
    names = sorted(f"w_eeg_eeg{k}" for k in range(1, 12))
    segments = first(write_seed(tmp_path, dict.fromkeys(names, 1)), config("seed", sessions=1, seconds=1,
                     stimuli=tuple(range(1, 12))))  # fmt: skip
    first_rows = [round(segment.raw.get_data(["FP1"])[0, 0] * 1e6) for segment in segments]
    assert first_rows == [100 * k for k in range(1, 12)]
    keys = [next(k for k in loadmat(p) if "_eeg" in k) for p in sorted(small("seed").glob("*/[0-9]*.mat"))]
    assert len({key.partition("_")[0] for key in keys}) == 2


def test_seed_keys_may_keep_the_published_numbers(tmp_path: Path) -> None:
    root = write_seed(tmp_path, {"a_eeg2": 1, "a_eeg10": 1, "a_eeg12": 1})
    options = config("seed", sessions=1, seconds=1, stimuli=(2, 10, 12))
    trials = [segment.trials[0] for segment in first(root, options)]
    assert [(t.stimulus, t.label) for t in trials] == [("2", "neutral"), ("10", "positive"), ("12", "negative")]
    refused(lambda: first(root, config("seed", sessions=1, seconds=1, stimuli=(2, 10, 13))), "trials", "[2, 10, 12]")


def test_natural_order() -> None:
    names = ["10_1.mat", "2_1.mat", "1_20131107.mat", "1_20131027.mat"]
    assert sorted(names, key=natural) == ["1_20131027.mat", "1_20131107.mat", "2_1.mat", "10_1.mat"]


def test_seed_subjects_and_sessions_in_order(tmp_path: Path) -> None:
    for subject in ("10_20130101", "2_20140404", "2_20131231", "10_20130202"):
        write_seed(tmp_path, {"a_eeg1": 1}, subject)
    found = listed(tmp_path, config("seed", sessions=2))
    assert [(r.subject, r.session, Path(r.files[0]).name) for r in found] == [
        ("2", 1, "2_20131231.mat"), ("2", 2, "2_20140404.mat"),
        ("10", 1, "10_20130101.mat"), ("10", 2, "10_20130202.mat"),
    ]  # fmt: skip
    assert {r.subject for r in listed(tmp_path, config("seed", subjects=("10",), sessions=2))} == {"10"}
    refused(lambda: listed(tmp_path, config("seed", subjects=("3",), sessions=2)), "subjects", "3", "2")
    write_seed(tmp_path, {"a_eeg1": 1}, "10_20130303")
    by_subject = {r.id: r.problem for r in listed(tmp_path, config("seed"))}
    assert list(by_subject) == ["sub-2_ses-1", "sub-2_ses-2", "sub-10_ses-1", "sub-10_ses-2", "sub-10_ses-3"]
    assert "sessions of subject 2: found [1, 2] (2_20131231.mat, 2_20140404.mat)" in by_subject["sub-2_ses-1"]
    assert [bool(problem) for problem in by_subject.values()] == [True, True, False, False, False]
    two = {r.id: bool(r.problem) for r in listed(tmp_path, config("seed", sessions=2))}  # one too many is no better
    assert list(two.values()) == [False, False, True, True, True]


def test_seed_sessions_share_the_stimulus_ids() -> None:
    by_session = [[t.stimulus for s in read(r) for t in s.trials] for r in listed(small("seed"), small_config("seed"))]
    assert by_session == [["1", "2", "3"]] * 4


def test_seed_refusals(copy: Copy) -> None:
    root, options = copy("seed"), small_config("seed")
    path = Path(listed(root, options)[0].files[0])
    whole = path.read_bytes()
    refused(lambda: first(root, small_config("seed", seconds=6)), path, "shape", "(62, 1001)", "(62, 1201)")
    refused(lambda: first(root, small_config("seed", stimuli=(1, 2))), path, "trials", "[1, 2, 3]")
    for length in (0, 100, 200, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:length])
        refused(lambda: first(root, options), path)
    savemat(path, {"data": np.zeros((62, 1001))})
    refused(lambda: first(root, options), path, "variables", "data", "_eeg1")
    values = np.zeros((62, 1001))
    values[3, 7] = np.nan
    savemat(path, {f"a_eeg{k}": values for k in (1, 2, 3)})
    refused(lambda: first(root, options), path, "a_eeg1", "NaN")
    savemat(path, {f"a_eeg{k}": np.array([["text"]]) for k in (1, 2, 3)})
    refused(lambda: first(root, options), path, "a_eeg1")
    path.write_bytes(whole)
    savemat(path.with_name("label.mat"), {"label": [[1, 1, 1]]})
    refused(lambda: first(root, options), "label.mat", "[1, 1, 1]", "[1, 0, -1]")
    path.with_name("label.mat").unlink()
    refused(lambda: listed(root, options), "label.mat", "nothing there")


@pytest.mark.parametrize("layout", ["seed", "faced", "deap", "bids", "ssvep_exo", "eegmat", "feis"])
def test_absent_and_empty_folders(tmp_path: Path, layout: str) -> None:
    inside = {"seed": "Preprocessed_EEG", "faced": "Processed_data", "deap": "data_preprocessed_python"}.get(layout, "")
    refused(lambda: listed(tmp_path / "absent", config(layout)), "absent", "nothing there")
    (tmp_path / inside).mkdir(exist_ok=True)
    if layout == "seed":
        savemat(tmp_path / inside / "label.mat", {"label": [[1]]})
    refused(lambda: listed(tmp_path, config(layout)), tmp_path, "recordings", "names like")
    refused(lambda: listed(tmp_path, config(layout, "unheard of")), "labels", "unheard of", "default")


def test_faced_as_published(tmp_path: Path) -> None:
    folder = tmp_path / "Processed_data"
    folder.mkdir()
    values = np.zeros((28, 32, 7500), dtype=np.float32) + np.arange(28, dtype=np.float32)[:, None, None]
    (folder / "sub007.pkl").write_bytes(pickle.dumps(values))
    (folder / "sub007.pkl.pkl").write_bytes(b"the features that lie next door")
    found = listed(tmp_path, config("faced"))
    assert [r.subject for r in found] == ["007"]
    segments = read(found[0])
    assert len(segments) == 28
    for row, segment in enumerate(segments):
        (trial,) = segment.trials
        assert (trial.trial, trial.stimulus) == (row + 1, str(row + 1))
        data = segment.raw.get_data("eeg")
        assert data.shape == (30, 7500)
        assert data[0, 0] == pytest.approx(row * 1e-6)
    assert [s.trials[0].label for s in segments[::3]] == [
        "anger", "disgust", "fear", "sadness", "neutral", "neutral", "amusement", "inspiration", "joy", "tenderness",
    ]  # fmt: skip
    by_valence = [s.trials[0].label for s in first(tmp_path, config("faced", "valence"))]
    assert by_valence == ["negative"] * 12 + ["neutral"] * 4 + ["positive"] * 12
    binary = [s.trials[0].label for s in first(tmp_path, config("faced", "binary"))]
    assert binary == ["negative"] * 12 + [None] * 4 + ["positive"] * 12


def test_faced_subset_and_refusals(copy: Copy) -> None:
    root, options = copy("faced"), small_config("faced")
    assert [(s.trials[0].stimulus, s.trials[0].label) for s in first(root, options)] == [
        ("1", "anger"), ("13", "neutral"), ("28", "tenderness"),
    ]  # fmt: skip
    path = Path(listed(root, options)[0].files[0])
    refused(lambda: first(root, config("faced")), path, "shape", "(3, 32, 1250)", "(28, 32, 7500)")
    refused(lambda: listed(root, config("faced", sessions=2)), "facts.sessions", 2)
    for numbers in ((0, 1, 2), (1, 1, 2), (29,)):
        refused(lambda numbers=numbers: listed(root, config("faced", stimuli=numbers)), "facts.stimuli", "1..28")
    path.write_bytes(path.read_bytes()[:-1000])
    refused(lambda: first(root, options), path, "truncated")
    path.write_bytes(pickle.dumps({"data": np.zeros((3, 32, 1250))}))
    refused(lambda: first(root, options), path, "dictionary", "one array")
    path.write_bytes(pickle.dumps(np.full((3, 32, 1250), np.inf)))
    refused(lambda: first(root, options), path, "infinite")


def test_deap_as_published(tmp_path: Path) -> None:
    folder = tmp_path / "data_preprocessed_python"
    folder.mkdir()
    ratings = np.tile([[9.0, 1.0, 5.0, 5.0], [1.0, 9.0, 5.0, 5.0], [5.0, 5.0, 5, 5], [4.9, 4.9, 5, 5]], (10, 1))
    values = np.zeros((40, 40, 8064), dtype=np.float32)
    values[:, :, :384] = 7.0
    values[:, 36:] = 1000.0
    (folder / "s01.dat").write_bytes(pickle.dumps({"data": values, "labels": ratings}, protocol=2))
    segments = first(tmp_path, config("deap"))
    assert [s.trials[0].label for s in segments] == ["positive"] * 20 + ["negative"] * 20
    assert [s.trials[0].stimulus for s in segments] == [str(n) for n in range(1, 41)]
    assert all(microvolts(s).shape == (32, 60 * 128) and not microvolts(s).any() for s in segments)  # no baseline
    assert segments[0].raw.get_data(["GSR"])[0, 0] == 1000.0  # of no known unit: left alone
    assert [(t.valence, t.arousal) for t in (s.trials[0] for s in segments[:3])] == [(1, -1), (-1, 1), (0, 0)]
    for scheme, expected in {
        "own_valence": ["positive", "negative", "positive", "negative"],
        "own_arousal": ["low", "high", "high", "low"],
        "own_quadrant": ["LAHV", "HALV", "HAHV", "LALV"],
    }.items():
        labels = [s.trials[0].label for s in first(tmp_path, config("deap", scheme))]
        assert labels == expected * 10
        assert set(labels) == set(deap.FACTS.labels[scheme])
    by_stimulus = [s.trials[0].label for s in first(tmp_path, config("deap", "quadrant"))]
    assert by_stimulus == [quadrant for quadrant in ("HAHV", "LAHV", "LALV", "HALV") for _ in range(10)]


def test_deap_refusals(copy: Copy) -> None:
    root, options = copy("deap"), small_config("deap")
    path = Path(listed(root, options)[0].files[0])
    refused(lambda: first(root, config("deap")), path, "shape of data", "(4, 40, 1024)", "(40, 40, 8064)")
    tree = {"data": np.zeros((4, 40, 1024)), "labels": np.full((4, 4), 5.0)}
    for change, part in (
        ({"labels": np.zeros((4, 4))}, "1..9"),
        ({"labels": np.full((4, 4), np.nan)}, "1..9"),
        ({"labels": np.zeros((4, 3))}, "shape of labels"),
        ({"data": np.zeros((4, 1024, 40))}, "shape of data"),
    ):
        path.write_bytes(pickle.dumps(tree | change, protocol=2))
        refused(lambda: first(root, options), path, part)
    path.write_bytes(pickle.dumps(np.zeros(3)))
    refused(lambda: first(root, options), path, "one array")


@pytest.mark.parametrize("layout", list(SMALL))
def test_units_are_volts(layout: str) -> None:
    for recording in listed(small(layout), small_config(layout)):
        for segment in read(recording):
            deviation = segment.raw.get_data("eeg").std(axis=1) * 1e6
            assert deviation.min() > 1
            assert deviation.max() < 300
            assert 5 < np.median(deviation) < 40


def test_a_subset_of_subjects_is_fine() -> None:
    assert len(listed(small("deap"), small_config("deap"))) == 2 < CORPORA["deap"].facts.subjects
