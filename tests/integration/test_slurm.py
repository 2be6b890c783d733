"""The Slurm scripts, run on this machine: what Slurm would do is stood in for, Ray and the training are real."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from conftest import REPOSITORY
from mdjpt_platform.runfile import load
from mdjpt_platform.study.ledger import Ledger
from mdjpt_platform.study.run import open_study

SLURM = REPOSITORY / "cluster" / "slurm"
SRUN = """#!/usr/bin/env bash
# Runs the command once a node, all on this machine, as Slurm would on several.
while [[ "$1" == -* ]]; do shift; done
for ((task = 1; task < SLURM_JOB_NUM_NODES; task++)); do SLURM_PROCID=$task "$@" & done
SLURM_PROCID=0 "$@" &
wait $!
code=$?
wait
exit $code
"""
SCONTROL = """#!/usr/bin/env bash
if [ "$1 $2" = "show hostnames" ]; then for ((i = 0; i < SLURM_JOB_NUM_NODES; i++)); do hostname; done; exit; fi
echo "$@" >> "$CALLS"
"""


@dataclass(frozen=True)
class Site:
    """A machine on which `srun` and `scontrol` answer."""

    folder: Path
    env: dict[str, str]
    mark: str

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def start(self, script: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """As Slurm starts a job: a copy of the script, in the folder it was submitted from."""
        copy = self.folder / "slurm_script"
        copy.write_text((SLURM / script).read_text())
        log = (self.folder / "log").open("a")
        return subprocess.Popen(
            ["bash", str(copy), *arguments], env=self.env | env, cwd=REPOSITORY, stdout=log, stderr=log, text=True,
            start_new_session=True,
        )  # fmt: skip

    def log(self) -> str:
        return (self.folder / "log").read_text()[-6000:]

    def scontrol(self) -> list[str]:
        calls = Path(self.env["CALLS"])
        return calls.read_text().splitlines() if calls.exists() else []

    def running(self) -> dict[int, str]:
        """Processes that carry this test's mark, by pid."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, text in {"srun": SRUN, "scontrol": SCONTROL}.items():
        (bin_folder / name).write_text(text)
        (bin_folder / name).chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "SLURM_", "PYTHON", "MDJPT_"))}
    mark = f"mark-{uuid.uuid4()}"
    started = Site(tmp_path, kept | {
        "PATH": f"{bin_folder}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls"), "MARK": mark,
        "MDJPT_PYTHON": sys.executable, "MDJPT_RUNS": str(tmp_path / "runs"), "MDJPT_STORE": str(tmp_path / "store"),
        "MDJPT_CLUSTER_WAIT": "120", "MDJPT_GRACE": "30", "SLURM_JOB_ID": "77", "SLURM_JOB_NUM_NODES": "1",
        "SLURM_CPUS_PER_TASK": "2", "SLURM_SUBMIT_DIR": str(REPOSITORY), "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
        "OMP_NUM_THREADS": "1",
        "RAY_memory_monitor_refresh_ms": "0",  # what other programs take is not what is tested
    }, mark)  # fmt: skip
    yield started
    for pid in started.running():  # what a failing test has left behind
        os.kill(pid, signal.SIGKILL)


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[str], site: Site, seconds: int = 180) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert process.poll() is None, site.log()
        assert time.monotonic() < deadline, site.log()
        time.sleep(0.1)


def gone(site: Site) -> bool:
    """Whether nothing is left; a process that was killed may take a moment to go."""
    deadline = time.monotonic() + 20
    while site.running() and time.monotonic() < deadline:
        time.sleep(0.2)
    return not site.running()


def settings(site: Site, **exec_fields: object) -> list[str]:
    fields = {"simulated": site.folder / "raw", "mlflow": "off", "threads": 1, **exec_fields}
    return [part for name, value in fields.items() for part in ("--set", f"exec.{name}={value}")]


TRAINER = """
source "$SLURM_SUBMIT_DIR/cluster/slurm/job.sh"
ls -d "$MDJPT_RUNS"/.slurm-77.* && stat -c %a "$job/token"
bash -c "$1" &
stop() { echo stopped; touch "$MDJPT_RUNS/stopped"; }
run_to_the_end $! stop
"""


