"""Logs of processes: one object a line, the console as it was, no secret, never the end of a training."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mdjpt_platform.config import Config
from mdjpt_platform.data.episode import Episode
from mdjpt_platform.errors import MdjptError
from mdjpt_platform.operations import logs
from mdjpt_platform.operations.logs import event, logged
from mdjpt_platform.tracking.mlflow import MlflowSink
from mdjpt_platform.train.launch import pretrain
from mdjpt_platform.train.step import Losses, Stepper


def lines(folder: Path, name: str = "rank-0") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "logs" / f"{name}.jsonl").read_text().splitlines()]


def test_lines_hold_what_they_promise(tmp_path: Path) -> None:
    event("before", step=1)
    with logged(tmp_path, "abc", 0):
        event("checkpoint", step=3, file="step-3.pt")
        logging.getLogger("mdjpt_platform.train.checkpoint").warning("%s is damaged", "x")
        logging.getLogger("elsewhere").warning("not ours")
    event("after")
    first, second = lines(tmp_path)
    assert {key: first[key] for key in ("level", "run", "rank", "event", "fields")} == {
        "level": "INFO", "run": "abc", "rank": 0, "event": "checkpoint", "fields": {"step": 3, "file": "step-3.pt"},
    }  # fmt: skip
    assert abs(first["time"] - second["time"]) < 60 and "message" not in first
    assert second["event"] == "message" and second["message"] == "x is damaged" and second["level"] == "WARNING"


def test_secrets_and_control_characters_stay_out(tmp_path: Path) -> None:
    with logged(tmp_path, "abc", 0):
        event("tracking_back", server="http://me:pw@host", name="\x1b[2J\u202e")
    raw = (tmp_path / "logs" / "rank-0.jsonl").read_bytes()
    assert b"pw" not in raw and b"host" in raw
    assert all(32 <= byte < 127 for byte in raw.strip())


def test_what_ends_a_process_is_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="full"), logged(tmp_path, "abc", "driver"):
        raise ValueError("full")
    (line,) = lines(tmp_path, "driver")
    assert line["event"] == "failed" and line["fields"] == {"cause": "ValueError: full"} and line["rank"] == "driver"
    with pytest.raises(KeyboardInterrupt), logged(tmp_path, "abc", 1):
        raise KeyboardInterrupt
    assert lines(tmp_path, "rank-1")[0]["event"] == "stopped"


def test_files_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "BYTES", 2000)
    with logged(tmp_path, "abc", 0):
        for step in range(100):
            event("checkpoint", step=step)
    sizes = [path.stat().st_size for path in (tmp_path / "logs").iterdir()]
    assert len(sizes) == 1 + logs.KEPT and max(sizes) <= 2000
    assert lines(tmp_path)[-1]["fields"]["step"] == 99


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "logs").write_text("a file in its place")
    with logged(tmp_path, "abc", 0):
        event("start", step=0)
    assert capsys.readouterr() == ("", "")


def test_the_console_shows_what_it_showed(tmp_path: Path) -> None:
    """Warnings of the library on stderr, events not; in a process where nobody configured logging."""
    code = (
        "import logging, sys, pathlib\n"
        "from mdjpt_platform.operations.logs import event, logged\n"
        "with logged(pathlib.Path(sys.argv[1]), 'abc', 0):\n"
        "    event('start', step=0)\n"
        "    event('non_finite', logging.ERROR)\n"
        "    logging.getLogger('mdjpt_platform.x').warning('heard')\n"
        "logging.getLogger('mdjpt_platform.x').warning('after')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "heard\nafter\n")
    assert [line["event"] for line in lines(tmp_path)] == ["start", "non_finite", "message"]


def test_an_interrupted_training_tells_its_story(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    train = tiny.run.train.model_copy(update={"epochs": 2, "steps": 1, "episodes": 1})
    tiny = tiny.model_copy(update={"run": tiny.run.model_copy(update={"train": train})})
    whole = Stepper.backward
    with monkeypatch.context() as patch:
        calls: list[int] = []

        def broken(self: Stepper, episodes: list[Episode]) -> Losses:
            calls.append(1)
            losses = whole(self, episodes)
            return replace(losses, total=float("nan")) if len(calls) == 2 else losses

        patch.setattr(Stepper, "backward", broken)
        with pytest.raises(MdjptError, match="not finite"):
            pretrain(tiny)
    folder = pretrain(tiny).folder
    assert lines(folder)[2]["fields"]["losses"]["total"] == "NaN", "strict JSON"
    told = [(line["event"], line["fields"].get("step")) for line in lines(folder)]
    assert told == [("start", 0), ("checkpoint", 1), ("non_finite", 1), ("failed", None),
                    ("resume", 1), ("checkpoint", 2), ("finished", None)]  # fmt: skip


def test_tracking_lost_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address where nobody listens; then the sending itself works again."""
    sink = MlflowSink("http://127.0.0.1:9", "e", "r", "abc")
    with logged(tmp_path, "abc", 0):
        sink.log(0, {"x": 1.0})
        assert sink.behind
        sink._quiet_until = 0.0
        monkeypatch.setattr(sink, "send", lambda: None)
        sink._next = sink._latest = 0.0
        sink.log(1, {"x": 1.0})
    lost, back = lines(tmp_path)
    assert (lost["event"], lost["level"]) == ("tracking_lost", "WARNING") and "127.0.0.1:9" in lost["message"]
    assert back["event"] == "tracking_back" and not sink.behind
