"""(R) One node of a Ray cluster that lives as long as a Slurm job: `srun` starts this once on every node.

    node.py --job FOLDER -- python jobs/pretrain.py ...

The first task starts the head on ports that are free, waits for the others, runs the command and ends the cluster; the
others join and leave with it. FOLDER is private and seen by all nodes: `token` in it is Ray's, `cluster.json` is
written by the head, `stop` asks for the command to be ended, `done` says that it has ended.

Why not `ray symmetric-run`: it ends with `ray stop`, which ends every Ray of this user on the node, those of other jobs
too, and it refuses to start where another one runs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

WAIT = float(os.environ.get("MDJPT_CLUSTER_WAIT", "600"))
"""Seconds until all nodes must have joined; a full file system or a cold cache makes Ray start slowly."""
PATIENCE = 60
"""Seconds that a process has after SIGTERM."""
COMMON = ["--block", "--disable-usage-stats", "--min-worker-port=0", "--max-worker-port=0"]
"""Worker port 0: whatever is free, so that two jobs share a node."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    taken = [socket.socket() for _ in range(count)]
    try:
        for one in taken:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in taken]
    finally:
        for one in taken:
            one.close()


def own_address(other: str) -> str:
    """The address of this machine that `other` sees; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((other, 9))
        return str(probe.getsockname()[0])


def own_ports() -> list[str]:
    """Options for the ports that Ray would take the same number for on every node it starts."""
    listen, grpc, metrics, runtime = free_ports(4)
    return [
        f"--dashboard-agent-listen-port={listen}",
        f"--dashboard-agent-grpc-port={grpc}",
        f"--metrics-export-port={metrics}",
        f"--runtime-env-agent-port={runtime}",
        *([f"--num-cpus={cpus}"] if (cpus := os.environ.get("SLURM_CPUS_PER_TASK")) else []),
    ]


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, then what is left of its session, and nothing else.

    The process alone is asked first: were all of them asked at once, Ray's head would drain its node with nobody left
    to answer, for half a minute.
    """
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(PATIENCE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def ray_node(options: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """`ray start --block`, ended with the block."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", *COMMON, *own_ports(), *options]
    # no draining: when this ends, the training has ended or is to be ended
    process = subprocess.Popen(
        command, env={"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0", **os.environ}, start_new_session=True
    )
    try:
        yield process
    finally:
        end(process)


def until(what: str, reached: Callable[[], bool], alive: subprocess.Popen[bytes] | None = None) -> None:
    """Ask every half second. Raises SystemExit: not within WAIT, or the Ray process has ended."""
    deadline = time.monotonic() + WAIT
    while not reached():
        if alive is not None and alive.poll() is not None:
            raise SystemExit(f"Ray ended with {alive.returncode} while waiting for {what}")
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {WAIT:g} s (MDJPT_CLUSTER_WAIT)")
        time.sleep(0.5)


def joined(address: str, nodes: int) -> bool:
    """Whether all nodes are there; asked by a process of its own, since one that is connected cannot be forked off."""
    script = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level='critical'); " \
             "sys.exit(sum(n['Alive'] for n in ray.nodes()) < int(sys.argv[2]))"  # fmt: skip
    asked = subprocess.run([sys.executable, "-c", script, address, str(nodes)], capture_output=True)
    return asked.returncode == 0


def answers(address: str) -> bool:
    """Whether somebody listens there."""
    host, port = address.rsplit(":", 1)
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((host, int(port))) == 0


def head(job: Path, nodes: list[str], command: list[str]) -> int:
    """Start the cluster, run the command once every node is there; returns its exit code."""
    host = os.environ.get("MDJPT_NODE_IP") or (own_address(nodes[1]) if len(nodes) > 1 else "127.0.0.1")
    port, dashboard, client = free_ports(3)
    address, temp = f"{host}:{port}", tempfile.mkdtemp(prefix="mj", dir="/tmp")  # sockets need a short path
    options = ["--head", f"--node-ip-address={host}", f"--port={port}", f"--temp-dir={temp}",
               "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
               f"--ray-client-server-port={client}"]  # fmt: skip
    try:
        with ray_node(options) as node:
            until("the head", lambda: answers(address), node)
            unfinished = job / "cluster.json.tmp"
            unfinished.write_text(json.dumps({"address": address, "temp": temp}))
            unfinished.rename(job / "cluster.json")
            until(f"{len(nodes)} nodes", lambda: joined(address, len(nodes)), node)
            print(f"cluster of {len(nodes)} at {address}, dashboard 127.0.0.1:{dashboard} of {nodes[0]}", flush=True)
            return run(command, job, address, node)
    finally:
        (job / "done").touch()
        shutil.rmtree(temp, ignore_errors=True)


def run(command: list[str], job: Path, address: str, node: subprocess.Popen[bytes]) -> int:
    """Run the command; ends it if `stop` appears or the head dies."""
    driver = subprocess.Popen(command, env={**os.environ, "RAY_ADDRESS": address}, start_new_session=True)
    try:
        while True:
            try:
                return driver.wait(1)
            except subprocess.TimeoutExpired:
                if (job / "stop").exists() or node.poll() is not None:
                    return 143
    finally:
        end(driver)


def worker(job: Path, nodes: list[str]) -> int:
    """Join, and leave when the command has ended."""
    about = job / "cluster.json"
    until("the head's address", about.exists)
    cluster = json.loads(about.read_text())
    host = os.environ.get("MDJPT_NODE_IP") or own_address(cluster["address"].rsplit(":", 1)[0])
    with ray_node([f"--address={cluster['address']}", f"--node-ip-address={host}"]) as node:
        while not (job / "done").exists():
            try:
                code = node.wait(1)
                return 0 if (job / "done").exists() else code or 1
            except subprocess.TimeoutExpired:
                continue
    if socket.gethostname() != nodes[0]:
        shutil.rmtree(cluster["temp"], ignore_errors=True)  # Ray has made it here under the head's name
    return 0


def _ended(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    """Be the head or join it, by SLURM_PROCID; the command's exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", type=Path, required=True)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _ended)  # so that what was started is ended too
    nodes = os.environ.get("MDJPT_HOSTS", "localhost").split()
    if os.environ.get("SLURM_PROCID", "0") == "0":
        return head(arguments.job, nodes, arguments.command)
    return worker(arguments.job, nodes)


if __name__ == "__main__":
    sys.exit(main())
