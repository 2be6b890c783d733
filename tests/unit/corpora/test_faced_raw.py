"""FACED as recorded: clips in another order for everybody, two cohorts, blank units, ratings that must agree."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from corpora_cases import config, first, listed, made, microvolts, read, refused
from layouts.faced_raw import order_of, ratings_of, save_remarks, write, write_subject
from layouts.planted import blank_units, level, planted, write_edf
from mdjpt_platform.corpora import faced
from mdjpt_platform.preprocess.signals import begin
from mdjpt_platform.preprocess.steps import channels, unit

OPTIONS = config("faced_raw", seconds=1.0)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Two subjects that a test may damage."""
    return Path(shutil.copytree(made("faced_raw")[0], tmp_path / "copy"))


def test_every_clip_is_found_wherever_it_was_played() -> None:
    root, options = made("faced_raw")
    orders = []
    for recording, subject in zip(listed(root, options), (61, 62), strict=True):
        (segment,) = read(recording)
        assert not segment.raw.preload
        orders.append([int(trial.stimulus) for trial in segment.trials])
        assert orders[-1] == order_of(subject)
        assert [trial.play_order for trial in segment.trials] == list(range(1, 29))
        for place, trial in enumerate(segment.trials):
            # the last second of the clip: a quarter of a second earlier the level is another
            means = microvolts(segment, place).mean(axis=1)
            assert means == pytest.approx(level(int(trial.stimulus), np.arange(30)), abs=0.01)
            assert trial.label == faced.STIMULUS_EMOTION[int(trial.stimulus) - 1]
            score = ratings_of([int(trial.stimulus)])[0]
            assert (trial.valence, trial.arousal) == pytest.approx((score[9] / 3.5 - 1, score[8] / 3.5 - 1))
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_label_schemes() -> None:
    root, _ = made("faced_raw")
    order = order_of(61)
    labels = {}
    for scheme in ("valence", "binary", "own_valence", "own_arousal", "own_quadrant"):
        segments = first(root, config("faced_raw", scheme, seconds=1.0))
        labels[scheme] = dict(zip(order, (trial.label for trial in segments[0].trials), strict=True))
    assert [labels["valence"][clip] for clip in (12, 13, 17)] == ["negative", "neutral", "positive"]
    assert [labels["binary"][clip] for clip in (12, 13, 17)] == ["negative", None, "positive"]
    # rated (28 - clip) / 4 and clip / 4: both 3.5 for clip 14, which is high
    assert [labels["own_valence"][clip] for clip in (1, 14, 15)] == ["positive", "positive", "negative"]
    assert [labels["own_arousal"][clip] for clip in (13, 14, 28)] == ["low", "high", "high"]
    assert labels["own_quadrant"][28] == "HALV"


def test_cohorts_differ_in_names_and_rate(tmp_path: Path) -> None:
    write_subject(tmp_path, 0, cohort=1, rate=1000)
    write_subject(tmp_path, 5, cohort=1, rate=250)
    write_subject(tmp_path, 61, cohort=2)
    states = []
    for recording, rate in zip(listed(tmp_path, OPTIONS), (1000, 250, 1000), strict=True):
        (segment,) = read(recording)
        assert segment.raw.info["sfreq"] == rate
        kinds = dict(zip(segment.raw.ch_names, segment.raw.get_channel_types(), strict=True))
        assert {name: kind for name, kind in kinds.items() if kind != "eeg"} in (
            {"A1": "misc", "A2": "misc"}, {"HEOR": "eog", "HEOL": "eog"},
        )  # fmt: skip
        states.append(channels(begin([segment], recording.id, faced.FACTS.channels)))
        row = states[-1].names.index("P7")
        first_trial = states[-1].pieces[0].trials[0]
        start = round(first_trial.start * rate)
        mean = states[-1].pieces[0].data[row, start : start + rate].mean()
        assert mean == pytest.approx(level(int(first_trial.stimulus), faced.EEG.index("P7")), abs=0.01)
    assert states[0].names == states[1].names == states[2].names
    refused(lambda: first(tmp_path, config("faced_raw")), "clip", "at least 30 s")


def test_a_blank_unit_is_told_by_amplitude(copy: Path) -> None:
    path = Path(listed(copy, OPTIONS)[0].files[0])
    right = unit(begin(first(copy, OPTIONS), "right", faced.FACTS.channels))
    blank_units(path)
    (segment,) = first(copy, OPTIONS)
    assert np.abs(segment.raw.get_data("eeg", stop=1000)).max() > 1  # "volts"
    mended = unit(begin([segment], "blank", faced.FACTS.channels))
    assert (right.factor, mended.factor) == (1.0, 1e-6)
    assert np.allclose(right.pieces[0].data, mended.pieces[0].data, atol=1e-6)


