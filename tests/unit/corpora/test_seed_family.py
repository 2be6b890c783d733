"""SEED as recorded, SEED-IV, SEED-V, SEED-VII cut and as recorded: published numbers, traps, refusals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from corpora_cases import config, first, listed, made, read, refused
from layouts.neuroscan import write_cnt
from layouts.seed_family import GAPS, SEED_V_CNT, clip_events, write_seed_iv, write_seed_v, write_seed_vii_raw
from mdjpt_platform.corpora import CORPORA, seed_iv, seed_raw, seed_v
from mdjpt_platform.corpora.base import Recording, Segment
from mdjpt_platform.corpora.seed_family import FILE_CHANNELS

CONTINUOUS = ("seed_raw", "seed_v", "seed_vii_raw")


def counts(layout: str, session: int) -> Counter[str | None]:
    return Counter(s.label for s in CORPORA[layout].facts.shown if s.session in (0, session))


def windows(layout: str, session: int, length: int, step: int) -> int:
    """As in DATASETS 0.3."""
    shown = [s for s in CORPORA[layout].facts.shown if s.session in (0, session)]
    return sum(int((s.seconds - length) // step) + 1 for s in shown if s.seconds is not None)


def test_published_counts() -> None:
    for session in (1, 2, 3):
        assert counts("seed_raw", session) == dict.fromkeys(("negative", "neutral", "positive"), 5)
        assert counts("seed_iv", session) == dict.fromkeys(seed_iv.EMOTIONS, 6)
        assert counts("seed_v", session) == dict.fromkeys(seed_v.EMOTIONS, 3)
    whole = sum((counts("seed_vii", session) for session in (1, 2, 3, 4)), Counter())
    assert whole == {"neutral": 8} | dict.fromkeys(("happy", "disgust", "sadness", "anger", "fear", "surprise"), 12)
    assert [len(CORPORA[name].facts.shown) for name in ("seed_raw", "seed_iv", "seed_v", "seed_vii")] == [
        15,
        72,
        45,
        80,
    ]
    for layout in ("seed_iv", "seed_v", "seed_vii", "seed_vii_raw"):
        assert [s.id for s in CORPORA[layout].facts.shown] == [
            str(k + 1) for k in range(len(CORPORA[layout].facts.shown))
        ]


def test_published_windows() -> None:
    assert [sum(session) for session in seed_iv.WINDOWS] == [851, 832, 822]
    seconds = [sum(s.seconds or 0 for s in seed_v.SHOWN if s.session == session) for session in (1, 2, 3)]
    assert seconds == [2743, 2191, 2425]
    assert [windows("seed_v", session, 5, 2) for session in (1, 2, 3)] == [1345, 1070, 1186]
    assert [windows("seed_v", session, 10, 10) for session in (1, 2, 3)] == [267, 211, 236]
    assert [windows("seed_v", session, 4, 4) for session in (1, 2, 3)] == [681, 541, 601]
    assert [windows("seed_raw", 1, *cut) for cut in ((5, 2), (10, 10), (4, 4))] == [1672, 331, 842]
    assert [end for _, end in seed_raw.MARKS] == [
        262, 523, 757, 1022, 1235, 1457, 1721, 1964, 2258, 2524, 2786, 3045, 3307, 3573, 3805,
    ]  # fmt: skip


def test_labels_travel_by_name() -> None:
    root, options = made("seed_vii")
    half = ["happy", "neutral", "disgust", "sadness", "anger", "anger", "sadness", "disgust", "neutral", "happy"]
    assert [s.trials[0].label for s in first(root, options)] == half + half
    second = listed(root, options.model_copy(update={"labels": "valence"}))[1]
    valence = [s.trials[0].label for s in read(second)][:6]
    assert valence == ["negative", "negative", "negative", "neutral", None, None]  # surprise is neither
    emod = first(root, options.model_copy(update={"labels": "binary", "affect": "emod"}))
    assert [(t.label, t.valence, t.arousal) for s in emod[:3] for t in s.trials] == [
        ("positive", 0.75, 0.5), (None, 0.0, 0.0), ("negative", -0.5, 0.25),
    ]  # fmt: skip
    root, options = made("seed_v")
    refused(lambda: listed(root, options.model_copy(update={"affect": "emod"})), "SEED-V", "affect", "emod")


SHORT = (3, 10, 12, 16, 20, 24)
"""Clips of SEED-IV's second session that make no big file."""


