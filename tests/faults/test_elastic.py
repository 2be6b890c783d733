"""Fewer workers where nodes are lost: how many, and (slow) a real node that goes."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file

from cluster import head
from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.tracking import read_jsonl
from mdjpt_platform.train.elastic import persevere, start_again, widest
from mdjpt_platform.train.launch import pretrain
from mdjpt_platform.train.process import METRICS


def changed(config: Config, **execution: object) -> Config:
    return config.model_copy(update={"exec": config.exec.model_copy(update=execution)})


@pytest.mark.parametrize(
    ("episodes", "least", "most", "room", "workers"),
    [(4, 1, 4, 3, 2), (4, 1, 4, 9, 4), (6, 2, 6, 5, 3), (8, 4, 8, 3, None), (5, 2, 4, 4, None), (4, 1, 4, 0, None)],
)
def test_the_most_that_divide_k(episodes: int, least: int, most: int, room: int, workers: int | None) -> None:
    assert widest(episodes, least, most, room) == workers


def test_failures_are_tried_again_with_what_is_left(tiny: Config) -> None:
    """`train.episodes` is 4: of three places two are taken."""
    config = changed(tiny, workers=4, workers_min=1, max_failures=2)
    rooms, asked = iter([4, 3, 1]), []

    def fit(workers: int) -> str:
        asked.append(workers)
        if len(asked) < 3:
            raise OSError("a node went")
        return "done"

    assert persevere(fit, config, lambda: next(rooms), (OSError,)) == "done" and asked == [4, 2, 1]
    asked.clear()
    with pytest.raises(OSError, match="a node went"):
        persevere(fit, changed(config, max_failures=1), lambda: 4, (OSError,))
    assert asked == [4, 4]
    with pytest.raises(MdjptError, match=r"room for 1 workers; exec\.workers_min is 2"):
        persevere(fit, changed(config, workers_min=2), lambda: 1, (OSError,))


def test_a_death_at_the_start_is_tried_again_and_nothing_else_is() -> None:
    left, tidied = [OSError("dead"), OSError("dead"), ValueError("ours")], []

    def fit() -> str:
        if left:
            raise left.pop(0)
        return "done"

    def died(error: Exception) -> bool:
        return isinstance(error, OSError)

    with pytest.raises(ValueError, match="ours"):
        start_again(fit, 5, died, lambda: tidied.append(len(left)))
    assert tidied == [2, 1] and not left and start_again(fit, 5, died, pytest.fail) == "done"
    left += [OSError("first"), OSError("second")]
    with pytest.raises(OSError, match="second"):
        start_again(fit, 1, died, lambda: None)


def test_fewest_above_most_is_refused(tiny: Config) -> None:
    with pytest.raises(BadInput, match=r"exec\.workers_min: found 3, expected at most exec\.workers = 2"):
        pretrain(changed(tiny, workers=2, workers_min=3))


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
def test_a_node_that_goes_takes_its_worker_and_nothing_else(tiny: Config, tmp_path: Path) -> None:
    """Two nodes of one CPU each; one is killed in the second epoch; one worker ends what two began."""
    train = tiny.run.train.model_copy(update={"epochs": 3, "steps": 15, "episodes": 2})
    tiny = tiny.model_copy(update={"run": tiny.run.model_copy(update={"train": train})})
    whole = pretrain(changed(tiny, runs=str(tmp_path / "whole")))
    execution = {"runs": str(tmp_path / "runs"), "engine": "ray", "workers": 2, "workers_min": 1, "threads": 1}
    tree = {**tiny.run.model_dump(mode="json"), "exec": {**tiny.exec.model_dump(mode="json"), **execution}}
    file = tmp_path / "run.yaml"
    path = {"PYTHONPATH": str(Path(__file__).resolve().parents[2] / "platform")}
    with head(cpus=1, python=Path(sys.executable), settings=path) as cluster:
        environment = {**os.environ, **cluster.env, "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "90",
                       "PATH": os.environ["PATH"]}  # fmt: skip
        tree["exec"]["address"] = cluster.address
        file.write_text(yaml.safe_dump(tree))
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--address={cluster.address}"]
        scratch = f"/tmp/mjn{secrets.token_hex(3)}"
        quiet = subprocess.DEVNULL
        ray += ["--num-cpus=1", f"--temp-dir={scratch}"]
        node = subprocess.Popen(ray, env=environment, stdout=quiet, stderr=quiet, start_new_session=True)
        command = [sys.executable, "-m", "mdjpt_platform.cli", "pretrain", str(file)]
        try:
            _until(lambda: len(_raylets(node.pid)) == 1, node)
            log = (tmp_path / "log").open("wb")
            driver = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            _until(lambda: 18 <= _steps(tmp_path / "runs") < 40, driver)
            below = psutil.Process(node.pid).children(recursive=True)
            os.killpg(node.pid, signal.SIGKILL)
            for one in below:
                if one.is_running():
                    one.kill()
            assert driver.wait(400) == 0, (tmp_path / "log").read_text()[-4000:]
        finally:
            if node.poll() is None:
                os.killpg(node.pid, signal.SIGKILL)
    (folder,) = (tmp_path / "runs").glob("tiny-*")
    assert [one["step"] for one in read_jsonl(folder / METRICS)] == list(range(45))
    assert '"workers": 1, "before": 2' in (folder / "logs" / "driver.jsonl").read_text()
    found, expected = (load_file(one / "model.safetensors") for one in (folder, whole.folder))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5)


def _raylets(pid: int) -> list[psutil.Process]:
    return [one for one in psutil.Process(pid).children(recursive=True) if one.name() == "raylet"]


def _steps(runs: Path) -> int:
    return sum(log.read_bytes().count(b'{"step"') for log in runs.glob("tiny-*/metrics.jsonl"))


def _until(reached: object, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while not reached():  # type: ignore[operator]
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
