"""Sinks of metrics, and the log that counts: JSON lines, one record a line.

A record is with the operating system when `log` returns, so a killed process loses nothing; it is on the disk with
the next epoch or after a second, so a machine that loses power loses at most that.

A metric line is `{"step", "epoch", "time", "values": {...}}`; parameters, tags, artifacts and the end of a run are
`{"event": "params" | "tags" | "artifact" | "close", "time", "values": {...}}`. The JSON is strict: NaN and the
infinities are the strings "NaN", "Infinity" and "-Infinity".
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.plain import json_of, read

Status = Literal["FINISHED", "FAILED", "KILLED"]
LARGEST = 2**31
"""Bytes of a log that is read; a year of steps has a fourth of it."""
RESERVED = ("step", "epoch", "time")


class MetricSink(Protocol):
    """What the training loop writes to: one process a run."""

    def log(self, step: int, values: dict[str, float], *, epoch: int | None = None) -> None:
        """Store `values` under `step` (optimiser steps)."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Store what the run was started with; nested mappings are welcome."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Store short texts that may change, such as hashes and versions."""

    def artifact(self, path: Path) -> None:
        """Store a file or a folder of files."""

    def close(self, status: Status = "FINISHED") -> None:
        """End the run; later calls of other methods are not allowed."""


class JsonlSink:
    """The truth of a run.

    `resume_step`: the first step that will be written anew. Records at it and after it are dropped, so that a run
    which continues from a checkpoint has every step once. Absent: continue at the end of the file. Either way a last
    line torn by a crash is dropped. Raises MdjptError: the disk is full or the folder cannot be written; BadInput: a
    line before the last is not a record.
    """

    def __init__(self, path: str | Path, *, resume_step: int | None = None) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._cut(resume_step)
            self._epoch: int | None = None
            self._synced = 0.0
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise _unwritable(self.path, error) from None

    def log(self, step: int, values: dict[str, float], *, epoch: int | None = None) -> None:
        """Append one record. Raises ValueError: a metric has a reserved name."""
        clash = [name for name in RESERVED if name in values]
        if clash:
            raise ValueError(f"a metric must not be called {clash[0]!r}; reserved: {', '.join(RESERVED)}")
        numbers = {name: _encoded(float(value)) for name, value in values.items()}
        self._append({"step": int(step), "epoch": epoch, "time": round(time.time(), 3), "values": numbers})
        if epoch is None or epoch != self._epoch or time.monotonic() - self._synced > 1.0:
            self._epoch = epoch
            self._sync()

    def params(self, values: Mapping[str, Any]) -> None:
        """Append a line of parameters."""
        self._event("params", dict(values))

    def tags(self, values: Mapping[str, str]) -> None:
        """Append a line of tags."""
        self._event("tags", dict(values))

    def artifact(self, path: Path) -> None:
        """Append the place of an artifact, relative to the log's folder where it lies below it."""
        path, home = Path(path).absolute(), self.path.parent.absolute()
        self._event("artifact", {"path": str(path.relative_to(home) if path.is_relative_to(home) else path)})

    def close(self, status: Status = "FINISHED") -> None:
        """Append how the run ended. Closing twice is harmless."""
        if self._file < 0:
            return
        try:
            self._event("close", {"status": status})
        finally:
            os.close(self._file)
            self._file = -1

    def _event(self, kind: str, values: dict[str, Any]) -> None:
        self._append({"event": kind, "time": round(time.time(), 3), "values": values})
        self._sync()

    def _sync(self) -> None:
        try:
            os.fsync(self._file)
        except OSError as error:
            raise _unwritable(self.path, error) from None
        self._synced = time.monotonic()

    def _append(self, record: dict[str, Any]) -> None:
        if self._file < 0:
            raise ValueError(f"{self.path}: the log is closed")
        try:
            _write_all(self._file, _line(record))
        except OSError as error:
            raise _unwritable(self.path, error) from None

    def _cut(self, resume_step: int | None) -> None:
        """Rewrite the file without its torn tail and without the steps that will be written anew."""
        if not self.path.exists():
            return
        whole = read(self.path, LARGEST)
        records = _records(self.path)
        if resume_step is not None:
            records = [r for r in records if "event" in r or r["step"] < resume_step]
        kept = b"".join(_line(record) for record in records)
        if kept == whole:
            return
        write_atomic(self.path, kept)


class Tee:
    """Several sinks as one; the first is the truth and is written first."""

    def __init__(self, *sinks: MetricSink) -> None:
        self.sinks = sinks

    def log(self, step: int, values: dict[str, float], *, epoch: int | None = None) -> None:
        """Pass on."""
        for sink in self.sinks:
            sink.log(step, values, epoch=epoch)

    def params(self, values: Mapping[str, Any]) -> None:
        """Pass on."""
        for sink in self.sinks:
            sink.params(values)

    def tags(self, values: Mapping[str, str]) -> None:
        """Pass on."""
        for sink in self.sinks:
            sink.tags(values)

    def artifact(self, path: Path) -> None:
        """Pass on."""
        for sink in self.sinks:
            sink.artifact(path)

    def close(self, status: Status = "FINISHED") -> None:
        """Close every sink, also where an earlier one fails; then the first failure is raised."""
        _close(self.sinks, status)


def read_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """Metric records in file order, flat: `step`, `epoch`, `time` (s since 1970) and one key a metric.

    A torn last line is left out. Raises BadInput: file absent, or another line is not a record.
    """
    metrics = [record for record in _records(Path(path)) if "event" not in record]
    return [{**{k: m[k] for k in RESERVED}, **{k: float(v) for k, v in m["values"].items()}} for m in metrics]


def read_events(path: str | Path) -> list[dict[str, Any]]:
    """Everything that is no metric, in file order: `event`, `time`, `values`. Raises as `read_jsonl` does."""
    return [record for record in _records(Path(path)) if "event" in record]


def _close(sinks: Sequence[MetricSink], status: Status) -> None:
    if sinks:
        try:
            sinks[0].close(status)
        finally:
            _close(sinks[1:], status)


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        lines = read(path, LARGEST).split(b"\n")
    except OSError as error:
        raise BadInput(path, "log", error.strerror, "a readable JSON-lines file") from None
    found = []
    for number, line in enumerate(lines[:-1], 1):  # what follows the last line end is torn, or nothing
        record = _parsed(line)
        if record is not None:
            found.append(record)
        elif number < len(lines) - 1 or lines[-1]:
            raise BadInput(path, f"line {number}", line[:60].decode(errors="replace"), "a record of a run's log")
    return found


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json_of(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or not isinstance(record.get("values"), dict):
        return None
    return record if "event" in record or all(key in record for key in RESERVED) else None


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(_strict(record), separators=(",", ":"), default=str, allow_nan=False).encode() + b"\n"


def _strict(value: Any) -> Any:
    if isinstance(value, float):
        return _encoded(value)
    if isinstance(value, Mapping):
        return {str(key): _strict(inner) for key, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [_strict(inner) for inner in value]
    return value


def _encoded(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _unwritable(path: Path, error: OSError) -> MdjptError:
    cause = error.strerror or str(error)
    return MdjptError(f"{path}: the log of the run cannot be written: {cause}. Mend this and start again: it resumes")