def write_full_iv(root: Path, seconds: dict[int, int], rate: int = 200, spare: int = 1, rows: int = 62) -> Path:
    """Session 2 of subject 1 with zeros, trial -> seconds; the first value of trial k is k uV."""
    tree = {}
    for k in sorted(seconds, key=str):
        tree[f"cz_eeg{k}"] = np.zeros((rows, rate * seconds[k] + spare), np.int8)
        tree[f"cz_eeg{k}"][:, 0] = k
    path = root / "eeg_raw_data" / "2" / "1_20161125.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, tree, do_compression=True)
    return path


def session_two(root: Path, **facts: object) -> Recording:
    (found,) = (r for r in listed(root, config("seed_iv", **facts)) if r.session == 2)
    return found


def test_seed_iv_as_published(tmp_path: Path) -> None:
    """Lengths are known as numbers of 4-s windows; the sample past the whole seconds is left out."""
    write_full_iv(tmp_path, {k: 4 * seed_iv.WINDOWS[1][k - 1] + k % 4 for k in SHORT})
    segments = read(session_two(tmp_path, stimuli=SHORT))
    trials = [s.trials[0] for s in segments]
    assert [t.stimulus for t in trials] == [str(24 + k) for k in SHORT]
    assert [t.label for t in trials] == ["happy", "happy", "happy", "sadness", "happy", "sadness"]
    assert [t.stop for t in trials] == [139.0, 82.0, 48.0, 60.0, 40.0, 76.0]
    for k, segment in zip(SHORT, segments, strict=True):
        assert segment.raw.n_times == 200 * segment.trials[0].stop + 1
        assert segment.raw.get_data(["FP1"])[0, 0] == pytest.approx(k * 1e-6)  # eeg10 does not come before eeg3


def test_seed_iv_lengths_that_cannot_be(tmp_path: Path) -> None:
    right = {k: 4 * seed_iv.WINDOWS[1][k - 1] for k in SHORT}
    for seconds, changes, parts in (
        (right | {3: right[3] + 4}, {}, ("shape of cz_eeg3", "(62, 28001)", "27201..27801")),
        (right | {3: right[3] - 1}, {}, ("shape of cz_eeg3",)),
        (right, {"spare": 0}, ("shape", "whole seconds at 200 Hz and one sample")),
        (right, {"rate": 1000}, ("shape of cz_eeg3", "(62, 136001)")),
        (right, {"rows": 60}, ("shape of cz_eeg3", "(60, 27201)")),
        ({k: right[k] for k in SHORT[1:]}, {}, ("trials", "[10, 12, 16, 20, 24]")),
    ):
        path = write_full_iv(tmp_path, seconds, **changes)
        refused(lambda: read(session_two(tmp_path, stimuli=SHORT)), path, *parts)


def test_seed_iv_sessions_are_folders(tmp_path: Path) -> None:
    options = write_seed_iv(tmp_path)
    found = listed(tmp_path, options)
    assert [r.id for r in found] == [f"sub-{s}_ses-{k}" for s in (2, 10) for k in (1, 2, 3)]
    # subject 10's last session has the earliest date
    assert [Path(r.files[0]).parts[-2:] for r in found[3:]] == [
        ("1", "10_20160517.mat"), ("2", "10_20160516.mat"), ("3", "10_20160515.mat"),
    ]  # fmt: skip
    assert [s.trials[0].stimulus for s in read(found[5])] == [str(k) for k in range(49, 73)]
    assert not any(r.problem for r in found)


