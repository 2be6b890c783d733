"""Pre-training under real Ray Train: same batches, same numbers, and the same weights after a kill."""

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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file

from mdjpt_platform.config import Config
from mdjpt_platform.data.episode import Episode, assemble
from mdjpt_platform.data.plan import Draw, Plan, Row
from mdjpt_platform.runfile import parse
from mdjpt_platform.tracking import read_jsonl
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.launch import pretrain
from mdjpt_platform.train.prepared import open_stores, prepare_plan

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore:::ray.data.context")]


def changed(config: Config, **execution: Any) -> Config:
    return config.model_copy(update={"exec": config.exec.model_copy(update=execution)})


def _collect(parameters: dict[str, Any]) -> None:
    """A Train worker that writes down the batches it was given: cut here, and streamed."""
    import ray.train

    from mdjpt_platform.data.loader import shard
    from mdjpt_platform.data.stream import stream

    config = parse(parameters["config"])
    session = ray.train.get_context()
    rank, world = session.get_world_rank(), session.get_world_size()
    prepared = prepare_plan(config.run, open_stores(config, config.run.sources, verify=False))
    rows = shard(prepared.plan, 1, rank, world)
    source, sizes = parameters["stream"]
    slots = tuple(range(rank, config.run.train.episodes, world))
    ways: dict[str, Iterator[Episode]] = {
        "local": (assemble(row, prepared.stores, prepared.length) for row in rows),
        "stream": stream(source, sizes.buffers, (1, 5), slots),
    }
    content = {way: [_plain(episode) for episode in episodes] for way, episodes in ways.items()}
    torch.save(content, Path(parameters["out"]) / f"{rank}.pt")


def _plain(episode: Episode) -> tuple[int, int, dict[str, dict[str, torch.Tensor]]]:
    parts = {"windows": episode.windows, "labels": episode.labels, "affect": episode.affect}
    copies = {part: {name: x.clone(memory_format=torch.contiguous_format) for name, x in values.items()}
              for part, values in parts.items()}  # fmt: skip
    return episode.row.step, episode.row.slot, copies


EMOD = {
    "model": {"family": "emod", "width": 8, "heads": 2, "depth": 1, "feedforward": 8, "hidden": 8, "embedding": 8},
    "contrast": {"weight": 0},
    "alignment": {"weight": 0},
    "affect": {"weight": 1},
    "plan": {"kind": "regions"},
}
METHODS = pytest.mark.parametrize("method", [{}, EMOD], ids=["mdjpt", "emod"])


def of_method(config: Config, method: dict[str, Any]) -> Config:
    return parse({**config.run.model_dump(mode="json"), **method, "exec": config.exec.model_dump(mode="json")})


@METHODS
def test_ray_and_local_loader_yield_the_same_batches(
    tiny: Config, tmp_path: Path, ray_local: None, method: dict[str, Any]
) -> None:
    import ray.train
    from ray.train.torch import TorchTrainer

    from mdjpt_platform.data.loader import episodes, whole
    from mdjpt_platform.data.stream import source

    tiny = of_method(tiny, method)
    prepared = prepare_plan(tiny.run, open_stores(tiny, tiny.run.sources, verify=True))
    tree = {**tiny.run.model_dump(mode="json"), "exec": tiny.exec.model_dump(mode="json")}
    TorchTrainer(
        _collect,
        train_loop_config={
            "config": tree,
            "out": str(tmp_path),
            "stream": (source(prepared.plan, prepared.stores, prepared.length), prepared.sizes),
        },
        datasets=dict(episodes(prepared.plan, 0, 5)),
        dataset_config=whole(),
        scaling_config=ray.train.ScalingConfig(num_workers=2),
        run_config=ray.train.RunConfig(storage_path=str(tmp_path / "ray"), name="collect"),
    ).fit()
    for rank in range(2):
        ways = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        expected = [_plain(assemble(r, prepared.stores, prepared.length)) for r in prepared.plan.shard(rank, 2, 1, 5)]
        assert len(expected) == 8 and set(ways) == {"local", "stream"}
        for found in ways.values():
            assert [one[:2] for one in found] == [one[:2] for one in expected]
            for (_, _, parts), (_, _, wanted) in zip(found, expected, strict=True):
                assert {part: list(values) for part, values in parts.items()} == {p: list(v) for p, v in wanted.items()}
                for part, values in wanted.items():
                    for name, x in values.items():
                        torch.testing.assert_close(parts[part][name], x, rtol=0, atol=0, equal_nan=True)


