"""A pre-training over two Ray nodes on two hosts (hosts.py): the numbers of one process, whatever happens between them.

The tests share one cluster and each leaves it with two nodes. With `-s` they say how long everything took
(docs/two-nodes.md).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hosts import unable, until
from rays import DASHBOARD, PORT, Rays, settings, two_nodes
from safetensors.torch import load_file

from conftest import tiny_tree, write_tiny
from mdjpt_platform.runfile import load, parse
from mdjpt_platform.tracking import read_jsonl
from mdjpt_platform.train.launch import pretrain

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]

EPOCHS, STEPS = 7, 3
RATE = 1e-6
"""Of learning. Adam divides a gradient by its own size: one that is zero but for rounding moves its weight by whole
steps, another way for every W. Where steps are small, what is left is whether losses and gradients are equal."""
PLACED = re.compile(r"\(ip=([\d.]+), pid=\d+\) world_rank=(\d)")


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """What both hosts see; short, and below the /tmp that each host has to itself."""
    reason = unable()
    if reason is not None:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="mjs", dir="/tmp"))
    write_tiny(folder / "store", parse(tiny_tree(folder / "store", folder / "runs")))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def rays(shared: Path) -> Iterator[Rays]:
    begin = time.monotonic()
    with two_nodes(shared) as started:
        say("cluster of two up", begin)
        yield started


def say(what: str, since: float) -> None:
    print(f"{what}: {time.monotonic() - since:.1f} s")


@dataclass
class Job:
    """A training that was submitted."""

    rays: Rays
    name: str
    process: subprocess.Popen[bytes]

    @property
    def folder(self) -> Path:
        (found,) = (self.rays.shared / self.name).glob("tiny-*")
        return found

    def steps(self) -> int:
        logs = list((self.rays.shared / self.name).glob("tiny-*/metrics.jsonl"))
        return max((record["step"] + 1 for record in read_jsonl(logs[0])), default=0) if logs else 0

    def reach(self, step: int) -> float:
        def reached() -> bool:
            assert self.process.poll() is None, self.rays.said(self.name)
            return self.steps() >= step

        return until(reached, lambda: self.rays.said(self.name), 240)

    def finish(self) -> dict[str, object]:
        """What the finished run left in result.json."""
        assert self.process.wait(300) == 0, self.rays.said(self.name)
        return json.loads((self.folder / "result.json").read_text())

    def placed(self) -> list[dict[int, str]]:
        """Address by rank, for every start of the worker group that Ray has told of."""
        found: list[dict[int, str]] = []
        for address, rank in PLACED.findall(self.rays.log(self.name).read_text(errors="replace")):
            if rank == "0":
                found.append({})
            found[-1][int(rank)] = address
        return found


def run_file(shared: Path, name: str, **execution: object) -> Path:
    tree = tiny_tree(shared / "store", shared / name)
    del tree["exec"]
    length = {"epochs": EPOCHS, "steps": STEPS, "episodes": 4}
    return settings(shared, name, tree | {"train": length, "optim": {"lr": RATE}}, **execution)


def submitted(rays: Rays, name: str, **execution: object) -> Job:
    return Job(rays, name, rays.submit(run_file(rays.shared, name, **execution), name))


@pytest.fixture(scope="module")
def unbroken(rays: Rays) -> Job:
    """The run without faults, each node reading a copy on its own disk."""
    begin = time.monotonic()
    job = submitted(rays, "unbroken", cache="/tmp/cache")
    job.finish()
    say("unbroken run, from submission to its end", begin)
    return job


def weights(job: Job) -> dict[str, torch.Tensor]:
    return load_file(job.folder / "model.safetensors")


def moments(folder: Path) -> list[torch.Tensor]:
    """Adam's running means of the gradients at the end, by parameter; those that are rounding alone left out."""
    newest = max((folder / "checkpoints").glob("step-*.pt"))
    state = torch.load(newest, weights_only=True)["optimiser"]["state"]
    return [one["exp_avg"] for one in state.values() if one["exp_avg_sq"].max() > 1e-10]


def assert_like(job: Job, unbroken: Job) -> None:
    """The same bits, and every step once in the log, with the same losses."""
    found, expected = weights(job), weights(unbroken)
    assert set(found) == set(expected) and all(torch.equal(found[name], expected[name]) for name in expected)
    logs = [read_jsonl(one.folder / "metrics.jsonl") for one in (job, unbroken)]
    assert [record["step"] for record in logs[0]] == list(range(EPOCHS * STEPS))
    for one, other in zip(*logs, strict=True):
        assert {k: v for k, v in one.items() if "loss" in k} == {k: v for k, v in other.items() if "loss" in k}


def test_another_token_is_refused_and_the_dashboard_is_not_there(rays: Rays) -> None:
    wrong = rays.env | {"RAY_AUTH_TOKEN": "0" * 64}
    begin = time.monotonic()
    script = f"import ray; ray.init('{rays.address}', log_to_driver=False); print('joined')"
    driver = rays.other.run(rays.python, "-c", script, env=wrong)
    assert driver.returncode != 0 and "joined" not in driver.stdout
    assert "token" in driver.stderr.lower(), driver.stderr[-2000:]
    say("driver with another token refused", begin)
    for port, open_ in ((PORT, True), (DASHBOARD, False)):
        probe = f"import socket; print(socket.socket().connect_ex(('{rays.head.address}', {port})))"
        assert (rays.other.run("python", "-c", probe, env=rays.env).stdout.strip() == "0") == open_, port
    assert rays.alive() == 2


