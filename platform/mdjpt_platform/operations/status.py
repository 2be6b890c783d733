"""How far the runs and studies below a folder are. Only reads, starts nothing, takes no file at its word.

A run is running if a living process holds its lock. Where a file system does not show the locks of other nodes, a run
that trains there looks interrupted; its age then says that it is not.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import YAML, json_of, opened, read, read_text, yaml_of

State = Literal["running", "interrupted", "failed", "finished"]
TAIL = 2**16
"""Bytes of a log that are read: some hundred steps."""
SMALL = 2**22
"""Bytes of a file that describes a run; ours have 10 kB."""


@dataclass(frozen=True)
class RunStatus:
    """One run's line; None where its files do not say."""

    name: str
    identity: str
    folder: str
    state: State
    step: int
    """Steps done."""
    total: int | None
    loss: float | None
    age: float | None
    """Seconds since the last line of its log."""
    seconds: float | None
    """A step takes, mean of the newest steps in the log."""
    left: float | None
    """Seconds until it is done at that speed, if it is running."""


@dataclass(frozen=True)
class StudyStatus:
    """One study's line: cells by what became of them."""

    name: str
    folder: str
    state: Literal["running", "stopped", "finished"]
    cells: int | None
    """None for a search, whose trials are not known before."""
    done: int
    stopped: int
    failed: int
    training: int
    """Pre-trainings of it that run now."""


def runs_below(folder: Path, now: float | None = None) -> list[RunStatus]:
    """Every run in the folder, running ones first, then by name. Raises BadInput: no such folder."""
    now = time.time() if now is None else now
    found = [_run(path, now) for path in _folders(folder) if (path / "run.yaml").is_file()]
    order = ("running", "failed", "interrupted", "finished")
    return sorted(found, key=lambda one: (order.index(one.state), one.folder))


def studies_below(folder: Path, runs: list[RunStatus]) -> list[StudyStatus]:
    """Every study in the folder; `runs`: of the same folder, the studies' pre-trainings among them."""
    place = folder / "studies"
    return [_study(path, runs) for path in _folders(place) if (path / "study.json").is_file()] if place.is_dir() else []


def held(lock: Path) -> bool:
    """Whether a living process holds a lock file. Never makes the file, nor keeps anybody waiting."""
    import fcntl

    try:
        file = os.open(lock, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(file)  # and with it the shared lock, after microseconds: who wants the lock asks again for a second
    return False


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(Path(one.path) for one in os.scandir(folder) if one.is_dir() and not one.name.startswith("."))
    except OSError as error:
        raise BadInput(folder, "folder", error.strerror, "the folder of results (exec.runs)") from None


def _run(folder: Path, now: float) -> RunStatus:
    name, _, identity = folder.name.rpartition("-") if "-" in folder.name else (folder.name, "", "")
    lines = list(_tail(folder / "metrics.jsonl"))
    steps = [line for line in lines if _whole(line.get("step")) and isinstance(line.get("values"), dict)]
    done = steps[-1]["step"] + 1 if steps else 0
    total, seconds = _total(folder), _pace(steps)
    finished = _tree(folder / "result.json")
    state: State = "interrupted"
    if "weights_sha256" in finished:
        state, done = "finished", finished["steps"] if _whole(finished.get("steps")) else done
    elif held(folder.with_name(f".{folder.name}.lock")):
        state = "running"
    elif lines and lines[-1].get("event") == "close" and lines[-1]["values"].get("status") == "FAILED":
        state = "failed"
    told = [time for line in lines[-1:] if (time := _number(line.get("time"))) is not None]
    left = None
    if state == "running" and total is not None and seconds is not None:
        left = max(0, total - done) * seconds
    return RunStatus(
        name=name, identity=identity, folder=str(folder), state=state, step=done, total=total,
        loss=_number(steps[-1]["values"].get("loss/total")) if steps else None,
        age=max(0.0, now - told[0]) if told else None, seconds=seconds, left=left,
    )  # fmt: skip


def _study(folder: Path, runs: list[RunStatus]) -> StudyStatus:
    tree = _tree(folder / "study.json")
    cells = tree.get("cells")
    keys = None if not isinstance(cells, list) else {str(key) for key in cells}
    states = []
    try:
        files = [one.path for one in os.scandir(folder / "cells") if one.name.endswith(".json")]
    except OSError:
        files = []
    for path in files:
        if keys is None or Path(path).stem in keys:
            states.append(_tree(Path(path)).get("state"))
    name = folder.name.rpartition("-")[0]
    running, done = held(folder / ".lock"), states.count("done")
    whole = keys is not None and done == len(keys)
    return StudyStatus(
        name=name, folder=str(folder), state="running" if running else "finished" if whole else "stopped",
        cells=None if keys is None else len(keys), done=done, stopped=states.count("stopped"),
        failed=states.count("failed"),
        training=sum(run.name == name and run.state == "running" for run in runs),
    )  # fmt: skip


def _total(folder: Path) -> int | None:
    """Steps of the whole run: of the manifest, else (it is older, or not there yet) of the run file, which is slow."""
    steps = _tree(folder / "about.json").get("steps")
    if isinstance(steps, int) and _whole(steps):
        return steps
    try:
        tree = yaml_of(read_text(folder / "run.yaml", YAML))
        epochs, steps = tree["train"]["epochs"], tree["train"]["steps"]
    except (OSError, ValueError, TypeError, LookupError):
        return None
    return epochs * steps if _whole(epochs) and _whole(steps) else None


def _pace(steps: list[dict[str, Any]]) -> float | None:
    """Seconds a step, over the newest steps that follow each other without a break of a resume."""
    times = [(line["step"], time) for line in steps if (time := _number(line.get("time"))) is not None]
    if len(times) < 2 or times[-1][0] <= times[0][0] or times[-1][1] < times[0][1]:
        return None
    gaps = sorted((t - s) / (b - a) for (a, s), (b, t) in pairwise(times) if b > a)
    middle = gaps[len(gaps) // 2]
    usual = [gap for gap in gaps if gap <= 100 * max(middle, 1e-3)]  # a night between two attempts is no step
    return sum(usual) / len(usual) if usual else None


def _tail(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in the last whole lines of a log."""
    try:
        with opened(path) as file:
            there = os.fstat(file.fileno()).st_size
            file.seek(max(0, there - TAIL))
            lines = file.read(TAIL).split(b"\n")
    except OSError:
        return
    for line in lines[(1 if there > TAIL else 0) : -1]:
        try:
            tree = json_of(line)
        except ValueError:
            continue
        if isinstance(tree, dict) and isinstance(tree.get("values"), dict):
            yield tree


def _tree(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is none, or something else."""
    try:
        tree = json_of(read(path, SMALL))
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 and math.isfinite(value) else None


def as_json(runs: list[RunStatus], studies: list[StudyStatus]) -> str:
    """Both, for programs: one object with `runs` and `studies`."""
    return json.dumps({"runs": [vars(one) for one in runs], "studies": [vars(one) for one in studies]}, indent=1)