def trained(site: Site, trainer: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", f"root=$SLURM_SUBMIT_DIR\n{TRAINER}", "job", trainer],
        env=site.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_exit_code_of_the_training_is_that_of_the_job(site: Site) -> None:
    for code in (0, 3):
        job = trained(site, f"exit {code}")
        said, _ = job.communicate(timeout=60)
        assert job.returncode == code
        assert said.splitlines()[1] == "600", "the token is its owner's alone"
    assert site.scontrol() == []
    assert list(site.runs.iterdir()) == [], "token and folder go with the job"


def test_signal_waits_for_a_checkpoint_then_stops_and_requeues(site: Site) -> None:
    checkpoints = site.runs / "demo-0123" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "step-00000004-old.pt").touch()
    os.utime(checkpoints / "step-00000004-old.pt", (1, 1))
    # a training that writes a checkpoint once it is told to, and ends when it is stopped
    trainer = """
        touch "$MDJPT_RUNS/ready"
        until [ -e "$MDJPT_RUNS/go" ]; do sleep 0.1; done
        touch "$MDJPT_RUNS/demo-0123/checkpoints/step-00000008-new.pt"
        until [ -e "$MDJPT_RUNS/stopped" ]; do sleep 0.1; done; exit 143"""
    job = trained(site, trainer)
    wait_until((site.runs / "ready").exists, job, site, 60)
    job.send_signal(signal.SIGUSR1)
    wait_until(lambda: any(site.runs.glob(".slurm-77.*/asked")), job, site, 60)
    assert not (site.runs / "stopped").exists(), "the old checkpoint is not what it waits for"
    (site.runs / "go").touch()
    said, _ = job.communicate(timeout=60)
    assert job.returncode == 0 and site.scontrol() == ["requeue 77"], said
    assert "stopped" in said.splitlines()


def test_signal_without_checkpoint_stops_after_the_grace(site: Site) -> None:
    site.env["MDJPT_GRACE"] = "1"
    trainer = 'touch "$MDJPT_RUNS/ready"; until [ -e "$MDJPT_RUNS/stopped" ]; do sleep 0.1; done; exit 1'
    job = trained(site, trainer)
    wait_until((site.runs / "ready").exists, job, site, 60)
    job.send_signal(signal.SIGUSR1)
    job.communicate(timeout=60)
    assert site.scontrol() == ["requeue 77"]


def test_a_training_that_ends_in_time_is_not_requeued(site: Site) -> None:
    trainer = 'touch "$MDJPT_RUNS/ready"; until ls "$MDJPT_RUNS"/.slurm-77.*/asked; do sleep 0.1; done 2>/dev/null'
    job = trained(site, trainer)
    wait_until((site.runs / "ready").exists, job, site, 60)
    job.send_signal(signal.SIGUSR1)
    job.communicate(timeout=60)
    assert job.returncode == 0 and site.scontrol() == []


