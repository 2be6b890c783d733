"""A recording in a file as a stream: in real time, at another speed, or as fast as it is taken."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np

from mdjpt_platform.corpora.anyfile import Opened, open_recording, segment_of
from mdjpt_platform.predict.online import Chunk, Source

CHUNK_S = 0.04
"""Seconds of signal an amplifier hands over at a time."""
FAST_S = 2.0
"""Seconds read at a time where there is no clock."""


def replayed(
    path: Path, rename: Path | None, speed: float | None, stop: Event, tmin: float = 0.0, tmax: float | None = None
) -> Source:
    """The file's scalp channels; `speed` times as fast as it was recorded, None: no waiting. `stop` ends it early.

    Channels that the file calls bad are missing throughout, so that they are given from their neighbours; stretches
    that it calls bad are part of it, since nobody could have known. Times are seconds into the file.
    Raises BadInput: as `open_recording` and `segment_of`.
    """
    opened = open_recording(path, rename)
    rate = float(opened.raw.info["sfreq"])
    trial = segment_of(opened, tmin, tmax).trials[0]
    last = opened.raw.n_times if trial.stop is None else min(opened.raw.n_times, round(trial.stop * rate))
    span = range(round(trial.start * rate), last)
    kinds = opened.raw.get_channel_types()
    names = tuple(name for name, kind in zip(opened.raw.ch_names, kinds, strict=True) if kind == "eeg")
    clock = None if speed is None else _Clock(speed, span.start / rate)
    return Source(
        str(path),
        path.name,
        names,
        rate,
        _chunks(opened, names, span, clock, stop),
        None if clock is None else clock.now,
        opened.left_out,
    )


class _Clock:
    """Seconds of the recording, running from the first time it is asked."""

    def __init__(self, speed: float, first: float) -> None:
        self.speed, self.first = speed, first
        self.begun: float | None = None

    def now(self) -> float:
        if self.begun is None:
            self.begun = time.perf_counter()
        return self.first + (time.perf_counter() - self.begun) * self.speed

    def until(self, moment: float, stop: Event) -> None:
        while not stop.is_set() and (left := (moment - self.now()) / self.speed) > 0:
            stop.wait(left)


def _chunks(opened: Opened, names: tuple[str, ...], span: range, clock: _Clock | None, stop: Event) -> Iterator[Chunk]:
    rate = float(opened.raw.info["sfreq"])
    size = max(1, round((FAST_S if clock is None else CHUNK_S) * rate))
    marked = [names.index(name) for name in opened.marked]
    for first in span[::size]:
        last = min(first + size, span.stop)
        if clock is not None:
            clock.until((last - 1) / rate, stop)
        if stop.is_set():
            return
        data = 1e6 * opened.raw.get_data(picks=list(names), start=first, stop=last, verbose="ERROR")
        data[marked] = np.nan
        yield Chunk(data, np.arange(first, last) / rate)