@pytest.mark.parametrize("layout", ["seed_iv", "seed_v", "seed_vii_raw", "seed_raw"])
def test_what_is_wrong_with_one_subject_is_its_own_problem(tmp_path: Path, layout: str) -> None:
    """A session missing, then one too many, of the second subject; the first goes on."""
    made_root, options = made(layout)
    for path in made_root.rglob("*.*"):
        target = tmp_path / path.relative_to(made_root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    found = listed(tmp_path, options)
    other, last = found[-1].subject, Path(found[-1].files[0])
    sessions = [r.session for r in found if r.subject == other]
    last.unlink()
    problems = {r.id: r.problem for r in listed(tmp_path, options)}
    assert [bool(p) for p in problems.values()] == [False] * len(sessions) + [True] * (len(sessions) - 1)
    text = list(problems.values())[-1]
    assert f"sessions of subject {other}: found {sessions[:-1]}" in text
    assert f"expected {sessions}" in text
    assert "\n" not in text
    fewer = options.model_copy(update={"facts": options.facts.model_copy(update={"sessions": len(sessions) - 1})})
    problems = {r.id: r.problem for r in listed(tmp_path, fewer)}
    assert [bool(p) for p in problems.values()] == [True] * len(sessions) + [False] * (len(sessions) - 1)


def test_one_session_twice(tmp_path: Path) -> None:
    write_seed_v(tmp_path, (2,))
    write_cnt(tmp_path / "EEG_raw" / "2_1_20180901.cnt", SEED_V_CNT, 3400)
    found = listed(tmp_path, config("seed_v"))
    assert [(r.session, len(r.files)) for r in found] == [(1, 2), (2, 1), (3, 1)]
    assert all("found [1, 1, 2, 3] (2_1_20180804.cnt, 2_1_20180901.cnt" in r.problem for r in found)


def test_the_digit_of_seed_v_is_the_set_whatever_the_date() -> None:
    found = listed(*made("seed_v"))
    dates = [Path(r.files[0]).stem.split("_")[2] for r in found[:3]]
    assert [r.session for r in found[:3]] == [1, 2, 3]
    assert dates != sorted(dates)
    assert [t.stimulus for s in read(found[1]) for t in s.trials] == [str(k) for k in range(16, 31)]


def test_seed_v_trials_are_where_the_marks_say(tmp_path: Path) -> None:
    """Each trial holds its own number from its first to its last sample, and the samples around it another."""
    signals = {}
    for k, (start, end) in enumerate(seed_v.MARKS[1], 1):
        for second, value in ((start, k), (end, -k)):
            edge = np.full((len(SEED_V_CNT), 2), 100.0)
            edge[:, 1 if second == start else 0] = value
            signals[1000 * second - 1] = edge
    path = write_cnt(tmp_path / "EEG_raw" / "3_2_20180424.cnt", SEED_V_CNT, 2817, signals=signals)
    (recording,) = listed(tmp_path, config("seed_v"))
    segments = read(recording)
    for k, (segment, seconds) in enumerate(zip(segments, (237, 189, 66, 127, 131), strict=False), 1):
        (trial,) = segment.trials
        start, stop = (round(1000 * edge) for edge in (trial.start, trial.stop))
        assert stop - start == 1000 * seconds
        edges = [1e6 * segment.raw.get_data(["OZ"], at - 1, at + 1)[0] for at in (start, stop)]
        assert np.ravel(edges) == pytest.approx([100, k, -k, 100], abs=0.001)
    assert segments[-1].raw.n_times == 1000 * (2817 - 2741 + 5)  # no margin where the recording ends
    assert not any(segment.raw.preload for segment in segments)
    write_cnt(path, SEED_V_CNT, 2816.5)
    refused(lambda: read(recording), path, "length", "2816.50 s", "2817 s")


@pytest.mark.parametrize("layout", CONTINUOUS)
def test_continuous_recordings_take_no_subset(layout: str) -> None:
    root, _ = made(layout)
    refused(lambda: listed(root, config(layout, seconds=5.0)), "facts.seconds")
    refused(lambda: listed(root, config(layout, stimuli=(1, 2))), "facts.stimuli")
    refused(lambda: listed(root, config(layout, sessions=5)), "facts.sessions", "at most")


@pytest.mark.parametrize("layout", CONTINUOUS)
def test_wrong_rate_channels_and_damage(tmp_path: Path, layout: str) -> None:
    folder, stem = {
        "seed_raw": ("SEED_RAW_EEG", "1_1"),
        "seed_v": ("EEG_raw", "1_1_20180804"),
        "seed_vii_raw": ("EEG_raw", "1_20180804_1"),
    }[layout]
    path = tmp_path / folder / f"{stem}.cnt"
    for names, changes, parts in (
        (SEED_V_CNT, {"rate": 200}, ("rate", "200 Hz", "1000 Hz")),
        (SEED_V_CNT[1:], {}, ("channels", "FP1 0 times")),
        ((*SEED_V_CNT, "OZ"), {}, ("channels", "OZ 2 times")),
        (SEED_V_CNT, {"width": 2}, ("2 bytes a sample",)),
    ):
        write_cnt(path, names, 40.0, **changes)
        refused(lambda: first(tmp_path, config(layout)), path, *parts)
    path.write_bytes(b"nothing of the kind")
    refused(lambda: first(tmp_path, config(layout)), path)


def test_names_of_the_sister_corpus_are_none(tmp_path: Path) -> None:
    """SEED-V has the session before the date, SEED-VII behind it."""
    write_cnt(tmp_path / "EEG_raw" / "1_1_20180804.cnt", SEED_V_CNT, 10)
    refused(lambda: listed(tmp_path, config("seed_vii_raw")), "recordings", "1_1_20180804.cnt", "names like")
    write_cnt(tmp_path / "EEG_raw" / "1_20221111_1.cnt", SEED_V_CNT, 10)
    assert [Path(r.files[0]).name for r in listed(tmp_path, config("seed_vii_raw"))] == ["1_20221111_1.cnt"]
    assert [Path(r.files[0]).name for r in listed(tmp_path, config("seed_v"))] == ["1_1_20180804.cnt"]


def test_seed_vii_raw_triggers_from_the_file_and_beside_it() -> None:
    """Subject 9's third session has broken triggers in its .cnt: the same clips must come out of its csv file."""
    found = {r.id: r for r in listed(*made("seed_vii_raw"))}
    assert len(found["sub-9_ses-3"].files) == 2
    assert all(len(r.files) == 1 for name, r in found.items() if name != "sub-9_ses-3")
    from_file, from_csv = read(found["sub-2_ses-3"]), read(found["sub-9_ses-3"])
    for segments in (from_file, from_csv):
        assert [t.stimulus for s in segments for t in s.trials] == [str(k) for k in range(41, 61)]
        lengths = [round(1000 * (s.trials[0].stop - s.trials[0].start)) for s in segments]
        assert lengths == [1000 * ((samples + 50) // 1000) for samples in GAPS]  # whole seconds
        assert (GAPS[9], lengths[9]) == (156_993, 157_000)  # a few milliseconds cost no second
    assert [s.raw.first_time for s in from_file] == pytest.approx([s.raw.first_time for s in from_csv], abs=0.002)
    assert from_file[0].raw.first_time + from_file[0].trials[0].start == pytest.approx(10.0, abs=0.002)


def test_seed_vii_raw_triggers_that_cannot_be(tmp_path: Path) -> None:
    events, path = clip_events(), tmp_path / "EEG_raw" / "1_20221010_1.cnt"

    def attempt(*chosen: tuple[int, int]) -> Callable[[], list[Segment]]:
        write_cnt(path, SEED_V_CNT, events[-1][1] / 1000 + 10, chosen)
        return lambda: first(tmp_path, config("seed_vii_raw"))

    refused(attempt(*events[:39]), path, "triggers", 39, "40")
    refused(attempt(*events[1:], (1, events[-1][1] + 1)), path, "length of clip 1", "20.00 s", "60 to 400 s")
    refused(attempt(*events[:4], *events[5:], (1, events[-1][1] + 1)), path, "length of clip 3")
    assert len(attempt(*events, (7, events[-1][1] + 500))()) == 20  # what comes after the first 40 counts for nothing


def test_seed_vii_raw_trigger_files(tmp_path: Path) -> None:
    write_seed_vii_raw(tmp_path, (9,))
    path = tmp_path / "save_info" / "9_20221111_3_trigger_info.csv"
    recording = listed(tmp_path, config("seed_vii_raw"))[2]
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.replace("-11-11", "/11/11").replace("-", "/") for line in lines))
    assert len(read(recording)) == 20
    for text, parts in (
        ("\n".join([*lines[:3], lines[4], lines[3], *lines[5:]]), ("codes", "1 and 2 in turn")),
        ("\n".join(lines[:-2]), ("triggers", 38)),
        ("code,time\n" + "\n".join(lines), ("line 1", "code,time")),
        ("\n".join([*lines[:-1], "2"]), ("line 40",)),
        ("\n".join(line.replace(" 14:", " 13:").replace(" 15:", " 13:") for line in lines), ("triggers", "rise")),
        ("\n".join(line.replace("2022-11-11", "2022-11-12") for line in lines), ("length", "last mark")),
    ):
        path.write_text(text)
        refused(lambda: read(recording), path if parts[0] != "length" else "9_20221111_3.cnt", *parts)
    path.unlink()
    problems = [r.problem for r in listed(tmp_path, config("seed_vii_raw"))]
    assert [bool(p) for p in problems] == [False, False, True, False]
    assert "9_20221111_3_trigger_info.csv: file: found nothing there" in problems[2]


def write_vii(root: Path, clips: range, seconds: float, subject: int = 1, rows: int = 62) -> Path:
    folder = root / "EEG_preprocessed"
    folder.mkdir(exist_ok=True)
    values = np.zeros((rows, round(200 * seconds)), np.int8)
    savemat(folder / f"{subject}.mat", {str(k): values for k in clips}, do_compression=True)
    return folder / f"{subject}.mat"


def test_seed_vii_a_recording_is_its_twenty_clips(tmp_path: Path) -> None:
    root, options = made("seed_vii")
    found = listed(root, options)
    assert [r.id for r in found] == [f"sub-{s}_ses-{k}" for s in (2, 10) for k in (1, 2, 3, 4)]
    values = [s.raw.get_data("eeg")[:, :50] for s in read(found[1])]
    again = [s.raw.get_data("eeg")[:, :50] for s in read(found[2])]
    assert not any(np.array_equal(a, b) for a in values for b in again)
    write_vii(tmp_path, range(1, 3), 120)
    segments = first(tmp_path, config("seed_vii", sessions=1, stimuli=(1, 2)))
    assert {(s.raw.n_times, s.trials[0].stop) for s in segments} == {(24_000, 120.0)}  # no sample too many here
    assert segments[0].raw.get_channel_types(["CB1", "CB2", "OZ"]) == ["misc", "misc", "eeg"]


def test_seed_vii_refusals(tmp_path: Path) -> None:
    for changes, part in (
        ({"seconds": 120.005}, "whole seconds"),
        ({"seconds": 5 * 120}, "(62, 120000)"),  # 1000 Hz
        ({"seconds": 120, "rows": 60}, "(60, 24000)"),
        ({"seconds": 30}, "60 to 400"),
    ):
        path = write_vii(tmp_path, range(1, 3), **changes)
        refused(lambda: first(tmp_path, config("seed_vii", sessions=1, stimuli=(1, 2))), path, "shape of 1", part)
    path = write_vii(tmp_path, range(1, 20), 1)
    refused(lambda: first(tmp_path, config("seed_vii", sessions=1, seconds=1)), path, "variables", "no 20")


def test_seed_vii_sessions_are_counted_in_the_file(tmp_path: Path) -> None:
    """Missing, then one too many, of the second subject; the first goes on."""
    options = config("seed_vii", seconds=1)
    write_vii(tmp_path, range(1, 81), 1, 2)
    for clips, sessions in ((range(1, 61), "[1, 2, 3]"), (range(1, 83), "[1, 2, 3, 4, 5]")):
        path = write_vii(tmp_path, clips, 1, 10)
        found = {r.id: r for r in listed(tmp_path, options)}
        assert list(found) == [f"sub-{s}_ses-{k}" for s in (2, 10) for k in (1, 2, 3, 4)]
        assert len(read(found["sub-2_ses-4"])) == 20
        for session in (1, 4):
            recording = found[f"sub-10_ses-{session}"]
            refused(lambda recording=recording: read(recording), path, "sessions", f"found {sessions}", "[1, 2, 3, 4]")


def test_seed_vii_damaged_files_among_good_ones(tmp_path: Path) -> None:
    options = config("seed_vii", seconds=1)
    whole = write_vii(tmp_path, range(1, 81), 1, 9).read_bytes()
    path = write_vii(tmp_path, range(1, 81), 1, 10)
    found = {r.id: r for r in listed(tmp_path, options)}
    for content, parts in (
        (whole[:150], ("MAT file",)),
        (whole[: len(whole) // 2], ("MAT file",)),
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64" + bytes(500), ("version 7.3 (HDF5)",)),
    ):
        path.write_bytes(content)
        refused(lambda: read(found["sub-10_ses-1"]), path, *parts)
    savemat(path, {"de_1": [[1.0]]})
    refused(lambda: read(found["sub-10_ses-1"]), path, "variables", "found de_1")
    assert len(read(found["sub-9_ses-4"])) == 20


@pytest.mark.parametrize(
    ("layout", "inside"),
    [("seed_iv", "eeg_raw_data"), ("seed_v", "EEG_raw"), ("seed_vii", "EEG_preprocessed"), ("seed_vii_raw", "EEG_raw"),
     ("seed_raw", "SEED_RAW_EEG"), ("mped", "raw_EEG_signals"), ("mdjpt_seed", "")],
)  # fmt: skip
def test_absent_and_empty_folders(tmp_path: Path, layout: str, inside: str) -> None:
    refused(lambda: listed(tmp_path / "absent", config(layout)), "absent", "nothing there")
    (tmp_path / inside).mkdir(exist_ok=True)
    refused(lambda: listed(tmp_path, config(layout)), tmp_path, "recordings", "names like")
    refused(lambda: listed(tmp_path, config(layout, "unheard of")), "labels", "unheard of", "default")


def test_rows_are_the_published_sixty_two() -> None:
    assert len(FILE_CHANNELS) == 62
    assert (FILE_CHANNELS.index("CB1"), FILE_CHANNELS.index("CB2")) == (57, 61)
