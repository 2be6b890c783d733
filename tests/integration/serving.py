"""`mlflow models serve` of the test's own: loopback, its own port and process group."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster import free_ports


def environment(uri: str) -> dict[str, str]:
    """Of a process that uses MLflow at `uri`; the commands of this interpreter come first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        **os.environ, "PATH": path, "MLFLOW_TRACKING_URI": uri, "OMP_NUM_THREADS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }  # fmt: skip


class Served:
    """A model that answers over HTTP."""

    def __init__(self, port: int, seconds: float) -> None:
        self.address, self.seconds = f"http://127.0.0.1:{port}", seconds

    def post(self, body: Any) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the answer to a body; bytes are sent as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}/invocations", content, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@contextmanager
def served(uri: str, model: str, folder: Path) -> Iterator[Served]:
    """Start, wait until it answers, yield, end."""
    (port,) = free_ports(1)
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local",
        "-h", "127.0.0.1", "-p", str(port), "-w", "1",
    ]  # fmt: skip
    log, began = folder / "serve.log", time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env=environment(uri), cwd=folder, start_new_session=True
        )
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2):
                    break
            except OSError:
                assert process.poll() is None, log.read_text()[-3000:]
                assert time.monotonic() - began < 300, "the server did not start"
                time.sleep(0.1)
        yield Served(port, time.monotonic() - began)
        assert process.poll() is None, log.read_text()[-3000:]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # the server and the worker it started, nothing else
        process.wait(20)