@pytest.fixture(scope="module")
def node() -> ModuleType:
    spec = importlib.util.spec_from_file_location("slurm_node", SLURM / "node.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ports_of_two_jobs_differ(node: ModuleType) -> None:
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        ports = node.free_ports(40)
        assert len(set(ports)) == 40 and other.getsockname()[1] not in ports


def test_end_takes_the_children_too(node: ModuleType, site: Site) -> None:
    process = subprocess.Popen(["bash", "-c", "sleep 600 & wait"], env=site.env, start_new_session=True)
    wait_until(lambda: len(site.running()) == 2, process, site, 20)  # type: ignore[arg-type]
    node.end(process)
    assert gone(site)


STUDY = """
name: seeds
base: {base}
set: {{model.hidden: 8}}
pool: {{corpora: [sim-a, sim-b], design: all_subsets}}
targets: [sim-c]
seeds: [0, 1, 2]
"""


def study_file(folder: Path) -> Path:
    path = folder / "study.yaml"
    path.write_text(STUDY.format(base=REPOSITORY / "jobs" / "runs" / "demo_smoke.yaml"))
    return path


def gather(site: Site, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = site.env | {"PYTHONPATH": f"{REPOSITORY / 'platform'}:{REPOSITORY}"}
    command = [sys.executable, str(SLURM / "gather.py"), str(path), "--set", f"exec.runs={site.runs}", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


def test_gather_joins_what_tasks_ran(site: Site) -> None:
    path, runs = study_file(site.folder), f"exec.runs={site.runs}"
    whole = open_study(path, [runs])
    assert len(whole.cells) == 9
    parts = {seed: open_study(path, [runs, f"seeds=[{seed}]"]) for seed in (0, 1)}
    for seed, part in parts.items():
        assert part.ledger.folder != whole.ledger.folder
        for cell in part.cells:
            table = pd.DataFrame({"subject": ["a"], "value": [float(seed)]})
            part.ledger.done(cell, table, code="c0de", seconds=1.0)
    spoilt = parts[1].cells[0]
    (parts[1].ledger.cells / f"{spoilt.key}.parquet").write_bytes(b"not what the entry says")
    done = gather(site, path)
    assert done.returncode == 1 and "5 of 9 cells, from 2 parts" in done.stdout, done.stdout + done.stderr
    expected = {cell.key for part in parts.values() for cell in part.cells} - {spoilt.key}
    found = Ledger(whole.ledger.folder).entries(whole.cells)
    assert set(found) == expected
    table = whole.table()
    assert sorted(zip(table["seed"], table["value"], strict=True)) == [(0, 0.0)] * 3 + [(1, 1.0)] * 2


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_pretraining_is_stopped_requeued_and_resumed(site: Site) -> None:
    from mdjpt_platform.train.launch import pretrain

    run = "jobs/runs/demo_smoke.yaml"
    length = ["--set", "train.epochs=30", "--set", "train.steps=2"]
    job = site.start("pretrain.sh", run, *settings(site), *length)
    checkpoints = lambda: list(site.runs.glob("demo-smoke-*/checkpoints/step-*.pt"))  # noqa: E731
    wait_until(lambda: bool(checkpoints()), job, site)
    (private,) = site.runs.glob(".slurm-77.*")
    assert stat.S_IMODE((private / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    token = (private / "token").read_text()
    assert len(token) == 64 and not any(token in line for line in site.running().values())
    job.send_signal(signal.SIGUSR1)
    assert job.wait(120) == 0, site.log()
    assert site.scontrol() == ["requeue 77"], site.log()
    assert gone(site), site.running()
    assert not any(site.runs.glob(".slurm-*")) and not any(site.runs.glob("demo-smoke-*/result.json"))

    again = site.start("pretrain.sh", run, *settings(site), *length, SLURM_RESTART_COUNT="1")
    assert again.wait(240) == 0, site.log()
    assert gone(site), site.running()
    (result,) = site.runs.glob("demo-smoke-*/result.json")
    found = json.loads(result.read_text())
    assert found["steps"] == 60 and 0 < found["resumed_at"] < 60
    paths = {"store": site.env["MDJPT_STORE"], "runs": site.folder / "alone"}
    fields = [*length, *settings(site, engine="local", workers=1, progress=False, **paths)]
    own = load(REPOSITORY / run, [part for part in fields if part != "--set"])
    assert pretrain(own).trained.weights_sha256 == found["weights_sha256"], "an interruption changes no bit"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_nodes(site: Site) -> None:
    job = site.start("pretrain.sh", "jobs/runs/demo_smoke.yaml", *settings(site), SLURM_JOB_NUM_NODES="2",
                     SLURM_CPUS_PER_TASK="1", MDJPT_NODE_IP="127.0.0.1")  # fmt: skip
    assert job.wait(300) == 0, site.log()
    assert "cluster of 2 at 127.0.0.1:" in site.log()
    assert gone(site), site.running()
    (result,) = site.runs.glob("demo-smoke-*/result.json")
    assert json.loads(result.read_text())["steps"] == 8


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_study_of_two_tasks(site: Site) -> None:
    path = study_file(site.folder)
    less = ["--set", "pool={corpora: [sim-a, sim-b], design: whole}"]
    prepared = site.start("pretrain.sh", "jobs/runs/demo_smoke.yaml", *settings(site, engine="local", workers=1),
                          "--set", "train.epochs=1", "--set", "targets=[]")  # fmt: skip
    assert prepared.wait(240) == 0, site.log()
    for seed in ("0", "1"):
        task = site.start("study.sh", str(path), *less, *settings(site), SLURM_ARRAY_TASK_ID=seed)
        assert task.wait(240) == 0, site.log()
        assert gone(site), site.running()
    done = gather(site, path, *less, "--set", "seeds=[0, 1]", "--set", f"exec.store={site.env['MDJPT_STORE']}")
    assert done.returncode == 0 and "2 of 2 cells, from 2 parts" in done.stdout, done.stdout + done.stderr
