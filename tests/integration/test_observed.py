"""What watches a training under real Ray: Prometheus series on the node's endpoint, logs of every process, restarts."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from mdjpt_platform.config import Config
from mdjpt_platform.operations import manifest
from mdjpt_platform.operations.logs import FOLDER
from mdjpt_platform.train.launch import pretrain

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore:::ray.data.context")]

SERIES = re.compile(r"^ray_(mdjpt_\w+)\{(.*)\} (\S+)$", re.MULTILINE)
EPOCHS, STEPS = 8, 2
"""Every epoch ends with a report, which waits for Ray Train's next look (0.2 s): time for the agent's half second."""


def scraped() -> dict[tuple[str, str, str], float]:
    """(name, run, rank) -> value, from the endpoint of the session's only node."""
    import ray

    (node,) = (node for node in ray.nodes() if node["Alive"])
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    found = {}
    for name, tags, value in SERIES.findall(text):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', tags))
        found[name, labels["run"], labels["rank"]] = float(value)
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_two_workers_are_seen(tiny: Config, ray_local: None) -> None:
    train = tiny.run.train.model_copy(update={"epochs": EPOCHS, "steps": STEPS, "episodes": 2})
    tiny = tiny.model_copy(
        update={
            "run": tiny.run.model_copy(update={"train": train}),
            "exec": tiny.exec.model_copy(update={"engine": "ray", "workers": 2, "threads": 1}),
        }
    )
    finished = pretrain(tiny)
    seen = scraped()  # the agent keeps what a process told it, also when the process is gone
    run = finished.identity
    expected = {"mdjpt_steps_total", "mdjpt_step", "mdjpt_loss", "mdjpt_step_seconds", "mdjpt_wait_seconds"}
    for rank in ("0", "1"):
        mine = {name: value for (name, of, at), value in seen.items() if (of, at) == (run, rank)}
        assert set(mine) == expected
        assert 0 < mine["mdjpt_step"] <= EPOCHS * STEPS and mine["mdjpt_step"] == int(mine["mdjpt_step"])
        assert 0 < mine["mdjpt_steps_total"] <= EPOCHS * STEPS
        assert 0 <= mine["mdjpt_wait_seconds"] < mine["mdjpt_step_seconds"]

    logs = finished.folder / FOLDER
    assert {path.name for path in logs.iterdir()} <= {"rank-0.jsonl", "rank-1.jsonl", "driver.jsonl"}
    told = {rank: lines(logs / f"rank-{rank}.jsonl") for rank in (0, 1)}
    assert [line["event"] for line in told[0]] == ["start", *["checkpoint"] * EPOCHS, "finished"]
    assert [line["event"] for line in told[1]] == ["start", "finished"]
    assert {(line["run"], line["rank"]) for rank in told for line in told[rank]} == {(run, 0), (run, 1)}
    assert told[0][0]["fields"] == {"step": 0, "total": EPOCHS * STEPS, "world": 2, "device": "cpu", "threads": 1}
    about = manifest.load(finished.folder)
    assert about.weights == finished.trained.weights_sha256 and about.threads == 1
    assert about.execution["workers"] == 2 and about.ended is not None and about.ended > about.started
