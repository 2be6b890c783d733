"""MAHNOB-HCI: a folder a clip, random order, folders of another experiment, XML from strangers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from corpora_cases import config, first, listed, made, microvolts, read, refused
from layouts.mahnob import CLIPS, about, order_of, session_of, write_session, xml
from layouts.planted import level
from mdjpt_platform.corpora import mahnob

OPTIONS = config("mahnob")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(made("mahnob")[0], tmp_path / "copy"))


def folder(root: Path, subject: int, trial: int) -> Path:
    return root / "Sessions" / str(session_of(subject, trial))


def test_every_clip_is_found_wherever_it_was_played() -> None:
    root, options = made("mahnob")
    orders = []
    for recording, subject in zip(listed(root, options), (1, 2), strict=True):
        segments = read(recording)
        assert len(segments) == 20  # the folder without ratings belongs to the other experiment
        orders.append([segment.trials[0].stimulus for segment in segments])
        assert orders[-1] == [CLIPS[clip] for clip in order_of(subject)]
        for position, (segment, clip) in enumerate(zip(segments, order_of(subject), strict=True), 1):
            (trial,) = segment.trials
            assert not segment.raw.preload
            assert (trial.trial, trial.play_order, trial.start, trial.stop) == (position, position, 1.5, 2.5)
            assert microvolts(segment).mean(axis=1) == pytest.approx(level(clip + 1, np.arange(32)), abs=0.01)
            assert trial.label == mahnob.TARGETS[CLIPS[clip]]
            assert (trial.valence, trial.arousal) == ((4 - clip % 9) / 4, (clip % 9 - 4) / 4)
    assert orders[0] != orders[1]


def test_label_schemes_by_what_the_subject_said() -> None:
    root, _ = made("mahnob")
    order = order_of(1)
    labels = {}
    for scheme in ("own_emotion", "own_valence", "own_arousal"):
        segments = first(root, config("mahnob", scheme))
        labels[scheme] = dict(zip(order, (segment.trials[0].label for segment in segments), strict=True))
    assert [labels["own_emotion"][clip] for clip in (0, 1, 4, 10, 12, 13)] == [
        "neutral", "anger", "joy", None, "anxiety", "neutral",
    ]  # fmt: skip
    assert [labels["own_valence"][clip] for clip in (0, 4, 5)] == ["positive", "positive", "negative"]
    assert [labels["own_arousal"][clip] for clip in (3, 4)] == ["low", "high"]


def test_facts_hold_the_twenty_clips() -> None:
    assert mahnob.FACTS.stimuli == 20
    counts = {emotion: list(mahnob.TARGETS.values()).count(emotion) for emotion in mahnob.FACTS.labels["default"]}
    assert counts == {"disgust": 2, "sadness": 4, "amusement": 3, "joy": 5, "fear": 3, "neutral": 3}


def test_subjects_have_the_folders_they_have(copy: Path) -> None:
    for trial in (4, 11, 20):
        shutil.rmtree(folder(copy, 1, trial))
    (copy / "Sessions" / "notes.txt").write_text("no folder")
    segments = first(copy, OPTIONS)
    expected = [CLIPS[clip] for trial, clip in enumerate(order_of(1), 1) if trial not in (4, 11, 20)]
    assert [segment.trials[0].stimulus for segment in segments] == expected
    assert [segment.trials[0].play_order for segment in segments] == list(range(1, 18))


def test_what_is_wrong_with_one_subject_is_its_own_problem(copy: Path) -> None:
    (folder(copy, 1, 3) / "session.xml").unlink()
    write_session(copy, 900, 2, 5, 7)
    first_one, second = listed(copy, OPTIONS)
    assert "session.xml" in first_one.problem
    assert "nothing there" in first_one.problem
    assert "trial 5" in second.problem
    assert f"clip {CLIPS[7]}" in second.problem
    assert "\n" not in first_one.problem + second.problem


def test_damaged_recordings(copy: Path) -> None:
    path = folder(copy, 1, 2) / "Part_1_S_Trial2_emotion.bdf"
    whole = path.read_bytes()
    path.write_bytes(whole[:-4096])
    refused(lambda: first(copy, OPTIONS), path, "size")
    assert len(read(listed(copy, OPTIONS)[1])) == 20
    write_session(copy, session_of(1, 2), 1, 2, order_of(1)[1], marks=1)
    refused(lambda: first(copy, OPTIONS), path, "triggers in signal 46", "found 1")


HOSTILE = {
    "bomb": '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><session feltArsl="&b;"/>',
    "file": '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><session feltArsl="5">&e;</session>',
    "hidden": '<!<!--DOCTYPE x [<!ENTITY a "aaaa">]><session feltArsl="&a;"/>',
    "cut": '<session feltArsl="5"',
    "other": '<html feltArsl="5"/>',
    "encoding": '<?xml version="1.0" encoding="no-such"?><session feltArsl="5"/>',
    "huge": '<session feltArsl="5">' + " " * 2**20 + "</session>",
}


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_hostile_xml_is_refused_unread(copy: Path, kind: str) -> None:
    path = folder(copy, 1, 1) / "session.xml"
    path.write_text(HOSTILE[kind], encoding="utf-8")
    lacking, sound = listed(copy, OPTIONS)
    assert str(path) in lacking.problem
    assert not sound.problem
    path.write_text(HOSTILE["bomb"], encoding="utf-16")
    assert "document type or bytes that are no text" in listed(copy, OPTIONS)[0].problem


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("mediaFile", ""), ("mediaFile", ".."), ("mediaFile", "a b&amp;.avi"), ("mediaFile", "x" * 99),
        ("feltArsl", "0"), ("feltArsl", "10"), ("feltVlnc", ""), ("feltVlnc", "5.5"),
        ("feltEmo", "13"), ("feltEmo", "-1"),
    ],
)  # fmt: skip
def test_attributes_out_of_range(copy: Path, attribute: str, value: str) -> None:
    (folder(copy, 1, 1) / "session.xml").write_text(xml(**(about(0) | {attribute: value})), encoding="utf-8")
    assert attribute in listed(copy, OPTIONS)[0].problem


def test_a_clip_keeps_its_plain_name(copy: Path) -> None:
    path = folder(copy, 1, 1) / "session.xml"
    clip = order_of(1)[0]
    for name in (f"D:\\films\\{CLIPS[clip]}", f"../films/{CLIPS[clip]}", f" {CLIPS[clip]} "):
        path.write_text(xml(**(about(clip) | {"mediaFile": name})), encoding="utf-8")
        assert first(copy, OPTIONS)[0].trials[0].stimulus == CLIPS[clip]
    path.write_text(xml(**(about(clip) | {"mediaFile": "new_1.avi"})), encoding="utf-8")
    (trial,) = first(copy, OPTIONS)[0].trials
    assert (trial.stimulus, trial.label) == ("new_1.avi", None)  # unknown to the table, and kept


def test_what_a_copy_may_declare(tmp_path: Path) -> None:
    root, _ = made("mahnob")
    refused(lambda: listed(root, config("mahnob", seconds=30)), "facts.seconds")
    refused(lambda: listed(root, config("mahnob", stimuli=(1, 2))), "facts.stimuli")
    refused(lambda: listed(tmp_path, OPTIONS), "Sessions", "nothing there")
    (tmp_path / "Sessions").mkdir()
    refused(lambda: listed(tmp_path, OPTIONS), "recordings", "names like")
    tagging = write_session(tmp_path, 3, 1, 1, 0)
    (tagging / "session.xml").write_text(xml(mediaFile="a.jpg"), encoding="utf-8")
    refused(lambda: listed(tmp_path, OPTIONS), "recordings", "feltArsl")
