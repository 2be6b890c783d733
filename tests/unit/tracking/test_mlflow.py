"""The mirror, against a real MLflow on SQLite, and against servers that are dead or talk nonsense."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mdjpt_platform.errors import MdjptError
from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.runfile import parse
from mdjpt_platform.tracking import mlflow as tracking
from mdjpt_platform.tracking import open_sinks, read_events, read_jsonl
from mdjpt_platform.tracking.mlflow import MlflowSink, initialise, tracking_uri
from mdjpt_platform.tracking.names import clean_name
from mdjpt_platform.tracking.replay import replay
from mdjpt_platform.tracking.sink import JsonlSink, Tee

EXPERIMENT = "mdjpt tests"


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database in a folder whose name has a space and an umlaut."""
    runs = tmp_path_factory.mktemp("runs") / "über runs"
    found = tracking_uri(ExecConfig(runs=str(runs)))
    assert found is not None and initialise(found, EXPERIMENT, runs / "files") and initialise(found, EXPERIMENT)
    return found


@pytest.fixture
def dead() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def stored(uri: str, run_id: str, key: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    return sorted((m.step, m.value) for m in MlflowClient(tracking_uri=uri).get_metric_history(run_id, key))


def test_everything_comes_back_equal(uri: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "state.safetensors").write_bytes(bytes(range(256)))
    (folder / "config.json").write_text("{}")
    (tmp_path / "report.html").write_text("<p>ok</p>")
    parent = MlflowSink(uri, EXPERIMENT, "study", "parent1")
    sink = MlflowSink(uri, EXPERIMENT, "cell", "cell1", parent_run_id=parent.open())
    sink.params({"optim": {"lr": 5e-4}, "sources": ("a", "b"), "empty": {}, "long": "x" * 9000, "odd key*": None})
    sink.params({f"p{i:03}": i for i in range(230)})
    sink.tags({"code": "abc", "versions/torch": "2.13"})
    for step in (1, 2, 3):
        sink.log(step, {"loss/total": 1 / step, "loss/contrast.sim-ä": float(step)}, epoch=step)
    sink.log(4, {f"many.{i}": float(i) for i in range(1700)} | {"loss/total": math.nan})
    sink.artifact(folder)
    sink.artifact(tmp_path / "report.html")
    sink.close()
    parent.close("KILLED")

    assert not sink.behind and sink.run_id and parent.run_id
    client = MlflowClient(tracking_uri=uri)
    run = client.get_run(sink.run_id)
    assert run.info.status == "FINISHED" and run.info.end_time and run.info.run_name == "cell"
    assert client.get_run(parent.run_id).info.status == "KILLED"
    assert run.data.tags["mlflow.parentRunId"] == parent.run_id and run.data.tags["mdjpt.identity"] == "cell1"
    assert run.data.tags["mdjpt.last_step"] == "4" and run.data.tags["versions/torch"] == "2.13"
    assert run.data.params["optim.lr"] == "0.0005" and json.loads(run.data.params["sources"]) == ["a", "b"]
    assert len(run.data.params["long"]) == 6000 and run.data.params["odd key_"] == "None"
    assert run.data.params["p229"] == "229"
    history = stored(uri, sink.run_id, "loss/total")
    assert history[:3] == [(1, 1.0), (2, 0.5), (3, 1 / 3)] and math.isnan(history[3][1])
    assert stored(uri, sink.run_id, "loss/contrast.sim-ä") == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert stored(uri, sink.run_id, "epoch") == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert run.data.metrics["many.1699"] == 1699.0
    back = Path(client.download_artifacts(sink.run_id, "model", str(tmp_path)))
    assert (back / "state.safetensors").read_bytes() == bytes(range(256))
    assert {f.path for f in client.list_artifacts(sink.run_id)} == {"model", "report.html"}
    assert f"/files/{EXPERIMENT.replace(' ', '%20')}/" in run.info.artifact_uri
    assert not Path("mlruns").exists()


def test_resume_continues_the_same_run_without_duplicates(uri: str, tmp_path: Path) -> None:
    path, ids = tmp_path / "metrics.jsonl", []
    for start, stop, status in ((1, 4, "FAILED"), (3, 6, "FINISHED")):  # epoch 3 is done again from a checkpoint
        mirror = MlflowSink(uri, EXPERIMENT, "resumed", "resume1")
        tee = Tee(JsonlSink(path, resume_step=start), mirror)
        tee.params({"lr": 1, "workers": start})
        for step in range(start, stop):
            tee.log(step, {"loss": 1 / step}, epoch=step)
        tee.close(status)
        ids.append(mirror.run_id)
    assert ids[0] == ids[1] is not None
    assert stored(uri, ids[0], "loss") == [(s, 1 / s) for s in (1, 2, 3, 4, 5)]
    assert replay(path, uri, EXPERIMENT, "resumed", "resume1") == 0
    assert stored(uri, ids[0], "loss") == [(s, 1 / s) for s in (1, 2, 3, 4, 5)]

    from mlflow import MlflowClient

    run = MlflowClient(tracking_uri=uri).get_run(ids[0])
    assert run.info.status == "FINISHED" and run.data.params == {"lr": "1", "workers": "1"}


def test_steps_are_sent_by_the_epoch(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    real = MlflowSink.send

    def counted(sink: MlflowSink) -> None:
        sent.append(len(sink.outbox.metrics))
        real(sink)

    monkeypatch.setattr(MlflowSink, "send", counted)
    monkeypatch.setattr(tracking, "LEAST_SECONDS", 0.0)
    sink = MlflowSink(uri, EXPERIMENT, "steps", "steps1")
    for step in range(40):
        sink.log(step, {"loss": float(step)}, epoch=step // 20)
    sink.close()
    assert sent == [2, 40, 38] and sink.run_id
    assert stored(uri, sink.run_id, "loss") == [(s, float(s)) for s in range(40)]


def test_sinks_from_a_configuration(uri: str, tmp_path: Path) -> None:
    tree = {"name": "of a config", "corpora": {"sim-a": {"layout": "faced"}}, "sources": ["sim-a"]}
    config = parse(tree | {"exec": {"mlflow": uri, "experiment": EXPERIMENT, "workers": 2}})
    for start, rank in ((0, 0), (2, 0), (0, 1)):
        sink = open_sinks(config, tmp_path / "metrics.jsonl", "config1", start, rank)
        for step in range(start, start + 3):
            sink.log(step, {"loss/total": float(step)}, epoch=0)
        sink.close()
    assert [r["step"] for r in read_jsonl(tmp_path / "metrics.jsonl")] == [0, 1, 2, 3, 4]
    mirror = MlflowSink(uri, EXPERIMENT, "", "config1")
    run_id = mirror.open()
    assert run_id and stored(uri, run_id, "loss/total") == [(s, float(s)) for s in range(5)]
    assert mirror._client is not None
    data = mirror._client.get_run(run_id).data
    assert data.params["train.steps"] == "1024" and data.tags["mdjpt.workers"] == "2"

    off = parse(tree | {"exec": {"mlflow": "off"}})
    open_sinks(off, tmp_path / "off.jsonl", "config2", 0, 0).close("KILLED")
    assert read_events(tmp_path / "off.jsonl")[-1]["values"] == {"status": "KILLED"}


def test_a_server_that_never_answers_costs_one_time_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "REQUEST_SECONDS", 1)
    monkeypatch.setattr(tracking, "CLOSING_SECONDS", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        sink = MlflowSink(f"http://127.0.0.1:{silent.getsockname()[1]}", EXPERIMENT, "silent", "silent1")
        begun = time.monotonic()
        for step in range(100):
            sink.log(step, {"loss": 1.0}, epoch=step)
        assert sink.behind and time.monotonic() - begun < 3
        sink.close()
        assert time.monotonic() - begun < 5


def _worker(uri: str, number: int, gate) -> None:
    gate.wait()
    sink = MlflowSink(uri, EXPERIMENT, f"worker {number}", f"concurrent{number}")
    for step in range(5):
        sink.log(step, {"loss": float(number)}, epoch=step)
    sink.close()
    sys.exit(1 if sink.behind else 0)


def test_four_processes_share_an_initialised_database(uri: str) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mdjpt_platform.tracking.mlflow", "mlflow.store.tracking.sqlalchemy_store"])
    gate = context.Barrier(4)
    workers = [context.Process(target=_worker, args=(uri, number, gate)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    for number in range(4):
        run_id = MlflowSink(uri, EXPERIMENT, "", f"concurrent{number}").open()
        assert run_id and stored(uri, run_id, "loss") == [(s, float(number)) for s in range(5)]


def test_a_dead_server_never_stops_a_run_and_is_caught_up_later(
    uri: str, dead: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    path, begun = tmp_path / "metrics.jsonl", time.monotonic()
    assert not initialise(dead, EXPERIMENT)
    caplog.clear()
    mirror = MlflowSink(dead, EXPERIMENT, "dead", "dead1")
    tee = Tee(JsonlSink(path), mirror)
    tee.params({"optim": {"lr": 0.1}})
    tee.tags({"code": "abc"})
    (tmp_path / "note.txt").write_text("kept")
    for step in range(1, 50):
        tee.log(step, {"loss": 1 / step, "odd": math.nan}, epoch=step)
    tee.artifact(tmp_path / "note.txt")
    assert mirror.behind and len(caplog.records) == 1
    tee.close("FAILED")
    assert time.monotonic() - begun < 15
    assert len(caplog.records) == 2 and all("Traceback" not in r.getMessage() for r in caplog.records)

    with pytest.raises(MdjptError, match="replay again"):
        replay(path, dead, EXPERIMENT, "dead", "dead1")
    assert replay(path, uri, EXPERIMENT, "dead", "dead1") == 49 * 3
    assert replay(path, uri, EXPERIMENT, "dead", "dead1") == 0

    from mlflow import MlflowClient

    run_id = MlflowSink(uri, EXPERIMENT, "", "dead1").open()
    assert run_id and stored(uri, run_id, "loss") == [(s, 1 / s) for s in range(1, 50)]
    client = MlflowClient(tracking_uri=uri)
    assert client.get_run(run_id).data.params == {"optim.lr": "0.1"}
    assert client.get_run(run_id).data.tags["code"] == "abc"
    assert [f.path for f in client.list_artifacts(run_id)] == ["note.txt"]


def test_a_server_that_comes_back_gets_what_waited(uri: str, dead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "PAUSE_SECONDS", (0.0, 0.0))
    sink = MlflowSink(dead, EXPERIMENT, "back", "back1")
    sink.log(1, {"loss": 1.0})
    assert sink.behind
    sink.uri = uri
    sink.log(2, {"loss": 2.0})
    assert not sink.behind and sink.run_id
    assert stored(uri, sink.run_id, "loss") == [(1, 1.0), (2, 2.0)]
    sink.close()


@pytest.fixture(
    params=[(200, b"<html>hello</html>"), (200, b"{}"), (200, b'{"experiment": 3}'), (500, b"no"), (403, b"")]
)
def nonsense(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that is not MLflow."""
    code, body = request.param

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            """Stay quiet."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_nonsense_from_a_server_never_raises(nonsense: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    sink = MlflowSink(nonsense, EXPERIMENT, "nonsense", "nonsense1")
    sink.params({"a": 1})
    sink.log(1, {"loss": 1.0}, epoch=1)
    sink.close("FAILED")
    sink.close("FAILED")


def test_a_broken_database_never_raises_and_fails_fast(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 500)
    begun = time.monotonic()
    sink = MlflowSink(f"sqlite:///{tmp_path / 'mlflow.db'}", EXPERIMENT, "broken", "broken1")
    sink.log(1, {"loss": 1.0})
    sink.close()
    assert sink.behind and time.monotonic() - begun < 10


def test_a_lost_artifact_and_a_lost_run_do_not_raise(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "LEAST_SECONDS", 0.0)
    from mlflow import MlflowClient

    sink = MlflowSink(uri, EXPERIMENT, "lost", "lost1")
    sink.artifact(tmp_path / "absent.bin")
    assert not sink.behind and sink.run_id
    MlflowClient(tracking_uri=uri).delete_run(sink.run_id)
    sink.log(1, {"loss": 1.0})
    assert sink.behind
    sink.close()


def test_users_timeouts_win_and_the_environment_is_left_alone(dead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    before = dict(os.environ)
    MlflowSink(dead, EXPERIMENT, "env", "env1").open()
    assert {k: v for k, v in os.environ.items() if k != "MLFLOW_DISABLE_TELEMETRY"} == {
        k: v for k, v in before.items() if k != "MLFLOW_DISABLE_TELEMETRY"
    }


def test_addresses_and_names(tmp_path: Path) -> None:
    assert tracking_uri(ExecConfig(mlflow="off")) is None
    assert tracking_uri(ExecConfig(mlflow="http://host:5000")) == "http://host:5000"
    assert tracking_uri(ExecConfig(runs=str(tmp_path))) == f"sqlite:///{tmp_path}/mlflow.db"
    odd = {"a*b": "a_b", "../x": "x", "/abs": "abs", "a//b/./c": "a/b/c", "": "_", "..": "_", "x" * 300: "x" * 250}
    assert {key: clean_name(key) for key in odd} == odd
    with pytest.raises(ValueError, match="identity"):
        MlflowSink("sqlite:///x", EXPERIMENT, "", "' or 1=1")


def test_importing_the_mirror_does_not_import_mlflow() -> None:
    code = "import sys, mdjpt_platform.tracking.replay; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
