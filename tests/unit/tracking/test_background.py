"""The mirror in a thread: nothing is lost or reordered, nobody waits before the end, nothing ends a training."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.tracking import announce
from mdjpt_platform.tracking.announce import announced
from mdjpt_platform.tracking.background import Background
from mdjpt_platform.tracking.mlflow import MlflowSink


def mirror(tmp_path: Path) -> MlflowSink:
    return MlflowSink(f"sqlite:///{tmp_path / 'mlflow.db'}", "behind", "run", "behind1", artifacts=tmp_path / "files")


def test_steps_do_not_wait_and_close_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, threads = threading.Event(), set()
    real = MlflowSink.send

    def held(sink: MlflowSink) -> None:
        threads.add(threading.current_thread())
        assert gate.wait(60)
        real(sink)

    monkeypatch.setattr(MlflowSink, "send", held)
    sink = mirror(tmp_path)
    behind = Background(sink)
    behind.params({"lr": 0.5})
    behind.tags({"code": "abc"})
    assert not threads and not (tmp_path / "mlflow.db").exists(), "parameters alone start nothing"
    for step in range(30):  # would not come to an end if a step waited for the mirror
        behind.log(step, {"loss": step / 7}, epoch=step // 10)
    (tmp_path / "model.json").write_text("{}")
    behind.artifact(tmp_path / "model.json")
    gate.set()
    behind.close("KILLED")
    behind.close("FINISHED")
    assert threads and threading.current_thread() not in threads
    assert not sink.behind and sink._client is not None and sink.run_id is not None
    run = sink._client.get_run(sink.run_id)
    assert run.info.status == "KILLED" and run.data.params == {"lr": "0.5"} and run.data.tags["code"] == "abc"
    history = sorted((m.step, m.value, m.timestamp) for m in sink._client.get_metric_history(sink.run_id, "loss"))
    assert [(step, value) for step, value, _ in history] == [(step, step / 7) for step in range(30)]
    assert [f.path for f in sink._client.list_artifacts(sink.run_id)] == ["model.json"]
    assert "/files/behind/" in run.info.artifact_uri, "whoever comes first creates the experiment with its place"


def test_values_keep_the_time_they_were_measured_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    monkeypatch.setattr("mdjpt_platform.tracking.background.time.time", lambda: 1234.5)
    monkeypatch.setattr(MlflowSink, "log", lambda self, step, values, *, epoch, seconds: seen.append(seconds))
    monkeypatch.setattr(MlflowSink, "close", lambda self, status: None)
    behind, values = Background(mirror(tmp_path)), {"loss": 1.0}
    behind.log(0, values, epoch=0)
    behind.close()
    assert seen == [1234.5]


def test_a_mirror_that_breaks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("nobody expects this")

    monkeypatch.setattr(MlflowSink, "send", broken)
    behind = Background(mirror(tmp_path))
    behind.log(0, {"loss": 1.0}, epoch=0)
    behind.close()
    assert "nobody expects this" in caplog.text


def test_the_driver_speaks_for_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(announce, "initialise", lambda uri, *_: asked.append(uri))
    monkeypatch.setattr(announce, "POLL_SECONDS", 0.01)
    log = tmp_path / "metrics.jsonl"
    with announced(ExecConfig(mlflow="off"), log):
        log.write_text('{"step":0}\n')
    assert asked == []
    log.write_text('{"event":"params"}\n')
    with announced(ExecConfig(runs=str(tmp_path)), log):
        pass
    assert asked == [], "no step, no mirror"
    with announced(ExecConfig(runs=str(tmp_path)), log):
        assert asked == [], "not before the first step"
        with log.open("a") as file:
            file.write('{"step":0}\n')
    assert asked == [f"sqlite:///{tmp_path / 'mlflow.db'}"]
    with announced(ExecConfig(mlflow="http://127.0.0.1:9"), log):
        assert asked[1:] == ["http://127.0.0.1:9"], "a server is asked before"


def test_a_training_loads_mlflow_after_its_first_step(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mdjpt_platform.tracking import open_sinks\n"
        "from mdjpt_platform.runfile import parse\n"
        "config = parse({'name': 'x', 'corpora': {'a': {'layout': 'seed'}}, 'sources': ['a'],"
        " 'exec': {'runs': sys.argv[1]}})\n"
        "log = open_sinks(config, Path(sys.argv[1]) / 'metrics.jsonl', 'x1', 0, 0)\n"
        "print('BEFORE', sorted({'mlflow', 'sqlalchemy', 'alembic'} & {*sys.modules}))\n"
        "log.log(0, {'loss': 1.0}, epoch=0)\n"
        "log.close()\n"
        "print('AFTER', 'mlflow' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["BEFORE []", "AFTER True"], done.stdout + done.stderr
    assert (tmp_path / "mlflow.db").exists()
