"""A Ray head of the test's own: a token, loopback, its own ports and temp dir, ended by pid."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Head:
    python: Path
    """Interpreter of the node: third-party packages, nothing of ours."""
    address: str
    dashboard: str
    env: dict[str, str]
    pid: int
    session: Path
    """Ray's folder: sockets, logs."""


def free_ports(count: int) -> list[int]:
    taken = [socket.socket() for _ in range(count)]
    try:
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]
    finally:
        for one in taken:
            one.close()


def bare_python(folder: Path) -> Path:
    """An environment that sees our third-party packages but not our own: .pth files behind a .pth are not read."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "third_party.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin" / "python"


@contextmanager
def head(cpus: int = 2, python: Path | None = None, settings: Mapping[str, str] | None = None) -> Iterator[Head]:
    """Start a head, yield it, end it. `python`: instead of one without our code; `settings`: more environment."""
    folder = Path(tempfile.mkdtemp(prefix="mjh", dir="/tmp"))
    python = python or bare_python(folder / "venv")
    port, dashboard, client, agent_http, agent_grpc, metrics = free_ports(6)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "PYTHON"))}
    env |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "PYTHONPATH": "platform",
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
        "RAY_USAGE_STATS_ENABLED": "0",
        **(settings or {}),
    }
    command = [
        str(python), "-m", "ray.scripts.scripts", "start", "--head", "--block", "--node-ip-address=127.0.0.1",
        f"--port={port}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1", f"--temp-dir={folder}/t",
        f"--ray-client-server-port={client}", f"--dashboard-agent-listen-port={agent_http}",
        f"--dashboard-agent-grpc-port={agent_grpc}", f"--metrics-export-port={metrics}", f"--num-cpus={cpus}",
    ]  # fmt: skip
    log = (folder / "head.log").open("wb")
    started = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        _wait(dashboard, started, folder / "head.log")
        session = (folder / "t" / "session_latest").resolve()
        yield Head(python, f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}", env, started.pid, session)
    finally:
        os.killpg(started.pid, signal.SIGTERM)  # the head and all it started, nothing else
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait(20)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise AssertionError(f"no dashboard on {port}: {log.read_text()}")
