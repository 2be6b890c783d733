"""A search through Tune: the same each time in one process, stopped trials kept apart, resumed from the ledger."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from conftest import tiny_tree
from mdjpt_platform.runfile import load
from mdjpt_platform.study import verbs
from mdjpt_platform.study.run import open_study
from mdjpt_platform.study.trials import Search, open_search

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore:::ray.*")]

SAMPLES = 6


def write(folder: Path, store: Path, runs: str) -> Path:
    base = tiny_tree(store, folder / runs)
    base["train"] = {"epochs": 4, "steps": 2, "episodes": 2}
    # both CPUs of the test's Ray, so one trial at a time
    base["exec"] = {**base["exec"], "engine": "ray", "cpus_per_worker": 2, "threads": 1}  # type: ignore[dict-item]
    (folder / f"{runs}-base.yaml").write_text(yaml.safe_dump(base))
    fields = {"optim.lr": {"low": 1e-4, "high": 3e-2, "log": True}, "contrast.temperature": {"values": [0.05, 0.1]}}
    search = {"fields": fields, "samples": SAMPLES, "factor": 2, "startup": 2}
    path = folder / f"{runs}.yaml"
    path.write_text(yaml.safe_dump({"name": "h", "base": f"{runs}-base.yaml", "search": search}))
    return path


def searched(path: Path) -> Search:
    assert verbs.run(path) == 0
    return open_search(open_study(path))


@pytest.mark.slow
def test_a_search_repeats_stops_and_resumes(
    tmp_path: Path, tiny_store: Path, ray_local: None, capsys: pytest.CaptureFixture[str]
) -> None:
    one = searched(write(tmp_path, tiny_store, "one"))
    tried = one.tried()
    assert [trial.number for trial in tried] == list(range(SAMPLES))
    assert {trial.state for trial in tried} == {"done", "stopped"}, "some were stopped, some were not"
    assert all(len(trial.values) == 4 for trial in tried if trial.state == "done")
    assert all(len(trial.values) in (1, 2) for trial in tried if trial.state == "stopped"), "at a rung"
    said = capsys.readouterr().out
    assert "confirm it with fresh seeds" in said and "run file of the best setting" in said

    written = load(one.ledger.folder / "best.yaml")
    finished = [trial for trial in tried if trial.state == "done"]
    chosen = max(finished, key=lambda trial: (trial.values[-1], -trial.number))
    assert written.run.optim.lr == chosen.params["optim.lr"]
    assert written.run.contrast.temperature == chosen.params["contrast.temperature"]
    assert written.run.targets == ("three",) and written.run.only == {} and written.run.sources == ("one", "two")

    assert verbs.table(tmp_path / "one.yaml", tmp_path / "t.csv") == 0
    table = pd.read_csv(tmp_path / "t.csv")
    assert len(table) == SAMPLES and (table["note"].notna() == (table["state"] == "stopped")).all()

    other = searched(write(tmp_path, tiny_store, "two"))
    assert other.tried() == tried, "one process, the same search"

    # as after a kill: the last two trials are gone from the ledger, one of them in the middle of its training
    entries = {trial.number: other.trial(trial.number, trial.params, other.divided()[0]).key for trial in tried}
    stamps = {n: (other.ledger.cells / f"{key}.json").stat().st_mtime_ns for n, key in entries.items()}
    for number in (4, 5):
        for suffix in ("json", "parquet"):
            (other.ledger.cells / f"{entries[number]}.{suffix}").unlink()
    for result in (tmp_path / "two").glob("h-*/result.json"):
        result.unlink()
    (other.ledger.folder / "best.yaml").unlink()
    logs = {log: log.stat().st_mtime_ns for log in (tmp_path / "two").glob("h-*/metrics.jsonl")}
    resumed = searched(tmp_path / "two.yaml")
    assert resumed.tried() == tried
    now = {n: (other.ledger.cells / f"{key}.json").stat().st_mtime_ns for n, key in entries.items()}
    assert {n for n in entries if now[n] != stamps[n]} == {4, 5}, "what was in the ledger was left alone"
    assert sum(log.stat().st_mtime_ns != stamp for log, stamp in logs.items()) == 2, "and not trained again"