def test_two_nodes_train_as_one_process(rays: Rays, unbroken: Job) -> None:
    (placed,) = unbroken.placed()
    assert sorted(placed.values()) == [rays.head.address, rays.other.address]
    for host in (rays.head, rays.other):
        assert len(list(host.disk.glob("cache/*/*/manifest.json"))) == 2, f"{host.name} copied both stores to its disk"
    alone = pretrain(load(run_file(rays.shared, "alone", engine="local", workers=1), []))
    one, two = (read_jsonl(folder / "metrics.jsonl") for folder in (alone.folder, unbroken.folder))
    worst = max(abs(a[k] - b[k]) for a, b in zip(one, two, strict=True) for k in a if k.startswith("loss/"))
    assert two[0]["loss/total"] == pytest.approx(one[0]["loss/total"], rel=1e-6)
    expected, found = load_file(alone.folder / "model.safetensors"), weights(unbroken)
    apart = max(float((found[name] - expected[name]).abs().max()) for name in expected)
    slopes = zip(moments(alone.folder), moments(unbroken.folder), strict=True)
    bent = max(float((a - b).abs().max() / a.abs().max()) for a, b in slopes)
    print(f"two nodes and one process, {len(one)} steps: apart by {apart:.1e} in weights, {worst:.1e} in losses, "
          f"{bent:.1e} of the largest in mean gradients")  # fmt: skip
    assert apart < 1e-5 and worst < 1e-5 and bent < 1e-3


def test_a_node_without_the_store_is_sent_its_windows(rays: Rays, unbroken: Job) -> None:
    store = rays.shared / "store"
    rays.other.hide(store)
    try:
        assert rays.other.run("ls", store, env=rays.env).stdout == "" and any(store.iterdir())
        begin = time.monotonic()
        job = submitted(rays, "streamed", fetch="stream")
        job.finish()
        say("streamed run, from submission to its end", begin)
    finally:
        rays.other.show(store)
    (placed,) = job.placed()
    assert sorted(placed.values()) == [rays.head.address, rays.other.address]
    assert_like(job, unbroken)


def test_cable_pulled_for_a_moment_then_for_long(rays: Rays, unbroken: Job) -> None:
    job = submitted(rays, "cable")
    job.reach(2 * STEPS + 1)
    rays.other.link("down")
    # the time itself is what is tested: shorter than the health check's patience
    subprocess.run(["sleep", "3"], check=True)
    rays.other.link("up")
    back = time.monotonic()
    job.reach(min(job.steps() + 2, 3 * STEPS))
    say("cable out for 3 s: a step is done again after its return", back)
    assert rays.alive() == 2, "nobody noticed"

    job.reach(4 * STEPS + 1)
    rays.other.link("down")
    cut = time.monotonic()
    until(lambda: rays.alive() == 1, lambda: rays.said("job"))
    say("cable out: the head gives the node up", cut)
    assert job.process.poll() is None, "the job waits for the node"
    rays.other.link("up")
    back = time.monotonic()
    assert rays.joined is not None
    rays.joined.wait(120)
    say("cable in again: the node that was given up ends itself", back)
    begin = time.monotonic()
    rays.join()
    say("node started again and counted", begin)
    begin = time.monotonic()
    result = job.finish()
    say("from the node's return to the end of the run", begin)
    assert len(job.placed()) == 2, "one restart, for the long cut"
    assert result["resumed_at"] in range(4 * STEPS, EPOCHS * STEPS, STEPS)
    assert_like(job, unbroken)


def test_a_node_is_killed_and_comes_back(rays: Rays, unbroken: Job) -> None:
    job = submitted(rays, "killed")
    job.reach(3 * STEPS + 1)
    rays.other.off()
    begin = time.monotonic()
    until(lambda: rays.alive() == 1, lambda: rays.said("job"))
    say("node killed: the head gives it up", begin)
    rays.other.boot()
    rays.join()
    begin = time.monotonic()
    result = job.finish()
    say("from the node's return to the end of the run", begin)
    assert len(job.placed()) == 2 and result["resumed_at"] in range(3 * STEPS, EPOCHS * STEPS, STEPS)
    assert_like(job, unbroken)


def test_the_head_is_killed_and_the_job_submitted_again(rays: Rays, unbroken: Job) -> None:
    job = submitted(rays, "headless")
    job.reach(3 * STEPS + 1)
    assert rays.joined is not None
    rays.head.off()
    begin = time.monotonic()
    assert job.process.poll() is not None, "the job goes with its head"
    rays.joined.wait(120)
    say("head killed: the other node ends itself", begin)
    rays.head.boot()
    begin = time.monotonic()
    rays.start_head()
    rays.join()
    say("cluster up again", begin)
    begin = time.monotonic()
    again = submitted(rays, "headless")
    result = again.finish()
    say("from submitting the same again to its end", begin)
    assert result["resumed_at"] in range(3 * STEPS, EPOCHS * STEPS, STEPS)
    assert_like(again, unbroken)
