"""What is broken: done to real processes that were started here, and how a run is seen to its end."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faults import processes
from faults.processes import Running

WORDS = {
    "worker": ("ray::RayTrainWorker", "ray::ImplicitFunc.train"),
    "start": ("ray::RayTrainWorker.run_train_fn",),
    "raylet": ("raylet/raylet",),
}
"""Titles that Ray 2.60 gives to the processes of a training and of a Tune trial; the raylet keeps its command.
`start`: what a worker is called for the second in which it loads what it will run."""


def hit(target: str, running: Running, disk: Any, server: Any, chance: random.Random) -> str:
    """Do it, and say to what; empty: what was to be hit was not there."""
    if target == "driver":
        left = processes.below(running.pid)
        processes.kill(running.pid)
        running.wait(30)
        processes.end(left)
    elif target == "notice":
        os.kill(running.pid, signal.SIGTERM)
    elif target == "disk":
        disk.fill()
    elif target == "server":
        server.kill()
    else:
        victims = processes.find(running.pid, WORDS[target])
        if not victims:
            return ""
        number = chance.randrange(len(victims))
        title = " ".join(victims[number].cmdline())[:60].strip()
        victims[number].send_signal(signal.SIGKILL)
        return f"{title}, {number + 1} of {len(victims)}"
    return target


def ended(running: Running, target: str) -> int | str:
    """Exit code of a run and the end of all it started; `hung` if it had to be killed."""
    left: list[Any] = []
    deadline = time.monotonic() + (180 if target == "raylet" else processes.LIMIT)
    while running.poll() is None and time.monotonic() < deadline:
        left = processes.below(running.pid) or left
        running.wait(0.5)
    code = running.poll()
    if code is None:
        processes.kill(running.pid)
        running.wait(30)
    processes.end(left)
    return "hung" if code is None else code


@contextmanager
def tracking(home: Path) -> Iterator[Any]:
    spec = importlib.util.find_spec("tracking_server")
    assert spec is not None, "tests/integration is on the path of the harness"
    from tracking_server import Server

    server = Server(home / "server")
    server.start()
    try:
        yield server
    finally:
        server.kill()
