"""Studies through Ray Tune: killed drivers and workers, the same table as without Ray."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from conftest import tiny_tree
from mdjpt_platform.errors import BadInput
from mdjpt_platform.study.run import Study, open_study, run_study
from mdjpt_platform.study.tune import SCRATCH

EVALUATE = {"controls": [], "folds": 2, "stimulus_folds": 0, "bootstrap": 100, "probe": {"epochs": 1, "hidden": [4]}}
CELLS = 12


@pytest.fixture
def temp() -> Iterator[Path]:
    """Ray's own folder: a short path, for its sockets."""
    folder = Path(tempfile.mkdtemp(prefix="mjs", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def write(folder: Path, store: Path, runs: str, seeds: int = 4, **execution: object) -> Path:
    base = {**tiny_tree(store, folder / runs), "evaluate": EVALUATE, "train": {"epochs": 1, "steps": 2, "episodes": 2}}
    (folder / f"{runs}-base.yaml").write_text(yaml.safe_dump(base))
    pool = {"corpora": ["one", "two"], "design": "all_subsets"}
    study = {"name": "s", "base": f"{runs}-base.yaml", "pool": pool, "seeds": list(range(seeds)), "exec": execution}
    path = folder / f"{runs}.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


def attempts(study: Study) -> dict[str, int]:
    return {key: entry.attempts for key, entry in study.entries.items()}


def start(path: Path, temp: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mdjpt_platform.cli", "study", "run", str(path)]
    environment = {**os.environ, "RAY_TMPDIR": str(temp), "TMPDIR": str(temp)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def wait_for(study: Study, cells: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while len(list(study.ledger.cells.glob("*.json"))) < cells:
        assert process.poll() is None, (process.stdout.read() if process.stdout else b"").decode()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL of a driver, and the end of all that it started."""
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    end(below)


def end(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=20)
    for one in alive:  # Ray's own agents do not notice a driver that was killed
        one.kill()


def stamps(study: Study) -> dict[Path, int]:
    """Entry and table of every finished cell, and when each was written."""
    done = {key for key, entry in study.entries.items() if entry.state == "done"}
    files = (study.ledger.cells / f"{key}.{suffix}" for key in done for suffix in ("json", "parquet"))
    return {file: file.stat().st_mtime_ns for file in files}


def kept(study: Study, finished: dict[Path, int]) -> bool:
    """What was finished has not been written again."""
    now = stamps(study)
    return all(now.get(file) == stamp for file, stamp in finished.items())


def test_tune_gives_the_table_of_one_process(tiny_store: Path, tmp_path: Path, ray_local: None) -> None:
    alone = run_study(open_study(write(tmp_path, tiny_store, "alone", engine="local", threads=1)))
    spread = run_study(open_study(write(tmp_path, tiny_store, "spread", engine="ray")))
    assert len(spread.cells) == CELLS and not spread.waiting()
    pd.testing.assert_frame_equal(spread.table(), alone.table())
    assert not (spread.ledger.folder / SCRATCH).exists(), "Tune's scratch folder is removed"


def test_cells_of_several_workers_give_the_table_of_one(tiny_store: Path, tmp_path: Path, ray_local: None) -> None:
    """A Ray Train worker group inside every trial; scores differ by what the order of a sum does to weights."""
    alone = run_study(open_study(write(tmp_path, tiny_store, "alone", seeds=1, engine="local", threads=1)))
    several = {"engine": "ray", "workers": 2, "cpus_per_worker": 0.5, "threads": 1}
    spread = run_study(open_study(write(tmp_path, tiny_store, "spread", seeds=1, **several)))
    assert len(spread.cells) == 3 and not spread.waiting()
    one, two = (study.table() for study in (alone, spread))
    pd.testing.assert_frame_equal(two.drop(columns="value"), one.drop(columns="value"))
    assert (two["value"] - one["value"]).abs().max() <= 0.1


def test_cells_that_can_never_start_are_refused(tiny_store: Path, tmp_path: Path, ray_local: None) -> None:
    study = open_study(write(tmp_path, tiny_store, "wide", engine="ray", workers=2))
    with pytest.raises(
        BadInput, match=r"exec\.workers: found 2\.1 CPU for a cell and its driver, expected at most 2 CPU"
    ):
        run_study(study)


def test_killed_trial_and_driver_leave_a_study_that_resumes(tiny_store: Path, tmp_path: Path, temp: Path) -> None:
    """SIGKILL of a trial process, then of the driver, in the middle; afterwards every cell was finished once."""
    path = write(tmp_path, tiny_store, "broken", engine="ray", cpus=2)
    study = open_study(path)
    running = start(path, temp)
    wait_for(study, 2, running)
    below = psutil.Process(running.pid).children(recursive=True)
    trials = [p for p in below if "trial" in " ".join(p.cmdline()).lower() or "ImplicitFunc" in " ".join(p.cmdline())]
    assert trials, [" ".join(p.cmdline())[:80] for p in below]
    trials[0].send_signal(signal.SIGKILL)
    wait_for(study, 5, running)
    kill(running)
    finished = stamps(study)
    assert 10 <= len(finished) < 2 * CELLS
    again = start(path, temp)
    out, _ = again.communicate(timeout=300)
    assert again.returncode == 0, out.decode()
    assert f"{CELLS} done, 0 failed, 0 to run" in out.decode()
    assert set(attempts(study).values()) == {1}, "every cell was entered exactly once"
    assert kept(study, finished)
    unbroken = run_study(open_study(write(tmp_path, tiny_store, "unbroken", engine="local", threads=1)))
    pd.testing.assert_frame_equal(study.table(), unbroken.table())
    assert json.loads((study.ledger.folder / "study.json").read_text())["cells"]


@pytest.mark.slow  # the test before it kills, which is harder
def test_ctrl_c_leaves_a_study_that_resumes(tiny_store: Path, tmp_path: Path, temp: Path) -> None:
    """SIGINT: over within seconds, one line, exit code 130; the same command goes on."""
    path = write(tmp_path, tiny_store, "stopped", engine="ray", cpus=2)
    study = open_study(path)
    running = start(path, temp)
    wait_for(study, 3, running)
    below, began = psutil.Process(running.pid).children(recursive=True), time.monotonic()
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=60)
    seconds = time.monotonic() - began
    end(below)
    said = out.decode().strip().splitlines()
    assert running.returncode == 130 and seconds < 15, (running.returncode, seconds, said)
    assert said[-1:] == ["s: stopped; what is finished is kept, and the same command goes on from there"], said
    assert len(said) == 1, said
    finished = stamps(study)
    assert 6 <= len(finished) < 2 * CELLS
    out, _ = start(path, temp).communicate(timeout=300)
    assert f"{CELLS} done, 0 failed, 0 to run" in out.decode(), out.decode()
    assert set(attempts(study).values()) == {1} and kept(study, finished)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_five_killed_drivers(tiny_store: Path, tmp_path: Path, temp: Path) -> None:
    """42 cells; the driver dies five times at seeded random moments and the table is that of an unbroken study."""
    path = write(tmp_path, tiny_store, "broken", seeds=14, engine="ray", cpus=2)
    study, chance = open_study(path), random.Random(5)
    assert len(study.cells) == 42
    finished: dict[Path, int] = {}
    told = []
    for _ in range(5):
        running = start(path, temp)
        wait_for(study, len(finished) // 2 + chance.randint(1, 7), running)
        time.sleep(chance.random() * 0.5)
        assert running.poll() is None, "it was killed in the middle"
        kill(running)
        assert kept(study, finished)
        finished = stamps(study)
        told.append(len(finished) // 2)
    assert told[-1] < 42, told
    last = start(path, temp)
    out, _ = last.communicate(timeout=600)
    assert last.returncode == 0, out.decode()
    assert kept(study, finished) and len(stamps(study)) == 84
    assert set(attempts(study).values()) == {1}, "every cell was finished exactly once"
    unbroken = run_study(open_study(write(tmp_path, tiny_store, "unbroken", seeds=14, engine="local", threads=1)))
    pd.testing.assert_frame_equal(study.table(), unbroken.table())
    print(f"cells done at the five kills: {told}")
