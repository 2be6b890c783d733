"""JSON lines: what was written comes back, whatever happened in between."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import pytest

from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.tracking.sink import JsonlSink, Tee, read_events, read_jsonl


def write(path: Path, steps: list[int], **options: int) -> None:
    sink = JsonlSink(path, **options)
    for step in steps:
        sink.log(step, {"loss/total": 10.0 / step, "loss/contrast.sim-a": float(step)}, epoch=step // 10)
    sink.close()


def test_records_come_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "metrics.jsonl"
    write(path, [10, 20])
    first, second = read_jsonl(path)
    assert (first["step"], first["epoch"], first["loss/total"], first["loss/contrast.sim-a"]) == (10, 1, 1.0, 10.0)
    assert second["loss/total"] == 0.5
    assert second["time"] >= first["time"] > 1.6e9


def test_a_record_is_on_disk_before_log_returns(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path / "metrics.jsonl")
    sink.log(1, {"loss": 0.1})
    assert [r["loss"] for r in read_jsonl(sink.path)] == [0.1]
    sink.close()


def test_nan_and_infinities_are_strict_json(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    sink = JsonlSink(path)
    sink.log(1, {"nan": math.nan, "up": math.inf, "down": -math.inf, "tiny": 5e-324, "third": 1 / 3})
    sink.params({"rate": math.nan, "sizes": (1, 2), "path": Path("a")})
    sink.close()

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=refuse)
    (record,) = read_jsonl(path)
    assert math.isnan(record["nan"]) and record["up"] == math.inf and record["down"] == -math.inf
    assert record["tiny"] == 5e-324 and record["third"] == 1 / 3


@pytest.mark.parametrize(("resume", "kept"), [(0, []), (20, [10]), (21, [10, 20]), (99, [10, 20, 30])])
def test_resume_leaves_every_step_once(tmp_path: Path, resume: int, kept: list[int]) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, [10, 20, 30])
    write(path, [s for s in (10, 20, 30, 40) if s >= resume], resume_step=resume)
    steps = [r["step"] for r in read_jsonl(path)]
    assert steps[: len(kept)] == kept
    assert len(steps) == len(set(steps))
    assert len([e for e in read_events(path) if e["event"] == "close"]) == 2


def test_a_torn_last_line_is_forgotten_and_mended(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, [10, 20])
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert len(read_jsonl(path)) <= 2
    path.write_bytes(whole + b'{"step": 30, "epoch"')
    write(path, [30])
    assert [r["step"] for r in read_jsonl(path)] == [10, 20, 30]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, [10, 20])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"\x00\x00garbage\n", *lines[1:]]))
    with pytest.raises(BadInput, match=r"metrics\.jsonl: line 2"):
        read_jsonl(path)
    with pytest.raises(BadInput, match="line 2"):
        JsonlSink(path, resume_step=0)


def test_absent_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.jsonl"):
        read_jsonl(tmp_path / "nowhere.jsonl")


def test_full_disk_is_one_line_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = JsonlSink(tmp_path / "metrics.jsonl")
    sink.log(1, {"loss": 1.0})

    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(MdjptError, match=r"metrics\.jsonl.*No space left") as caught:
            sink.log(2, {"loss": 0.5})
    assert "\n" not in str(caught.value)
    sink.close("FAILED")
    assert [r["step"] for r in read_jsonl(sink.path)] == [1]


def test_partial_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, bytes(data)[:7]))
    write(tmp_path / "metrics.jsonl", [10, 20])
    assert [r["step"] for r in read_jsonl(tmp_path / "metrics.jsonl")] == [10, 20]


def test_reserved_names_and_closed_logs_are_refused(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path / "metrics.jsonl")
    with pytest.raises(ValueError, match="step"):
        sink.log(1, {"step": 1.0})
    sink.close()
    sink.close()
    with pytest.raises(ValueError, match="closed"):
        sink.log(1, {"loss": 1.0})


def test_artifacts_are_kept_relative_to_the_log(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path / "run" / "metrics.jsonl")
    sink.artifact(tmp_path / "run" / "report.html")
    sink.artifact(tmp_path / "elsewhere.txt")
    sink.close()
    paths = [e["values"]["path"] for e in read_events(sink.path) if e["event"] == "artifact"]
    assert paths == ["report.html", str(tmp_path / "elsewhere.txt")]


def test_tee_writes_to_all_and_closes_all(tmp_path: Path) -> None:
    class Broken(JsonlSink):
        def close(self, status: str = "FINISHED") -> None:
            raise MdjptError("cannot close")

    sinks = [JsonlSink(tmp_path / "a"), Broken(tmp_path / "b"), JsonlSink(tmp_path / "c")]
    tee = Tee(*sinks)
    tee.params({"lr": 0.1})
    tee.tags({"code": "abc"})
    tee.log(1, {"loss": 2.0}, epoch=1)
    tee.artifact(tmp_path / "a")
    with pytest.raises(MdjptError, match="cannot close"):
        tee.close("KILLED")
    for name in "ac":
        assert [e["event"] for e in read_events(tmp_path / name)] == ["params", "tags", "artifact", "close"]
        assert read_jsonl(tmp_path / name)[0]["loss"] == 2.0