def test_stream_waits_for_its_consumer_and_for_no_cpu(tiny: Config, ray_local: None, tmp_path: Path) -> None:
    """In a placement group that captures tasks and has no CPU left, as a Tune trial's; as far ahead as memory says."""
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    from mdjpt_platform.data import stream as streaming

    prepared = prepare_plan(tiny.run, open_stores(tiny, tiny.run.sources, verify=True))
    given, sizes = streaming.source(prepared.plan, prepared.stores, prepared.length), prepared.sizes
    told = replace(given, cutter=replace(given.cutter, plan=Telling(prepared.plan, tmp_path / "drawn")))

    def consume(steps: int) -> list[int]:
        ahead = []
        for number, episode in enumerate(streaming.stream(told, sizes.buffers, (0, steps), (0, 1, 2, 3))):
            assert (episode.row.step, episode.row.slot) == divmod(number, 4)
            ahead.append((tmp_path / "drawn").stat().st_size - number)
            if number < 250:
                time.sleep(0.01)  # lets the tasks run as far ahead as they may
        return ahead

    group = placement_group([{"CPU": 2}])
    try:
        ray.get(group.ready(), timeout=60)
        inside = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
        trial = ray.remote(num_cpus=2, scheduling_strategy=inside)(consume)
        ahead = ray.get(trial.remote(150), timeout=120)
    finally:
        remove_placement_group(group)
    assert len(ahead) == 600
    assert max(ahead) < 300, "it cut on and on while nobody took what it had"


@dataclass(frozen=True)
class Telling(Plan):
    """A plan that leaves a byte in a file for every episode that is drawn."""

    plan: Plan
    file: Path

    @property
    def windows(self) -> dict[str, int]:
        return self.plan.windows

    def size(self, name: str) -> tuple[int, float]:
        return self.plan.size(name)

    def draw(self, name: str, number: int) -> Draw:
        return self.plan.draw(name, number)

    def row(self, step: int, slot: int) -> Row:
        with self.file.open("ab") as file:
            file.write(b".")
        return self.plan.row(step, slot)


@METHODS
def test_two_workers_train_like_one_process(
    tiny: Config, tmp_path: Path, ray_local: None, method: dict[str, Any]
) -> None:
    tiny = of_method(tiny, method)
    alone = pretrain(changed(tiny, runs=str(tmp_path / "alone")))
    spread = pretrain(changed(tiny, runs=str(tmp_path / "spread"), engine="ray", workers=2))
    assert spread.trained.steps == alone.trained.steps == 6
    histories = [read_jsonl(done.folder / "metrics.jsonl") for done in (alone, spread)]
    for one, two in zip(*histories, strict=True):
        assert one["step"] == two["step"]
        assert two["loss/total"] == pytest.approx(one["loss/total"], rel=1e-3), one["step"]
    assert histories[1][0]["loss/total"] == pytest.approx(histories[0][0]["loss/total"], rel=1e-6)
    again = pretrain(changed(tiny, runs=str(tmp_path / "spread"), engine="ray", workers=2, fetch="stream"))
    assert not again.fresh and again.trained == spread.trained, "how windows come is part of no identity"


def test_streamed_run_has_the_weights_of_a_local_one(tiny: Config, tmp_path: Path, ray_local: None) -> None:
    """Interrupted after its first epoch too: it goes on in the middle of the stream."""

    def lasting(epochs: int) -> Config:
        train = tiny.run.train.model_copy(update={"epochs": epochs, "steps": 1, "episodes": 2})
        return tiny.model_copy(update={"run": tiny.run.model_copy(update={"train": train})})

    def interrupt(epoch: int, metrics: dict[str, float]) -> None:
        raise KeyboardInterrupt

    tiny = lasting(2)
    alone = pretrain(changed(tiny, runs=str(tmp_path / "alone")))
    folder = tmp_path / "stream" / alone.folder.name
    with pytest.raises(KeyboardInterrupt):
        pretrain(changed(tiny, runs=str(tmp_path / "stream")), hooks=Context(report=interrupt))
    streamed = pretrain(changed(tiny, runs=str(tmp_path / "stream"), engine="ray", fetch="stream"))
    assert streamed.trained.resumed_at == 1 and streamed.folder == folder
    _assert_equal(_weights(tmp_path / "stream"), _weights(tmp_path / "alone"))


