"""Studies through Ray Tune: killed drivers and workers, the same table as without Ray."""

from __future__ import annotations

import json
import os
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
from mdjpt_platform.study.run import Study, open_study, run_study

EVALUATE = {"controls": [], "folds": 2, "stimulus_folds": 0, "bootstrap": 100, "probe": {"epochs": 1, "hidden": [4]}}
CELLS = 12


@pytest.fixture
def temp() -> Iterator[Path]:
    """Ray's own folder: a short path, for its sockets."""
    folder = Path(tempfile.mkdtemp(prefix="mjs", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def write(folder: Path, store: Path, runs: str, **execution: object) -> Path:
    base = {**tiny_tree(store, folder / runs), "evaluate": EVALUATE, "train": {"epochs": 1, "steps": 2, "episodes": 2}}
    (folder / f"{runs}-base.yaml").write_text(yaml.safe_dump(base))
    pool = {"corpora": ["one", "two"], "design": "all_subsets"}
    study = {"name": "s", "base": f"{runs}-base.yaml", "pool": pool, "seeds": [0, 1, 2, 3], "exec": execution}
    path = folder / f"{runs}.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


def attempts(study: Study) -> dict[str, int]:
    return {key: entry.attempts for key, entry in study.entries.items()}


def start(path: Path, temp: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mdjpt_platform.cli", "study", "run", str(path)]
    environment = {**os.environ, "RAY_TMPDIR": str(temp)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def wait_for(study: Study, cells: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while len(list(study.ledger.cells.glob("*.json"))) < cells:
        assert process.poll() is None, (process.stdout.read() if process.stdout else b"").decode()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_tune_gives_the_table_of_one_process(tiny_store: Path, tmp_path: Path, ray_local: None) -> None:
    alone = run_study(open_study(write(tmp_path, tiny_store, "alone", engine="local", threads=1)))
    spread = run_study(open_study(write(tmp_path, tiny_store, "spread", engine="ray")))
    assert len(spread.cells) == CELLS and not spread.waiting()
    pd.testing.assert_frame_equal(spread.table(), alone.table())
    assert not list(Path(tempfile.gettempdir()).glob("mdjpt-tune-*")), "Tune's scratch folder is removed"


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
    below = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(signal.SIGKILL)
    running.wait(30)
    _, alive = psutil.wait_procs(below, timeout=20)
    for process in alive:  # Ray's own agents do not notice a driver that was killed
        process.kill()
    finished = {
        path: path.stat().st_mtime_ns for path in study.ledger.cells.iterdir() if path.suffix in (".json", ".parquet")
    }
    done = {key for key, entry in study.entries.items() if entry.state == "done"}
    assert 5 <= len(done) < CELLS
    again = start(path, temp)
    out, _ = again.communicate(timeout=300)
    assert again.returncode == 0, out.decode()
    assert f"{CELLS} done, 0 failed, 0 to run" in out.decode()
    assert set(attempts(study).values()) == {1}, "every cell was entered exactly once"
    for path, stamp in finished.items():
        if path.stem in done:
            assert path.stat().st_mtime_ns == stamp
    unbroken = run_study(open_study(write(tmp_path, tiny_store, "unbroken", engine="local", threads=1)))
    pd.testing.assert_frame_equal(study.table(), unbroken.table())
    assert json.loads((study.ledger.folder / "study.json").read_text())["cells"]
