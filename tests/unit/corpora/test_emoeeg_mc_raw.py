"""EmoEEG-MC as recorded: marks and sequences by subject, two runs, ratings whose order the marks tell."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from corpora_cases import config, first, listed, made, microvolts, read, refused
from layouts.emoeeg_mc import blocks, number_of, rating_of, save_ratings, write_recording
from layouts.planted import level
from mdjpt_platform.corpora.emoeeg_mc import CODES, EEG
from mdjpt_platform.corpora.emoeeg_mc_raw import CONTEXTS, sequence, tables

OPTIONS = config("emoeeg_mc_raw_video", seconds=1.0)
SUBJECTS = [f"{number:02d}" for number in range(1, 61)]
SHORT = {
    ("55", "vid"): 18, ("55", "ima"): 18, ("56", "ima"): 19, ("57", "vid"): 15, ("57", "ima"): 17, ("58", "ima"): 18,
    ("59", "vid"): 17, ("59", "ima"): 15, ("60", "vid"): 9, ("60", "ima"): 7,
}  # fmt: skip
"""Trials left, by the README's own list of missing ones."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(made("emoeeg_mc_raw_video")[0], tmp_path / "copy"))


def test_tables_are_complete_and_consistent() -> None:
    assert sorted(tables()["triggers"]) == sorted(tables()["sequences"]) == SUBJECTS
    for subject in SUBJECTS:
        marks = tables()["triggers"][subject]
        assert list(marks) == ["vid", "ima", "rating", "fade"]
        assert len(set(marks.values())) == 4
        for context in ("vid", "ima"):
            codes = sequence(subject, context)
            assert len(set(codes)) == len(codes) == SHORT.get((subject, context), 21)
            assert set(codes) <= set(CODES)
        alike = sequence(subject, "vid") == sequence(subject, "ima")
        assert alike == (subject not in ("54", "56", "57", "58", "59", "60"))
        if subject < "55":  # blocks are of one valence; with neutral they come in threes
            valence = [{"sad": -1, "dis": -1, "fear": -1, "neu": 0}.get(c[:-1], 1) for c in sequence(subject, "vid")]
            assert all(len(set(valence[k : k + 3])) == 1 for k in range(0, 21, 3))
    usual = Counter(tuple(number % 10 for number in tables()["triggers"][s].values()) for s in SUBJECTS)
    assert usual.most_common(1)[0] == ((6, 5, 4, 3), 40)
    assert tables()["triggers"]["53"] == {"vid": 38, "ima": 36, "rating": 33, "fade": 34}
    assert sequence("01", "ima")[:4] == ("joy5", "ins5", "joy8", "fear8")


@pytest.mark.parametrize("layout", list(CONTEXTS))
def test_every_stimulus_is_found_in_its_run(layout: str) -> None:
    root, options = made(layout)
    context = CONTEXTS[layout]
    recordings = listed(root, options)
    assert [recording.subject for recording in recordings] == ["02", "07"]  # 01 has ratings and no EDF
    for recording, runs in zip(recordings, (1, 2), strict=True):
        segments = read(recording)
        assert len(segments) == runs
        order = []
        for segment in segments:
            assert not segment.raw.preload
            for place, trial in enumerate(segment.trials):
                order.append(trial.stimulus.removeprefix(f"{context}-"))
                means = microvolts(segment, place).mean(axis=1)
                assert means == pytest.approx(level(number_of(context, order[-1]), np.arange(64)), abs=0.1)
                rating = rating_of(context, order[-1])
                assert trial.valence == pytest.approx(rating["valence"] / 3.5 - 1, abs=1e-5)
                assert trial.arousal == pytest.approx(rating["arousal"] / 3.5 - 1)
        assert tuple(order) == sequence(recording.subject, context)
        assert [t.play_order for s in segments for t in s.trials] == list(range(1, 22))


@pytest.mark.parametrize(("layout", "short"), [("emoeeg_mc_raw_video", 9), ("emoeeg_mc_raw_imagery", 7)])
def test_a_subject_that_misses_trials(tmp_path: Path, layout: str, short: int) -> None:
    write_recording(tmp_path, "60", 1, rate=1200)
    (segment,) = first(tmp_path, config(layout, seconds=1.0))
    assert segment.raw.info["sfreq"] == 1200
    assert [t.stimulus.partition("-")[2] for t in segment.trials] == list(sequence("60", CONTEXTS[layout]))
    assert len(segment.trials) == short


