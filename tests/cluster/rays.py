"""A Ray of two nodes on two hosts: a head on the first, a node that trains on each; one token, small stores."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from hosts import Host, two_hosts, until

from cluster import bare_python
from conftest import REPOSITORY

PORT, DASHBOARD = 6379, 8265
HEALTH = {"RAY_health_check_period_ms": "1000", "RAY_health_check_timeout_ms": "3000",
          "RAY_health_check_failure_threshold": "4", "RAY_gcs_rpc_server_reconnect_timeout_s": "15"}  # fmt: skip
"""A node is given up after four questions in a row without an answer within 3 s, a second apart; a node that does not
find its head goes after 15 s. Ray's own: five, 10 s, 3 s apart; 60 s."""
NODES = """
import json, os, urllib.request
address = "http://127.0.0.1:{port}/api/v0/nodes"
head = {{"Authorization": "Bearer " + os.environ["RAY_AUTH_TOKEN"]}}
with urllib.request.urlopen(urllib.request.Request(address, headers=head), timeout=20) as answer:
    nodes = json.load(answer)["data"]["result"]["result"]
print(sum(node["state"] == "ALIVE" for node in nodes))
"""


@dataclass
class Rays:
    head: Host
    other: Host
    shared: Path
    python: Path
    env: dict[str, str]
    joined: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{self.head.address}:{PORT}"

    def ray(self, *arguments: str) -> list[str | Path]:
        return [self.python, "-m", "ray.scripts.scripts", *arguments]

    def log(self, name: str = "job") -> Path:
        return self.shared / f"{name}.log"

    def _node(self, host: Host, *options: str) -> list[str | Path]:
        small = ["--num-cpus=1", f"--object-store-memory={120 * 10**6}", "--disable-usage-stats"]
        return self.ray("start", "--block", f"--node-ip-address={host.address}", *small, *options)

    def start_head(self) -> None:
        options = ["--head", f"--port={PORT}", "--dashboard-host=127.0.0.1", f"--dashboard-port={DASHBOARD}"]
        started = self.head.start(self._node(self.head, *options, "--temp-dir=/tmp/r"), self.env, self.log("head"))
        probe = ["python", "-c", f"import socket; socket.create_connection(('127.0.0.1', {DASHBOARD}))"]

        def answers() -> bool:
            assert started.poll() is None, self.said("head")
            return self.head.run(*probe, env=self.env).returncode == 0

        until(answers, lambda: self.said("head"))

    def join(self) -> None:
        """Start the second node and wait until the head counts it."""
        self.joined = self.other.start(self._node(self.other, f"--address={self.address}"), self.env, self.log("node"))
        started = self.joined

        def counted() -> bool:
            assert started.poll() is None, self.said("node")
            return self.alive() == 2

        until(counted, lambda: self.said("node"))

    def alive(self) -> int:
        """Nodes that the head takes to be alive."""
        asked = self.head.run("python", "-c", NODES.format(port=DASHBOARD), env=self.env)
        assert asked.returncode == 0, asked.stderr
        return int(asked.stdout)

    def submit(self, run_file: Path, name: str) -> subprocess.Popen[bytes]:
        """`ray job submit` on the head's host; what the job prints goes to the log of this name."""
        command = self.ray("job", "submit", "--address", f"http://127.0.0.1:{DASHBOARD}", "--working-dir",
                           str(REPOSITORY), "--", "python", "jobs/pretrain.py", str(run_file))  # fmt: skip
        return self.head.start(command, self.env, self.log(name))

    def said(self, name: str) -> str:
        path = self.log(name)
        return path.read_text(errors="replace")[-6000:] if path.exists() else "nothing"


def settings(shared: Path, name: str, tree: dict[str, object], **execution: object) -> Path:
    """A run file whose results go to the shared folder `name`."""
    path = shared / f"{name}.yaml"
    common = {"store": str(shared / "store"), "runs": str(shared / name), "engine": "ray", "workers": 2, "threads": 1,
              "mlflow": "off", "progress": False, "worker_logs": True}  # fmt: skip
    path.write_text(yaml.safe_dump({**tree, "exec": common | execution}))
    return path


@contextmanager
def two_nodes(shared: Path) -> Iterator[Rays]:
    """Both nodes, up; ended in any case."""
    python = bare_python(shared / "venv")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "PYTHON", "GLOO_", "NCCL_"))}
    env = kept | HEALTH | {
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "PYTHONPATH": "platform", "HOME": "/tmp",
        "PATH": f"{python.parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2", "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "120",
        "RAY_memory_monitor_refresh_ms": "0",  # what other programs take is not what is tested
    }  # fmt: skip
    with two_hosts(shared) as (head, other):
        rays = Rays(head, other, shared, python, env)
        rays.start_head()
        rays.join()
        yield rays
