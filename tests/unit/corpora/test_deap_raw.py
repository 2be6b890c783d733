"""DEAP as recorded: random order, two orders of channels, a Status word under several names and flags."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from corpora_cases import config, first, listed, made, microvolts, read, refused
from layouts.deap_raw import TWENTE, order_of, rating_of, ratings, save_ratings, write_subject
from layouts.planted import level
from mdjpt_platform.corpora import deap
from mdjpt_platform.corpora.edf import open_raw

OPTIONS = config("deap_raw", seconds=1.0)
HEADER = "Participant_id,Trial,Experiment_id,Start_time,Valence,Arousal,Dominance,Liking,Familiarity"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(made("deap_raw")[0], tmp_path / "copy"))


def test_every_video_is_found_wherever_it_was_played() -> None:
    root, options = made("deap_raw")
    orders = []
    for recording, subject in zip(listed(root, options), (22, 23), strict=True):
        (segment,) = read(recording)
        assert segment.raw.ch_names == list(deap.EEG)  # Twente's order and Geneva's alike
        assert not segment.raw.preload
        orders.append([int(trial.stimulus) for trial in segment.trials])
        assert orders[-1] == order_of(subject)
        assert [trial.play_order for trial in segment.trials] == list(range(1, 41))
        for place, trial in enumerate(segment.trials):
            means = microvolts(segment, place).mean(axis=1)
            assert means == pytest.approx(level(int(trial.stimulus), np.arange(32)), abs=0.01)
            valence, arousal = rating_of(int(trial.stimulus))
            assert (trial.valence, trial.arousal) == pytest.approx(((valence - 5) / 4, (arousal - 5) / 4))
            assert trial.label == ("positive" if int(trial.stimulus) <= 20 else "negative")
    assert orders[0] != orders[1]
    assert open_raw(listed(root, options)[0].files[0]).ch_names[:32] == list(TWENTE)


def test_label_schemes_are_those_of_the_cut_files() -> None:
    root, _ = made("deap_raw")
    order = order_of(22)
    expected = {
        "quadrant": {10: "HAHV", 11: "LAHV", 30: "LALV", 31: "HALV"},
        "own_quadrant": {1: "HALV", 20: "HAHV", 40: "LAHV"},
        "own_valence": {19: "negative", 20: "positive"},
        "own_arousal": {20: "high", 21: "low"},
    }
    for scheme, some in expected.items():
        (segment,) = first(root, config("deap_raw", scheme, seconds=1.0))
        labels = dict(zip(order, (trial.label for trial in segment.trials), strict=True))
        assert {stimulus: labels[stimulus] for stimulus in some} == some


@pytest.mark.parametrize("name", ["Status", "", "-1", "Fp1-alike"])
@pytest.mark.parametrize("high", [0, 0x18FF00, 0x58FF00, 0xFFFF00])
def test_status_words_whatever_their_name_and_flags(tmp_path: Path, name: str, high: int) -> None:
    write_subject(tmp_path, 28, name, high=high)
    save_ratings(tmp_path, [HEADER, *ratings(28)])
    (segment,) = first(tmp_path, OPTIONS)
    assert [int(trial.stimulus) for trial in segment.trials] == order_of(28)


def test_a_recording_that_lost_marks_is_refused_and_the_others_go_on(copy: Path) -> None:
    path = write_subject(copy, 22, lost=3)
    lacking, sound = listed(copy, OPTIONS)
    refused(lambda: read(lacking), path, "marks of code 4", "37", "40")
    assert read(sound)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    refused(lambda: read(lacking), path, "size", len(whole) - 1)
    write_subject(copy, 22)
    refused(lambda: first(copy, config("deap_raw")), path, "trial 1", "60 s", "within 51 s")


def test_ratings_that_cannot_be_trusted(copy: Path) -> None:
    table = copy / "metadata_csv" / "participant_ratings.csv"
    rows = ratings(22)
    save_ratings(table.parent, [HEADER, *rows[:-1]])
    refused(lambda: first(copy, OPTIONS), table, "Trial of participant 22", "1 to 40")
    save_ratings(table.parent, [HEADER, *rows[:-1], rows[-1].replace(",40,", ",39,")])
    refused(lambda: first(copy, OPTIONS), table, "Experiment_id of participant 22")
    for bad in ("22,1,x,0,5,5,5,5,3", "22,1,1,0,0.5,5,5,5,3", "22,1,1,0,nan,5,5,5,3", "22,1"):
        save_ratings(table.parent, [HEADER, *rows[:-1], bad])
        refused(lambda: first(copy, OPTIONS), table)
    save_ratings(table.parent, [HEADER.replace("Experiment_id", "Video"), *rows])
    refused(lambda: first(copy, OPTIONS), table, "columns", "no Experiment_id")
    table.unlink()
    refused(lambda: listed(copy, OPTIONS), "participant_ratings.csv", "none")
    save_ratings(copy / "data_original", [HEADER, *rows, *ratings(23)])
    assert len(first(copy, OPTIONS)[0].trials) == 40


def test_what_a_copy_may_declare(tmp_path: Path) -> None:
    root, _ = made("deap_raw")
    refused(lambda: first(root, config("deap_raw", seconds=1.0, stimuli=(1, 2))), "Trial of participant", "1 to 2")
    refused(lambda: listed(root, config("deap_raw", subjects=("40",))), "subjects", "40")
    refused(lambda: listed(tmp_path, OPTIONS), "data_original", "nothing there")
