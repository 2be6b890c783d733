"""Steps that must have seen something before they decide: gaps of values held, units, bad channels, scale."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mdjpt_platform.preprocess.causal_filters import Twin
from mdjpt_platform.preprocess.montage import repair
from mdjpt_platform.preprocess.signals import Array

MEMORY_S = 10.0
"""Seconds that channels are judged by."""
LEAST_GOOD = 3
"""Channels that the others are mended from."""
BINS = 1 << 16
"""Of the histogram of magnitudes: the upper half of a float32, so to within 0.8 %."""

Judge = Callable[[list[Array]], NDArray[np.bool_]]


class Held(Twin):
    """Values that are NaN or infinite give way to the channel's last good one; which they were is remembered."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.last: Array | None = None
        self.restart()

    def restart(self) -> None:
        """Times count from the next sample on."""
        self.seen = 0
        self.marks: deque[tuple[int, NDArray[np.bool_]]] = deque()

    def __call__(self, chunk: Array) -> Array:
        """The same with every value finite."""
        if not chunk.shape[1]:
            return chunk
        if self.last is None:
            self.last = np.zeros(len(chunk))
        bad = ~np.isfinite(chunk)
        if bad.any():
            self.marks.append((self.seen, bad))
            whole = np.concatenate([self.last[:, None], chunk], axis=1)
            good = np.where(np.isfinite(whole), np.arange(whole.shape[1]), 0)
            chunk = np.take_along_axis(whole, np.maximum.accumulate(good, axis=1), axis=1)[:, 1:]
        self.last = chunk[:, -1].copy()
        self.seen += chunk.shape[1]
        return chunk

    def share(self, start: float, stop: float, channels: int) -> Array:
        """Share of every channel's values between two times (s) that were held; what lies before is forgotten."""
        first, last = round(start * self.rate), round(stop * self.rate)
        while self.marks and self.marks[0][0] + self.marks[0][1].shape[1] <= first:
            self.marks.popleft()
        total = np.zeros(channels)
        for at, bad in self.marks:
            total += bad[:, max(0, first - at) : max(0, last - at)].sum(axis=1)
        return total / max(1, last - first)


class Calibrated(Twin):
    """Holds a first stretch back, decides on it what to do, and does that ever after; no sample is lost."""

    def __init__(self, stretch: int, decide: Callable[[Array], tuple[Twin, str]]) -> None:
        self.stretch, self.decide = stretch, decide
        self.held: list[Array] = []
        self.inner: Twin | None = None

    def __call__(self, chunk: Array) -> Array:
        """Nothing until the stretch is whole."""
        if self.inner is None:
            self.held.append(chunk)
            if sum(part.shape[1] for part in self.held) < self.stretch:
                return chunk[:, :0]
            chunk, self.held = np.concatenate(self.held, axis=1), []
            self.inner, self.note = self.decide(chunk[:, : self.stretch].copy())
            self.lag = self.inner.lag
        return self.inner(chunk)

    def restart(self) -> None:
        """A stretch that was not whole begins again."""
        self.held = []
        if self.inner is not None:
            self.inner.restart()


class Mended(Twin):
    """Bad channels by their last ten seconds, judged anew every second and replaced in the samples that follow.

    A first stretch is held back and judged by itself. What is judged is the signal as it came in.
    """

    def __init__(
        self, names: tuple[str, ...], rate: float, stretch: int, judge: Judge, most: float, method: str
    ) -> None:
        self.names, self.rate, self.stretch = names, rate, stretch
        self.judge, self.most, self.method = judge, most, method
        self.block = round(rate)
        self.restart()

    def restart(self) -> None:
        """What was bad before the gap is judged again."""
        self.memory: deque[Array] = deque()
        self.pending = np.zeros((len(self.names), 0))
        self.seen = 0
        self.rows: list[int] = []
        self.weights = np.zeros((0, len(self.names)))
        self.log: deque[tuple[float, tuple[str, ...], str]] = deque()

    def __call__(self, chunk: Array) -> Array:
        """The same with bad channels replaced; nothing until the first stretch is whole."""
        rest, done = chunk, []
        while rest.shape[1]:
            length = self.block if self.memory else self.stretch
            taken, rest = np.split(rest, [length - self.pending.shape[1]], axis=1)
            self.pending = np.concatenate([self.pending, taken], axis=1)
            whole = self.pending if self.pending.shape[1] == length else None
            if self.memory:
                done.append(self._mended(taken))
            elif whole is not None:
                self._decide(whole)
                done.append(self._mended(whole))
            if whole is not None:
                self.seen += length
                if self.seen > self.stretch:
                    self._decide(whole)
                self.pending = whole[:, :0]
        return np.concatenate(done, axis=1) if done else chunk[:, :0]

    def replaced(self, start: float, stop: float) -> tuple[set[str], str]:
        """(channels replaced between two times in s, why nothing there is of use); what lies before is forgotten."""
        while len(self.log) > 1 and self.log[1][0] <= start:
            self.log.popleft()
        inside = [entry for entry in self.log if entry[0] < stop]
        return {name for _, names, _ in inside for name in names}, next((why for *_, why in inside if why), "")

    def _decide(self, block: Array) -> None:
        """From the sample after `seen` on, replace what is bad in what is remembered."""
        self.memory.append(block)
        while len(self.memory) > 1 and sum(part.shape[1] for part in self.memory) > MEMORY_S * self.rate:
            self.memory.popleft()
        marked = self.judge(list(self.memory))
        names, why = tuple(name for name, bad in zip(self.names, marked, strict=True) if bad), ""
        if len(names) > self.most * len(self.names) or len(self.names) - len(names) < LEAST_GOOD:
            names, why = (), f"{len(names)} of {len(self.names)} channels bad"
        self.rows = [self.names.index(name) for name in names]
        self.weights = repair(self.names, names, self.method) if names else self.weights[:0]
        self.log.append((self.seen / self.rate, names, why))

    def _mended(self, part: Array) -> Array:
        if not self.rows:
            return part
        out = part.copy()
        out[self.rows] = np.einsum("bc,ct->bt", self.weights, part)  # sums in one order, however it was cut
        return out


class Scale(Twin):
    """Mean and SD of all that was seen so far, over all channels; windows are scaled by it, the stream passes.

    As `reference.scale`: of samples below `multiple` times the median magnitude, here that of what had been seen when
    they came.
    """

    def __init__(self, multiple: float) -> None:
        self.multiple = multiple
        self.counts = np.zeros(BINS, dtype=np.int64)
        self.count, self.total, self.squares = 0, 0.0, 0.0

    def see(self, part: Array) -> tuple[float, float]:
        """(mean, SD) of everything up to the end of this part [channels, samples]; SD 0 where nothing has moved."""
        values = np.abs(part).astype(np.float32)
        self.counts += np.bincount(values.view(np.uint32).ravel() >> 16, minlength=BINS)
        edges = np.cumsum(self.counts)
        middle = int(np.searchsorted(edges, (edges[-1] - 1) // 2, side="right"))
        median = float(np.array((middle << 16) | 0x8000, dtype=np.uint32).view(np.float32))
        kept = part[values < self.multiple * median]
        self.count, self.total = self.count + kept.size, self.total + float(kept.sum())
        self.squares += float(np.square(kept).sum())
        if not self.count:
            return 0.0, 0.0
        mean = self.total / self.count
        return mean, float(np.sqrt(max(0.0, self.squares / self.count - mean**2)))
