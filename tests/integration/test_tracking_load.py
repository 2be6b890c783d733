"""24 runs at once into one MLflow, as cells write: nothing is lost, not even while the server is dead."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest
from tracking_server import Server

from mdjpt_platform.tracking.mlflow import MlflowSink, initialise
from mdjpt_platform.tracking.replay import replay
from mdjpt_platform.tracking.sink import JsonlSink, Tee, read_events, read_jsonl

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EXPERIMENT = "load"
WRITERS, STEPS, EPOCH = 24, 200, 20
NAMES = ("loss/total", "loss/alignment", "loss/contrast.a", "loss/contrast.b", "time/step")
OUTAGE = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path / "server")
    started.start()
    yield started
    started.kill()


def value(number: int, step: int, name: str) -> float:
    return number + step / 1000 + NAMES.index(name) * 100


def write(uri: str, folder: Path, number: int, parent: str, gate: Any, pause: float) -> None:
    """One cell: its log and its mirror."""
    gate.wait()
    mirror = MlflowSink(uri, EXPERIMENT, f"cell {number}", f"cell{number}", parent_run_id=parent)
    tee = Tee(JsonlSink(folder / f"{number}.jsonl", resume_step=0), mirror)
    tee.params({"number": number, "optim": {"lr": 0.1}})
    tee.tags({"mdjpt.cell": str(number)})
    for step in range(STEPS):
        tee.log(step, {name: value(number, step, name) for name in NAMES}, epoch=step // EPOCH)
        time.sleep(pause)
    tee.close()


def started(uri: str, folder: Path, parent: str, pause: float) -> list[Any]:
    """All writers, past their imports."""
    context: BaseContext = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mdjpt_platform.tracking.mlflow", "mlflow.store.tracking.sqlalchemy_store"])
    gate = context.Barrier(WRITERS + 1)
    found = [
        context.Process(target=write, args=(uri, folder, number, parent, gate, pause))  # type: ignore[attr-defined]
        for number in range(WRITERS)
    ]
    for one in found:
        one.start()
    gate.wait()
    return found


def ended(writers: list[Any]) -> None:
    for one in writers:
        one.join(300)
    assert [one.exitcode for one in writers] == [0] * WRITERS


def opened(uri: str, folder: Path) -> str:
    assert initialise(uri, EXPERIMENT, folder / "files")
    parent = MlflowSink(uri, EXPERIMENT, "study", "study1").open()
    assert parent
    return parent


def lost(uri: str, parent: str) -> int:
    """Values that MLflow lacks or holds wrongly; every run is there once, ended, below its parent."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert sorted(run.data.tags["mdjpt.identity"] for run in runs) == sorted(f"cell{n}" for n in range(WRITERS))
    missing = 0
    for run in runs:
        number = int(run.data.tags["mdjpt.identity"][4:])
        for name in NAMES:
            history = client.get_metric_history(run.info.run_id, name)
            right = {point.step for point in history if point.value == value(number, point.step, name)}
            missing += STEPS - len(right) + (len(history) - len(right))
    return missing


def local(folder: Path) -> int:
    return min(len(read_jsonl(log)) if (log := folder / f"{n}.jsonl").exists() else 0 for n in range(WRITERS))


def replayed(uri: str, folder: Path, parent: str) -> int:
    return sum(
        replay(folder / f"{n}.jsonl", uri, EXPERIMENT, f"cell {n}", f"cell{n}", parent_run_id=parent)
        for n in range(WRITERS)
    )


def told(capsys: pytest.CaptureFixture[str], **figures: Any) -> None:
    with capsys.disabled():
        print("\n" + json.dumps({"writers": WRITERS, "values": WRITERS * STEPS * len(NAMES), **figures}))


def test_a_server_keeps_up(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parent, began = opened(server.uri, tmp_path), time.monotonic()
    ended(started(server.uri, tmp_path, parent, 0.05))
    seconds, sent = time.monotonic() - began, replayed(server.uri, tmp_path, parent)
    told(capsys, kind="server", seconds=round(seconds, 1), replayed=sent, lost=lost(server.uri, parent))
    assert local(tmp_path) == STEPS and lost(server.uri, parent) == 0


def test_sqlite_keeps_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    parent, began = opened(uri, tmp_path), time.monotonic()
    ended(started(uri, tmp_path, parent, 0.05))
    seconds, sent = time.monotonic() - began, replayed(uri, tmp_path, parent)
    told(capsys, kind="sqlite", seconds=round(seconds, 1), replayed=sent, lost=lost(uri, parent))
    assert local(tmp_path) == STEPS and lost(uri, parent) == 0


def test_a_dead_server_loses_nothing(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGKILL when every writer is under way, back after a while; what is lacking then is replayed."""
    parent = opened(server.uri, tmp_path)
    writers = started(server.uri, tmp_path, parent, 0.15)
    while local(tmp_path) < STEPS // 5:
        time.sleep(0.1)
    server.kill()
    time.sleep(OUTAGE)
    ended(writers)
    server.start()
    assert local(tmp_path) == STEPS, "the log that counts is whole"
    assert all(read_events(tmp_path / f"{n}.jsonl")[-1]["event"] == "close" for n in range(WRITERS))
    sent = replayed(server.uri, tmp_path, parent)
    told(capsys, kind="server, killed", outage=OUTAGE, replayed=sent, lost=lost(server.uri, parent))
    assert sent > 0 and lost(server.uri, parent) == 0
    assert replayed(server.uri, tmp_path, parent) == 0
