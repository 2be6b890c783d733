"""DREAMER and AMIGOS: time-first arrays, ratings, cells out of order, holes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpora_cases import config, first, listed, made, microvolts, read, refused
from layouts import amigos as files
from layouts import dreamer as cells_of
from mdjpt_platform.corpora import amigos, dreamer

DREAMER = config("dreamer", subjects=("1", "2"))


def test_dreamer_clips_are_cells_and_time_is_first() -> None:
    root, options = made("dreamer")
    found = listed(root, options)
    assert [(r.subject, r.files) for r in found] == [(s, (str(root / "DREAMER.mat"),)) for s in ("1", "2")]
    for recording in found:
        segments = read(recording)
        for clip, segment in enumerate(segments, 1):
            (trial,) = segment.trials
            x = microvolts(segment)
            assert x.shape == (14, 384 + 16 * clip)
            np.testing.assert_allclose(x[:, 0], 1000 * int(recording.subject) + clip)
            assert x[:, 1:].mean() == pytest.approx(4200, abs=5)  # the offset is left to the filters
            assert trial.stimulus == str(clip)
            rating = 1 + (clip - 1 + int(recording.subject)) % 5
            assert (trial.valence, trial.arousal) == ((rating - 3) / 2, (3 - rating) / 2)


def test_dreamer_label_schemes() -> None:
    root, _ = made("dreamer")
    expected = {
        "default": ["calmness", "surprise", "amusement", "fear", "excitement", "disgust", "happy"],
        "valence": ["positive", "positive", "positive", "negative", "positive", "negative", "positive"],
        "arousal": ["low", "low", "high", "high", "high", "high", "high"],  # clip 2 has 3.00: not more than 3
        "own_valence": ["negative", "negative", "positive", "positive", "negative", "negative", "negative"],
        "own_arousal": ["high", "low", "low", "low", "high", "high", "low"],
        "own_quadrant": ["HALV", "LALV", "LAHV", "LAHV", "HALV", "HALV", "LALV"],
    }  # ratings of subject 1: 2 3 4 5 1 2 3; 3 is low
    assert set(expected) == set(dreamer.FACTS.labels)
    for scheme, labels in expected.items():
        assert [s.trials[0].label for s in first(root, config("dreamer", scheme))][:7] == labels
    assert dreamer.FACTS.affect["measured"]["fear"] == pytest.approx(((2.26 - 3) / 2, (3.675 - 3) / 2))
    assert sorted(word for word, _, _ in dreamer.CLIPS) == sorted(2 * dreamer.EMOTIONS)


def test_dreamer_refusals(tmp_path: Path) -> None:
    refused(lambda: listed(tmp_path, DREAMER), "DREAMER.mat", "nothing there")
    (tmp_path / "DREAMER.mat").write_bytes(b"MATLAB 7.3 MAT-file")
    refused(lambda: first(tmp_path, DREAMER), "DREAMER.mat", "7.3")
    cells_of.save(tmp_path, [cells_of.subject(1)])
    everybody = listed(tmp_path, config("dreamer"))
    assert [r.subject for r in everybody] == [str(number) for number in range(1, 24)]
    refused(lambda: read(everybody[1]), "DREAMER.mat", "Data/1", "nothing called 1")

    def changed(change: Callable[[dict[str, Any]], object]) -> None:
        person = cells_of.subject(2)
        change(person)
        cells_of.save(tmp_path, [cells_of.subject(1), person], compressed=False)

    def second() -> None:
        one, two = listed(tmp_path, DREAMER)
        assert len(read(one)) == 18  # the other subject is whole
        read(two)

    stimuli = lambda person: person["EEG"]["stimuli"]  # noqa: E731
    changed(lambda p: stimuli(p).__setitem__((3, 0), stimuli(p)[3, 0].T))
    refused(second, "Data{2}.EEG.stimuli{4}", "(14, 448)", "time first")
    changed(lambda p: stimuli(p).__setitem__((3, 0), np.zeros((0, 0))))
    refused(second, "Data{2}.EEG.stimuli{4}", "(0, 0)")
    changed(lambda p: stimuli(p)[5, 0].__setitem__((7, 3), np.nan))
    refused(second, "Data{2}.EEG.stimuli{6}", "NaN")
    changed(lambda p: p["EEG"].update(stimuli=cells_of.cells(list(stimuli(p)[:17, 0]), (17, 1))))
    refused(second, "Data{2}.EEG.stimuli", "17 cells", "18")
    changed(lambda p: p["ScoreArousal"].__setitem__(2, 6))
    refused(second, "Data{2}, ratings", "1..5")
    changed(lambda p: p.pop("ScoreValence"))
    refused(second, "Data{2}", "ScoreValence")
    path = cells_of.save(tmp_path, [cells_of.subject(1), cells_of.subject(2)], compressed=False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    refused(second, "DREAMER.mat")
    refused(lambda: listed(tmp_path, config("dreamer", seconds=60)), "facts.seconds")


def test_dreamer_subset(tmp_path: Path) -> None:
    person = cells_of.subject(1)
    person["EEG"]["stimuli"] = person["EEG"]["stimuli"][[2, 8]]
    person |= {key: person[key][[2, 8]] for key in ("ScoreValence", "ScoreArousal")}
    cells_of.save(tmp_path, [person])
    trials = [s.trials[0] for s in first(tmp_path, config("dreamer", stimuli=(3, 9)))]
    assert [(t.trial, t.stimulus, t.label) for t in trials] == [(1, "3", "amusement"), (2, "9", "sadness")]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(made("amigos")[0], tmp_path / "amigos"))


def rewrite(root: Path, change: Callable[[dict[str, Any]], object], subject: int = 1) -> Path:
    variables = files.tree(subject)
    change(variables)
    return files.save(root / "data_preprocessed", subject, variables)


def test_amigos_goes_by_video_and_leaves_the_baseline() -> None:
    root, options = made("amigos")
    orders = []
    for recording in listed(root, options):
        segments = read(recording)
        for segment in segments:
            (trial,) = segment.trials
            index = list(amigos.SHORT).index(trial.stimulus)
            x = microvolts(segment)
            assert x.shape == (14, 384)
            np.testing.assert_allclose(x[:, 0], index + 100 * np.arange(14))
            assert x.max() < 9999  # the baseline's number
            # Arousal comes first in the file.
            assert (trial.arousal, trial.valence) == ((index % 9 - 4) / 4, (4 - index % 9) / 4)
            assert segment.raw.get_channel_types(["ECG_Right", "GSR"]) == ["ecg", "misc"]
            assert segment.raw.get_data(["GSR"])[0, 640] == index + 1600
        orders.append([s.trials[0].stimulus for s in segments])
    assert orders[0] != orders[1]
    assert {frozenset(order) for order in orders} == {frozenset(amigos.SHORT)}


def test_amigos_label_schemes() -> None:
    root, _ = made("amigos")

    def labels(scheme: str) -> dict[str, str | None]:
        return {t.stimulus: t.label for s in first(root, config("amigos", scheme)) for t in s.trials}

    assert [list(labels("default").values()).count(word) for word in ("negative", "positive")] == [8, 8]
    assert [list(labels("quadrant").values()).count(word) for word in amigos.QUADRANTS] == [4] * 4
    own = {scheme: labels(f"own_{scheme}") for scheme in ("valence", "arousal", "quadrant")}
    # Videos 4, 13 and 36 have index 0, 4 and 12: valence 9, 5, 6, arousal 1, 5, 4. 5 is high.
    assert [own["valence"][video] for video in ("4", "13", "36")] == ["positive"] * 3
    assert [own["arousal"][video] for video in ("4", "13", "36")] == ["low", "high", "low"]
    assert [own["quadrant"][video] for video in ("4", "13", "36")] == ["LAHV", "HAHV", "LAHV"]


def test_amigos_long_videos_are_a_second_session(copy: Path) -> None:
    for subject in (8, 24):
        files.save(copy / "data_preprocessed", subject, files.tree(subject))
    options = config("amigos", sessions=2)
    found = listed(copy, options)
    assert [r.id for r in found[:4]] == ["sub-1_ses-1", "sub-1_ses-2", "sub-2_ses-1", "sub-2_ses-2"]
    assert [bool(r.problem) for r in found] == [False] * 5 + [True, False, True]
    assert "did not see" in found[5].problem
    trials = [s.trials[0] for s in read(found[1])]
    assert [(t.trial, t.stimulus, t.label) for t in trials] == [(17 + k, v, None) for k, v in enumerate(amigos.LONG)]
    refused(lambda: listed(copy, config("amigos", sessions=3)), "facts.sessions", 3)


def test_amigos_holes_are_absent_and_the_others_stay(copy: Path) -> None:
    def dig(variables: dict[str, Any]) -> None:
        signals, ratings = variables["joined_data"], variables["labels_selfassessment"]
        signals[0, 2] = np.zeros((0, 0))
        signals[0, 5][700, 3] = np.nan
        signals[0, 6][700, 16] = np.nan  # in the skin conductance, which is no EEG
        ratings[0, 8] = np.zeros((1, 0))
        ratings[0, 9][0, 0] = np.nan

    rewrite(copy, dig)
    segments = first(copy, config("amigos", "own_arousal"))
    trials = {t.trial: t for s in segments for t in s.trials}
    assert sorted(trials) == [k for k in range(1, 17) if k not in (3, 6)]
    assert len({t.stimulus for t in trials.values()}) == 14
    assert trials[9].label is None
    assert trials[9].valence in (-0.6, 0.6)  # the word's place, for want of a rating
    assert trials[10].label is None
    assert trials[10].valence is not None
    rewrite(copy, lambda v: v["joined_data"].fill(np.zeros((0, 0))))
    refused(lambda: first(copy, config("amigos")), "P01.mat", "no whole video")


def test_amigos_files_flat_nested_or_twice(tmp_path: Path) -> None:
    files.save(tmp_path, 10, files.tree(10), nested=True)
    files.save(tmp_path, 9, files.tree(9))
    found = listed(tmp_path, config("amigos"))
    assert [r.subject for r in found] == ["9", "10"]
    assert found[1].files[0].endswith("Data_Preprocessed_P10/Data_Preprocessed_P10.mat")
    assert len(read(found[1])) == 16
    (tmp_path / "Data_Preprocessed_P11").mkdir()
    assert "nothing there" in listed(tmp_path, config("amigos"))[2].problem
    files.save(tmp_path, 9, files.tree(9), nested=True)
    refused(lambda: listed(tmp_path, config("amigos")), "subject 9", "one of the two")


def test_amigos_subset_and_refusals(copy: Path) -> None:
    options = config("amigos")
    videos = {t.stimulus for s in first(copy, config("amigos", stimuli=(4, 138))) for t in s.trials}
    assert videos == {"4", "138"}
    refused(lambda: listed(copy, config("amigos", stimuli=(1, 2))), "facts.stimuli", "1, 2", "138")

    def refuse(change: Callable[[dict[str, Any]], object], *parts: object) -> None:
        path = rewrite(copy, change)
        refused(lambda: first(copy, options), path, *parts)

    refuse(lambda v: v["joined_data"].__setitem__((0, 1), v["joined_data"][0, 1].T), "joined_data{2}", "time first")
    refuse(lambda v: v["joined_data"].__setitem__((0, 1), np.zeros((640, 17))), "joined_data{2}", "baseline")
    refuse(lambda v: v["VideoIDs"].__setitem__((0, 0), "77"), "VideoIDs", "77")
    refuse(lambda v: v["VideoIDs"].__setitem__((0, 0), v["VideoIDs"][0, 1]), "VideoIDs", "each once")
    path = rewrite(copy, lambda v: v["VideoIDs"].__setitem__((0, 16), np.array([[77.0]])))  # an id as a number
    refused(lambda: first(copy, options), path, "VideoIDs", "77")
    refuse(lambda v: v["labels_selfassessment"][0, 0].__setitem__((0, 1), 0.0), "labels_selfassessment{1}", "1..9")
    refuse(lambda v: v.pop("labels_selfassessment"), "variables", "no labels_selfassessment")
    refuse(lambda v: v.update(joined_data=v["joined_data"][:, :19]), "cells", "joined_data (1, 19)")
    refuse(lambda v: v.update(joined_data=np.zeros((1, 20))), "cells", "three cell arrays")
    path = rewrite(copy, lambda v: None)
    content = path.read_bytes()
    for length in (0, 100, len(content) // 2):
        path.write_bytes(content[:length])
        refused(lambda: first(copy, options), path)