def _start(run_file: Path, temp: Path) -> subprocess.Popen[bytes]:
    env = {**os.environ, "RAY_TMPDIR": str(temp), "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2"}
    command = [sys.executable, "-m", "mdjpt_platform.cli", "pretrain", str(run_file)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def _run_file(config: Config, folder: Path, runs: str) -> Path:
    train = config.run.train.model_copy(update={"epochs": 3, "steps": 15, "episodes": 2})
    tree = config.run.model_copy(update={"train": train}).model_dump(mode="json")
    execution = {**config.exec.model_dump(mode="json"), "engine": "ray", "workers": 2, "cpus": 2, "threads": 1,
                 "runs": str(folder / runs)}  # fmt: skip
    path = folder / f"{runs}.yaml"
    path.write_text(yaml.safe_dump({**tree, "exec": execution}))
    return path


def _steps_done(runs: Path) -> int:
    for log in runs.glob("tiny-*/metrics.jsonl"):
        steps = [json.loads(line)["step"] for line in log.read_bytes().split(b"\n")[:-1] if line.startswith(b'{"step"')]
        return max(steps, default=-1) + 1
    return 0


def _wait_for_middle_of_second_epoch(runs: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while not 18 <= _steps_done(runs) < 30:
        assert process.poll() is None, (process.stdout.read() if process.stdout else b"").decode()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _finish(process: subprocess.Popen[bytes]) -> str:
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out.decode()
    return out.decode()


def _weights(runs: Path) -> dict[str, torch.Tensor]:
    (path,) = runs.glob("tiny-*/model.safetensors")
    return load_file(path)


@pytest.fixture
def temp() -> Iterator[Path]:
    """Ray's own folder: a short path, for its sockets."""
    folder = Path(tempfile.mkdtemp(prefix="mjk", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _unbroken(tiny: Config, tmp_path: Path, temp: Path) -> dict[str, torch.Tensor]:
    _finish(_start(_run_file(tiny, tmp_path, "unbroken"), temp))
    return _weights(tmp_path / "unbroken")


def test_a_killed_worker_changes_nothing(tiny: Config, tmp_path: Path, temp: Path) -> None:
    """SIGKILL in the middle of the second epoch; weights as unbroken."""
    expected = _unbroken(tiny, tmp_path, temp)
    broken = _start(_run_file(tiny, tmp_path, "worker"), temp)
    _wait_for_middle_of_second_epoch(tmp_path / "worker", broken)
    below = psutil.Process(broken.pid).children(recursive=True)
    victims = [p for p in below if "RayTrainWorker" in " ".join(p.cmdline())]
    assert len(victims) == 2
    victims[1].send_signal(signal.SIGKILL)
    _finish(broken)
    _assert_equal(_weights(tmp_path / "worker"), expected)
    (result,) = (tmp_path / "worker").glob("tiny-*/result.json")
    assert json.loads(result.read_text())["resumed_at"] == 15, "it went on from the first epoch's checkpoint"
    events = {log.stem: log.read_text() for log in (result.parent / "logs").glob("*.jsonl")}
    assert events["controller"].count('"event": "workers_restarted"') == 1
    assert '"event": "resume", "fields": {"step": 15, "total": 45, "world": 2' in events["rank-0"]


@pytest.mark.slow  # two minutes, mostly of waiting; a driver without Ray is killed in tests/faults/test_kills.py
def test_a_killed_driver_changes_nothing(tiny: Config, tmp_path: Path, temp: Path) -> None:
    """The same with the driver: what it had started ends, and the same command goes on."""
    expected = _unbroken(tiny, tmp_path, temp)
    run_file = _run_file(tiny, tmp_path, "driver")
    broken = _start(run_file, temp)
    _wait_for_middle_of_second_epoch(tmp_path / "driver", broken)
    below = psutil.Process(broken.pid).children(recursive=True)
    broken.send_signal(signal.SIGKILL)
    broken.wait(30)
    _, alive = psutil.wait_procs(below, timeout=20)
    working = [p.name() for p in alive if not p.name().endswith("Agent")]
    assert not working, f"processes outlived their driver: {working}"
    for agent in alive:  # Ray's own agents do not notice a driver that was killed
        agent.kill()
    assert not list((tmp_path / "driver").glob("tiny-*/result.json"))
    _finish(_start(run_file, temp))
    _assert_equal(_weights(tmp_path / "driver"), expected)
    (log,) = (tmp_path / "driver").glob("tiny-*/metrics.jsonl")
    assert [record["step"] for record in read_jsonl(log)] == list(range(45)), "every step once"
    assert "finished before" in _finish(_start(run_file, temp))


def _assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
