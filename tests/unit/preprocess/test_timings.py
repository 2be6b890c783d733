"""What a dry run reckons with."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdjpt_platform.preprocess.timings import (
    TIMINGS,
    Timed,
    Timings,
    duration,
    load_timings,
    save_timings,
    spelled,
    timed,
)

ONE = Timed(bytes=100, seconds={"read": 10.0, "ica": 90.0})
TWO = Timed(bytes=300, seconds={"read": 30.0, "ica": 270.0})


def test_expectation_goes_by_bytes_and_tasks_at_a_time() -> None:
    known = Timings().after({"a": ONE, "b": TWO}, wall=100.0, finish=8.0)  # 400 s of tasks in 100 s: four at a time
    assert known.expected({"c": (200, ["read", "ica"])}, total=200) == (pytest.approx(200 / 4 + 4), [])
    assert known.expected({"c": (200, ["ica"])}, total=800) == (pytest.approx(180 / 4 + 16), [])
    assert known.expected({"c": (200, ["ica", "notch"])}, total=200) == (pytest.approx(180 / 4 + 4), ["notch"])
    assert known.expected({"c": (200, ["notch"])}, total=200) == (None, ["notch"])
    assert known.expected({}, total=0) == (0.0, [])
    assert Timings().expected({"c": (200, ["read"])}, total=200) == (None, ["read"])


def test_a_recording_keeps_the_last_time_of_every_step() -> None:
    known = Timings().after({"a": ONE}, 100.0, 1.0).after({"a": Timed(bytes=100, seconds={"ica": 50.0})}, 50.0, 2.0)
    assert known.recordings["a"].seconds == {"read": 10.0, "ica": 50.0}
    assert (known.tasks, known.wall, known.finish) == (50.0, 50.0, 2.0)


def test_a_broken_file_counts_as_none(tmp_path: Path) -> None:
    known = Timings().after({"a": ONE}, 100.0, 1.0)
    save_timings(tmp_path, known)
    assert load_timings(tmp_path) == known
    (tmp_path / TIMINGS).write_text("{")
    assert load_timings(tmp_path) == load_timings(tmp_path / "nowhere") == Timings()


def test_words() -> None:
    assert spelled({"hash": 0.01, "read": 1.26, "ica": 95.4}) == "read 1.3 s, ica 95 s"
    assert [duration(seconds) for seconds in (5.2, 600.0, 9000.0)] == ["5 s", "10 min", "2.5 h"]
    seconds: dict[str, float] = {"read": 1.0}
    with pytest.raises(OSError, match="x"), timed(seconds, "read"):
        raise OSError("x")
    assert 1.0 < seconds["read"] < 1.5
