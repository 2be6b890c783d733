"""How long preparing took, beside the results and never in a store: what a dry run reckons with."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field, ValidationError

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.frozen import Frozen
from mdjpt_platform.plain import read

TIMINGS = "timings.json"

Seconds = dict[str, float]
"""Seconds by name: `hash`, `read`, the steps, `quality`, `save`."""


class Timed(Frozen):
    """One recording."""

    bytes: int = Field(description="of its raw files")
    seconds: Seconds


class Timings(Frozen):
    """A corpus: the last time every recording took every step, and the last run that prepared one."""

    recordings: dict[str, Timed] = Field(default_factory=dict)
    tasks: float = 0.0
    """Seconds of all tasks of the last run, one after another."""
    wall: float = 0.0
    """Seconds in which they were done."""
    finish: float = 0.0
    """Seconds for the subjects' scaling and the store of the last run."""

    def after(self, done: Mapping[str, Timed], wall: float, finish: float) -> Timings:
        """With what a run has measured."""
        known = {name: old.seconds for name, old in self.recordings.items()}
        new = {n: Timed(bytes=one.bytes, seconds=known.get(n, {}) | one.seconds) for n, one in done.items()}
        tasks = sum(sum(one.seconds.values()) for one in done.values())
        return Timings(recordings=self.recordings | new, tasks=tasks, wall=wall, finish=finish)

    def expected(self, ahead: Mapping[str, tuple[int, list[str]]], total: int) -> tuple[float | None, list[str]]:
        """(seconds for recording -> (bytes, names of what it needs), names never timed); `total`: bytes of the corpus.

        By bytes, at the last run's number of tasks at a time; None where nothing was ever timed.
        """
        size: defaultdict[str, int] = defaultdict(int)
        spent: defaultdict[str, float] = defaultdict(float)
        for one in self.recordings.values():
            for name, seconds in one.seconds.items():
                size[name] += one.bytes
                spent[name] += seconds
        needed = dict.fromkeys(name for _, names in ahead.values() for name in names)
        untimed = [name for name in needed if not size[name]]
        if not self.wall or untimed == list(needed) != []:
            return None, untimed
        tasks = sum(
            nbytes * spent[name] / size[name] for nbytes, names in ahead.values() for name in names if size[name]
        )
        whole = sum(one.bytes for one in self.recordings.values())
        finish = self.finish * total / whole if ahead and whole else 0.0
        return tasks / max(1.0, self.tasks / self.wall) + finish, untimed


@contextmanager
def timed(seconds: Seconds, name: str) -> Iterator[None]:
    """Add the time of the block to `seconds`, whether it ends well or not."""
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began


def load_timings(work: Path) -> Timings:
    """Timings of a corpus; none if they are absent or broken."""
    try:
        return Timings.model_validate_json(read(work / TIMINGS))
    except (OSError, ValidationError):
        return Timings()


def save_timings(work: Path, timings: Timings) -> None:
    """Raises OSError."""
    write_atomic(work / TIMINGS, timings.model_dump_json(indent=1).encode())


def spelled(seconds: Mapping[str, float]) -> str:
    """`read 12 s, resample 30 s, ica 95 s`, leaving out what took no time to speak of."""
    return ", ".join(f"{name} {value:.0f} s" if value >= 9.5 else f"{name} {value:.1f} s"
                     for name, value in seconds.items() if value >= 0.05)  # fmt: skip


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
