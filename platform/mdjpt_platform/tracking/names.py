"""Addresses, names and time-outs that MLflow accepts; pure, so that nothing here loads MLflow."""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mdjpt_platform.errors import printable
from mdjpt_platform.execution import ExecConfig

KEY, PARAM_VALUE, TAG_VALUE = 250, 6000, 8000
"""Longest key, parameter and tag, in characters."""


def tracking_uri(execution: ExecConfig) -> str | None:
    """`exec.mlflow`; a SQLite database inside `exec.runs` if it is absent; None (no tracking) if it is 'off'."""
    setting = execution.mlflow
    if setting is not None and setting.strip().lower() == "off":
        return None
    return setting or f"sqlite:///{(Path(execution.runs).resolve() / 'mlflow.db').as_posix()}"


def sqlite_file(uri: str) -> Path | None:
    """The file behind a SQLite address; None for every other address."""
    found = re.match(r"sqlite(\+\w+)?:///([^?]+)", uri)
    return Path(found[2]).absolute() if found and found[2] != ":memory:" else None


def clean_name(key: str) -> str:
    """A key MLflow accepts: word characters, `/ . - :` and spaces, no path tricks, at most 250 characters."""
    clean = posixpath.normpath(re.sub(r"[^/\w.\- :]", "_", str(key))).lstrip("./")
    return clean[:KEY].rstrip("/") or "_"


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested mappings as (`a.b`, text) pairs; sequences become JSON."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, (Mapping, Sequence)) and not isinstance(value, str):
            yield f"{prefix}{key}", json.dumps(value, default=str)
        else:
            yield f"{prefix}{key}", str(value)


@contextmanager
def patience(seconds: int) -> Iterator[None]:
    """Short time-outs, no retries, no chatter of MLflow's HTTP client inside the block; settings of the user win."""
    ours = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds),
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    added = [key for key in ours if key not in os.environ]
    os.environ.update({key: ours[key] for key in added})
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)


def brief(error: Exception) -> str:
    """One short line for an error of a library; it may repeat the address, password included."""
    return printable(" ".join(f"{type(error).__name__}: {error}".split()))[:200]