def test_the_rate_of_the_table_and_of_the_header_must_agree(copy: Path) -> None:
    table = copy / "Recording_info.csv"
    table.write_text("sub,Gender,Age,Sample_rate,Unit\nsub061,F,20,250Hz,uV\nsub062,F,20,1000Hz,uV\n")
    recordings = listed(copy, OPTIONS)
    refused(lambda: read(recordings[0]), "Recording_info.csv", "sub061", "250 Hz", "1000 Hz")
    assert read(recordings[1])
    table.write_text("what,else\n1,2\n")  # says nothing of rates
    assert read(listed(copy, OPTIONS)[0])
    table.unlink()
    assert read(listed(copy, OPTIONS)[0])


def test_marks_and_ratings_must_tell_one_order(copy: Path) -> None:
    remarks = Path(listed(copy, OPTIONS)[0].files[2])
    order = order_of(61)
    other = [order[1], order[0], *order[2:]]
    save_remarks(remarks, other)
    refused(lambda: first(copy, OPTIONS), remarks, "vid", other, order)
    save_remarks(remarks, order[:-1])
    refused(lambda: first(copy, OPTIONS), remarks, "vid", order[:-1])
    for change in (np.zeros(11), np.full(12, np.nan), np.full(12, 7.5), np.array([])):
        scores = ratings_of(order)
        scores[3] = change
        save_remarks(remarks, order, scores)
        refused(lambda: first(copy, OPTIONS), remarks, f"score of clip {order[3]}", "0..7")
    savemat(remarks, {"After_remark": np.zeros((28, 1))})
    refused(lambda: first(copy, OPTIONS), remarks, "vid and score")
    savemat(remarks, {"Before": 1})
    refused(lambda: first(copy, OPTIONS), remarks, "After_remark")
    remarks.write_bytes(remarks.read_bytes()[:150])
    refused(lambda: first(copy, OPTIONS), remarks, "MAT file")


def marks(order: list[int]) -> list[tuple[float, str]]:
    parts = [((0.1, str(clip)), (0.2, "101"), (1.3, "102")) for clip in order]
    return [(1.5 * place + onset, text) for place, part in enumerate(parts) for onset, text in part]


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda m: m[:-1], ["102"]),
        (lambda m: [*m[:4], *m[5:]], ["marks 4 to 6"]),
        (lambda m: m[3:], ["video indices", "once"]),
        (lambda m: [(0.1, m[3][1]), *m[1:]], ["video indices", "once"]),
        (lambda m: [(0.1, "29"), *m[1:]], ["a video index, 101, 102"]),
        (lambda m: [*m, (90.0, "101"), (91.0, "102")], ["a video index, 101, 102"]),
    ],
)
def test_marks_that_are_no_clips(
    copy: Path, change: Callable[[list[tuple[float, str]]], list[tuple[float, str]]], parts: list[str]
) -> None:
    path = Path(listed(copy, OPTIONS)[0].files[1])
    write_edf(path, {}, 1000, change(marks(order_of(61))))
    refused(lambda: first(copy, OPTIONS), path, *parts)


def test_damaged_and_missing_files(copy: Path) -> None:
    data, evt, remarks = (Path(name) for name in listed(copy, OPTIONS)[0].files[:3])
    whole = data.read_bytes()
    for length in (0, 200, 5000, len(whole) - 3):
        data.write_bytes(whole[:length])
        refused(lambda: first(copy, OPTIONS), data)
    assert read(listed(copy, OPTIONS)[1])  # the other subject goes on
    rows = planted(30, 1000, 2, [])
    write_edf(data, dict(zip([*faced.EEG[:-1], "X1"], rows, strict=True)), 1000)
    refused(lambda: first(copy, OPTIONS), data, "channels", "O2")
    write_edf(data, dict(zip(faced.EEG, rows, strict=True)), 1000)  # shorter than its marks
    refused(lambda: first(copy, OPTIONS), evt, "clip", "in 2.00 s")
    evt.write_bytes(b"\xff\x14\x00")
    refused(lambda: first(copy, OPTIONS), evt, "video indices", "[]")
    remarks.unlink()
    lacking, sound = listed(copy, OPTIONS)
    assert "no After_remarks.mat" in lacking.problem
    assert not sound.problem


def test_what_a_copy_may_declare(tmp_path: Path) -> None:
    root, _ = made("faced_raw")
    refused(lambda: listed(root, config("faced_raw", sessions=2)), "facts.sessions")
    refused(lambda: first(root, config("faced_raw", seconds=1.0, stimuli=(1, 2, 3))), "video indices", "[1, 2, 3]")
    refused(lambda: listed(tmp_path, OPTIONS), tmp_path / "Data", "nothing there")
    (tmp_path / "Data").mkdir()
    refused(lambda: listed(tmp_path, OPTIONS), "recordings", "sub")
    assert write(tmp_path, 1) == OPTIONS
