"""Says at the user's side whether MLflow can be used when the process that writes to it is a worker elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.tracking.mlflow import initialise
from mdjpt_platform.tracking.names import sqlite_file, tracking_uri

POLL_SECONDS = 0.5


@contextmanager
def announced(execution: ExecConfig, path: Path, stepped: bytes = b'{"step"') -> Iterator[None]:
    """While a worker trains, warn once if MLflow does not answer; `path`: the log that the worker writes.

    A database in a file is tried after the first step, beside the training: its lock lets the worker be first, and
    importing MLflow costs seconds of processor that the start needs. A server or another database has no such lock,
    so it is tried, and where it is new created, before any worker comes.
    """
    uri = tracking_uri(execution)
    if uri is None:
        yield
        return
    files = Path(execution.runs).resolve() / "mlartifacts"
    if sqlite_file(uri) is None:
        initialise(uri, execution.experiment, files)
        yield
        return
    ended = threading.Event()

    def follow() -> None:
        while not _holds(path, stepped) and not ended.wait(POLL_SECONDS):
            pass
        if _holds(path, stepped):  # a training that failed before its first step has its own line to say
            initialise(uri, execution.experiment, files)

    thread = threading.Thread(target=follow, name="mlflow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _holds(path: Path, start: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return any(line.startswith(start) for line in file)
    except OSError:
        return False
