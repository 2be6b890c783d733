"""`mdjpt status`: read from what runs leave on disk, whoever wrote it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from mdjpt_platform.cli import app
from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput
from mdjpt_platform.operations.console import duration, print_status
from mdjpt_platform.operations.status import RunStatus, held, runs_below, studies_below
from mdjpt_platform.train.launch import pretrain

NOW = 10_000.0


def line(step: int, at: float, loss: object = 2.5) -> str:
    return json.dumps({"step": step, "epoch": 0, "time": at, "values": {"loss/total": loss, "time/step": 1.0}}) + "\n"


def closed(status: str, at: float) -> str:
    return json.dumps({"event": "close", "time": at, "values": {"status": status}}) + "\n"


def write(runs: Path, name: str, log: str = "", **files: Any) -> Path:
    folder = runs / name
    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text("train: {epochs: 4, steps: 25}\n")
    (folder / "metrics.jsonl").write_text(log)
    for stem, tree in files.items():
        (folder / f"{stem}.json").write_text(json.dumps(tree))
    return folder


def only(runs: Path) -> RunStatus:
    (found,) = runs_below(runs, NOW)
    return found


STEPS = "".join(line(step, NOW - 100 + 4 * step) for step in range(20))
"""Twenty steps of 4 s, the last of them 24 s ago."""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """A run whose lock another process holds."""
    folder = write(tmp_path, "one-0123", STEPS)
    code = "import sys, filelock\nwith filelock.FileLock(sys.argv[1]):\n    print('held', flush=True)\n    input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / ".one-0123.lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    yield folder
    holder.kill()
    holder.communicate()


def test_a_running_run_with_time_left(running: Path) -> None:
    found = only(running.parent)
    assert (found.name, found.identity, found.state) == ("one", "0123", "running")
    assert (found.step, found.total, found.loss) == (20, 100, 2.5)
    assert found.age == pytest.approx(24) and found.seconds == pytest.approx(4) and found.left == pytest.approx(320)


def test_whoever_looks_keeps_nobody_waiting(running: Path, tmp_path: Path) -> None:
    lock = tmp_path / ".two-4567.lock"
    assert not held(lock) and not lock.exists(), "looking makes no lock"
    with FileLock(lock):
        assert held(lock)
    assert not held(lock)
    with FileLock(lock, timeout=0):
        pass
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    runs_below(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_states_of_runs_that_nobody_works_on(tmp_path: Path) -> None:
    result = {"weights_sha256": "f00", "steps": 100, "resumed_at": 0}
    write(tmp_path, "a-1", STEPS)
    write(tmp_path, "b-2", STEPS + closed("FAILED", NOW - 5))
    write(tmp_path, "c-3", STEPS + closed("KILLED", NOW - 5))
    write(tmp_path, "d-4", STEPS + closed("FINISHED", NOW - 5), result=result)
    write(tmp_path, "e-5", "")
    (tmp_path / "no run").mkdir()
    found = {run.name: run for run in runs_below(tmp_path, NOW)}
    assert {name: run.state for name, run in found.items()} == {
        "a": "interrupted", "b": "failed", "c": "interrupted", "d": "finished", "e": "interrupted"
    }  # fmt: skip
    assert found["d"].step == 100 and found["b"].age == pytest.approx(5)
    assert all(run.left is None for run in found.values())
    assert (found["e"].step, found["e"].loss, found["e"].age, found["e"].seconds) == (0, None, None, None)


def test_a_resume_is_no_slow_step(tmp_path: Path) -> None:
    late = "".join(line(step, NOW + 50_000 + 4 * step) for step in range(20, 30))
    write(tmp_path, "one-0123", STEPS + late)
    assert only(tmp_path).seconds == pytest.approx(4)


def test_total_of_the_manifest_before_that_of_the_run_file(tmp_path: Path) -> None:
    write(tmp_path, "one-0123", STEPS, about={"steps": 77})
    assert only(tmp_path).total == 77


def test_only_the_end_of_a_log_is_read(tmp_path: Path) -> None:
    write(
        tmp_path, "one-0123", "".join(line(step, NOW - 30_000 + step) for step in range(20_000)) + '{"step": 20000, "ep'
    )
    began = time.process_time()
    found = only(tmp_path)
    assert found.step == 20_000 and found.seconds == pytest.approx(1)
    assert time.process_time() - began < 1, "a log of megabytes is not parsed"


HOSTILE: list[bytes] = [
    b"\x00" * 5000, b"[" * 100_000 + b"\n", b'{"step": "x", "values": {}}\n', b'{"step": 1, "values": 3}\n',
    b'{"step": -5, "values": {}}\n', b'{"step": true, "time": "late", "values": {"loss/total": [1]}}\n',
    b'{"step": 3, "time": NaN, "values": {"loss/total": Infinity}}\n', b'{"step": 1e999, "values": {}}\n',
    b'{"step": ' + b"9" * 4000 + b', "values": {}}\n', b'{"event": "close", "values": {"status": {"a": 1}}}\n',
    b'{"step": 4, "time": 1e308, "values": {"loss/total": 1}}\n' * 3, b"\xff\xfe\n", b"null\n3\n[]\n",
]  # fmt: skip


@pytest.mark.parametrize("log", HOSTILE)
def test_hostile_logs_are_shown_as_unknown(tmp_path: Path, log: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, "one-0123")
    (folder / "metrics.jsonl").write_bytes(log)
    for name in ("result.json", "about.json", "run.yaml"):
        (folder / name).write_bytes(log)
    runs = runs_below(tmp_path, NOW)
    print_status(runs, [])
    assert [run.state for run in runs] == ["interrupted"] and runs[0].total is None
    assert runs[0].loss is None or runs[0].loss == 1


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    folder = write(tmp_path, "one-0123")
    for name in ("metrics.jsonl", "result.json", "about.json"):
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
    os.mkfifo(tmp_path / ".one-0123.lock")
    assert only(tmp_path).state == "interrupted"


def test_names_cannot_write_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "\x1b[2Jred\r[bold]\u202e-0123")
    os.mkdir(os.fsencode(tmp_path) + b"/\xff-1")
    (tmp_path / os.fsdecode(b"\xff-1") / "run.yaml").touch()
    print_status(runs_below(tmp_path, NOW), [])
    out = capsys.readouterr().out
    assert not {"\x1b", "\r", "\u202e"} & set(out) and "\\x1b[2Jred [bold]\\u202e" in out


def test_studies(tmp_path: Path) -> None:
    folder = tmp_path / "studies" / "grid-89ab"
    (folder / "cells").mkdir(parents=True)
    (folder / "study.json").write_text(json.dumps({"cells": ["a", "b", "c", "d"]}))
    for key, state in (("a", "done"), ("b", "failed"), ("gone", "done")):
        (folder / "cells" / f"{key}.json").write_text(json.dumps({"state": state}))
    (folder / "cells" / "d.json").write_text('{"sta')
    write(tmp_path, "grid-77", STEPS)
    (tmp_path / ".grid-77.lock").touch()
    with FileLock(tmp_path / ".grid-77.lock"), FileLock(folder / ".lock"):
        (one,) = studies_below(tmp_path, runs_below(tmp_path))
    assert (one.name, one.state, one.cells, one.done, one.failed, one.training) == ("grid", "running", 4, 1, 1, 1)
    (one,) = studies_below(tmp_path, runs_below(tmp_path))
    assert (one.state, one.training) == ("stopped", 0)


def test_a_real_run_as_the_command_tells_it(tiny: Config, tmp_path: Path) -> None:
    train = tiny.run.train.model_copy(update={"epochs": 1, "steps": 2, "episodes": 1})
    done = pretrain(tiny.model_copy(update={"run": tiny.run.model_copy(update={"train": train})}))
    code = (
        "import sys\nfrom mdjpt_platform.operations import verbs\nfrom pathlib import Path\n"
        "verbs.status(Path(sys.argv[1]), True)\n"
        "print('LOADED', sorted({'ray', 'torch', 'pandas', 'mlflow', 'numpy', 'mne'} & {*sys.modules}))\n"
    )
    told = subprocess.run([sys.executable, "-c", code, tiny.exec.runs], capture_output=True, text=True, timeout=60)
    text, _, loaded = told.stdout.rpartition("LOADED")
    assert loaded == " []\n", told.stderr
    (run,) = json.loads(text)["runs"]
    assert (run["name"], run["identity"], run["state"], run["step"], run["total"]) == (
        "tiny", done.identity, "finished", 2, 2
    )  # fmt: skip
    assert json.loads(text)["studies"] == []
    assert "status" in {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    }


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="folder: found No such file or directory"):
        runs_below(tmp_path / "none")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s"), (59.9, "59 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (4 * 86400 + 3 * 3600, "4 d 3 h")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
