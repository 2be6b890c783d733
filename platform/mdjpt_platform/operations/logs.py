"""What happened in a process, one JSON object a line, in `logs/` of the run's folder.

A line is {"time", "level", "run", "rank", "event", "fields", ...}. Events of ours go to the file alone: a console shows
what it always showed. Warnings of the library go to both. A file that cannot be written ends no training: the numbers
are in metrics.jsonl, which does complain.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from mdjpt_platform.errors import LONGEST, Preempted, masked

LIBRARY, EVENTS = "mdjpt_platform", "mdjpt_platform.events"
FOLDER = "logs"
BYTES, KEPT = 2**22, 3
"""Size at which a file makes room for a new one, and how many old ones stay."""


class _Lines(logging.Formatter):
    """A record as a line; ASCII, so that whoever shows the file shows no control characters."""

    def __init__(self, run: str, rank: int | str) -> None:
        super().__init__()
        self.run, self.rank = run, rank

    def format(self, record: logging.LogRecord) -> str:
        """The line, without passwords of addresses."""
        line = {
            "time": round(record.created, 3),
            "level": record.levelname,
            "run": self.run,
            "rank": self.rank,
            "event": getattr(record, "event", "message"),
            "fields": getattr(record, "fields", {}),
            "logger": record.name,
        }
        if getattr(record, "event", None) is None or record.name != EVENTS:
            line["message"] = record.getMessage()
        return masked(json.dumps(_plain(line), default=str))


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: words, as in metrics.jsonl."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


class _File(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Say nothing: a full disk would print a traceback for every line."""


@contextmanager
def logged(folder: Path, run: str, rank: int | str) -> Iterator[None]:
    """While it lasts, this process' events and the library's warnings go to `logs/rank-<rank>.jsonl` of the folder.

    `rank`: a number, or the name of a process that trains nothing (`driver`: `logs/driver.jsonl`). What ends it with an
    error is its last event.
    """
    name = f"rank-{rank}" if isinstance(rank, int) else rank
    with suppress(OSError):
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    # opened with the first line, where an error is handled
    file = _File(folder / FOLDER / f"{name}.jsonl", maxBytes=BYTES, backupCount=KEPT, encoding="utf-8", delay=True)
    file.setFormatter(_Lines(run, rank))
    library, events = logging.getLogger(LIBRARY), logging.getLogger(EVENTS)
    # Python shows warnings of loggers that nobody listens to; now somebody does, and they must still be shown.
    shown = logging.lastResort if not library.hasHandlers() else None
    events.setLevel(logging.INFO)
    events.propagate = False
    for logger in (library, events):
        logger.addHandler(file)
    if shown is not None:
        library.addHandler(shown)
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | SystemExit | Preempted)
        event("stopped" if stopped else "failed", logging.ERROR, cause=f"{type(error).__name__}: {error}"[:LONGEST])
        raise
    finally:
        for logger in (library, events):
            logger.removeHandler(file)
        if shown is not None:
            library.removeHandler(shown)
        file.close()


def event(name: str, level: int = logging.INFO, /, **fields: Any) -> None:
    """Something happened; lost where no log is open."""
    events = logging.getLogger(EVENTS)
    if events.handlers:  # else a console would be told of errors that an exception tells of anyway
        events.log(level, name, extra={"event": name, "fields": fields})