def test_ratings_are_left_out_where_their_order_is_in_doubt(copy: Path) -> None:
    def valences() -> list[float | None]:
        return [trial.valence for segment in first(copy, OPTIONS) for trial in segment.trials]

    own, order = valences(), blocks("02")
    table = copy / "sub-02" / "beh" / "sub-02_task-emotion_beh.tsv"
    rows = table.read_text().splitlines()
    save_ratings(copy, "02", [*order[20:], *order[:20]])  # another order: the emotion aimed at is rarely the highest
    by_table = valences()
    assert set(by_table) == {-0.6, 0.0, 0.6, 0.75}
    table.write_text("\n".join(rows[:-1]) + "\n")  # a row short
    assert valences() == by_table
    first_clip = 1 + order.index(("vid", "fear8"))
    hole = rows[first_clip].rsplit("\t", 10)[0] + "\tn/a" * 10
    table.write_text("\n".join([*rows[:first_clip], hole, *rows[first_clip + 1 :]]) + "\n")
    assert (valences()[0], valences()[1:]) == (-0.6, own[1:])
    table.write_text(rows[0].replace("score_8", "valence") + "\n" + "\n".join(rows[1:]) + "\n")
    refused(lambda: first(copy, OPTIONS), table, "no score_8")
    table.write_text("\n".join([rows[0], rows[1].replace("\t6\t", "\t8\t"), *rows[2:]]) + "\n")
    refused(lambda: first(copy, OPTIONS), table, "scores", "8")
    table.unlink()
    assert valences() == by_table


@pytest.mark.parametrize(
    ("further", "parts"),
    [
        ([(62.9, "33"), (63.5, "31")], ["22 vid", "21 vid, as its sequence has"]),
        ([(0.5, "30")], ["trial 1", "to fade", "at least 1 s"]),
        ([(0.5, "32")], ["mark vid at", "ima after it"]),
        ([(63.3, "33")], ["mark vid at 63.30 s", "nothing after it"]),
    ],
)
def test_marks_that_do_not_tell_are_refused(tmp_path: Path, further: list[tuple[float, str]], parts: list[str]) -> None:
    # pair 1 begins with imagery in the layout; the first vid mark of the test lies in trial 4
    shifted = [(onset + 4.5 if onset < 1 else onset, text) for onset, text in further]
    write_recording(tmp_path, "02", 1, further=shifted)
    refused(lambda: first(tmp_path, OPTIONS), "sub-02_task-emotion_eeg.edf", *parts)


def test_marks_are_whole_texts(copy: Path) -> None:
    write_recording(copy, "02", 1, further=[(0.2, "Impedance 33"), (0.3, "330"), (0.4, "3")])
    assert len(first(copy, OPTIONS)[0].trials) == 21
    refused(lambda: first(copy, config("emoeeg_mc_raw_video")), "trial 1", "at least 30 s")


def test_damaged_and_missing_files(copy: Path) -> None:
    runs = [Path(name) for name in listed(copy, OPTIONS)[1].files if name.endswith(".edf")]
    whole = runs[1].read_bytes()
    runs[1].write_bytes(whole[:-1000])
    recordings = listed(copy, OPTIONS)
    refused(lambda: read(recordings[1]), runs[1], "size")
    assert read(recordings[0])
    runs[1].unlink()
    assert "run-01 and run-02" in listed(copy, OPTIONS)[1].problem
    runs[1].symlink_to("../../.git/annex/objects/00/11/SHA256E-s1--0.edf")
    assert "datalad get" in listed(copy, OPTIONS)[1].problem
    shutil.rmtree(copy / "sub-07" / "eeg")
    assert "no EDF" in listed(copy, OPTIONS)[1].problem
    (copy / "sub-61" / "eeg").mkdir(parents=True)
    (copy / "sub-61" / "eeg" / "sub-61_task-emotion_eeg.edf").write_bytes(whole)
    assert "01 to 60" in listed(copy, OPTIONS)[2].problem


def test_channels_are_taken_by_name(copy: Path) -> None:
    path = Path(listed(copy, OPTIONS)[0].files[0])
    content = bytearray(path.read_bytes())
    place = 256 + 16 * (2 + EEG.index("Cz"))  # two trigger channels come first
    assert content[place : place + 2] == b"Cz"
    content[place : place + 2] = b"XX"
    path.write_bytes(bytes(content))
    refused(lambda: first(copy, OPTIONS), path, "channels", "no Cz")


def test_what_a_copy_may_declare(tmp_path: Path) -> None:
    root, _ = made("emoeeg_mc_raw_video")
    refused(lambda: listed(root, config("emoeeg_mc_raw_video", stimuli=(1, 2))), "facts.stimuli")
    refused(lambda: listed(tmp_path / "absent", OPTIONS), "nothing there")
    refused(lambda: listed(tmp_path, OPTIONS), "recordings", "names like")
    (tmp_path / "sub-01").mkdir()
    refused(lambda: listed(tmp_path, OPTIONS), "none but subject 01")
