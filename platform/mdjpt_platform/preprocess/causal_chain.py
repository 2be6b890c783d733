"""A recipe on a live signal: chunks through the twins of its steps, windows of what leaves the last one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mdjpt_platform.config import StepConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.causal import CAUSAL, LEFT_OUT, REFUSED, Picked
from mdjpt_platform.preprocess.causal_filters import Twin
from mdjpt_platform.preprocess.causal_state import LEAST_GOOD, Held, Mended, Scale
from mdjpt_platform.preprocess.montage import repair
from mdjpt_platform.preprocess.signals import Array, Signals

HELD_SHARE = 0.1
"""Of a window: a channel with more values missing is replaced from its neighbours."""
MOST_BAD = 0.5
"""Share of the channels: with more of them missing, a window has no answer."""


@dataclass(frozen=True)
class Window:
    """A window that is ready."""

    data: NDArray[np.float32] | None
    """[channels, samples], scaled; None where there is nothing to go by."""
    start: float
    """Seconds since the stream began, or began again."""
    stop: float
    last: int
    """Number of the last sample of the stream that it depends on."""
    replaced: tuple[str, ...]
    """Channels replaced from their neighbours somewhere in it."""
    why: str
    """Why there is no data."""


class Chain:
    """A recipe on a stream of one recording: chunks in, windows out, the same however the stream is cut."""

    def __init__(
        self,
        recipe: Sequence[StepConfig],
        names: Sequence[str],
        rate: float,
        where: str,
        window: tuple[float, float],
    ) -> None:
        """`recipe` with every parameter (`resolve`); `window`: (seconds, step).

        Raises BadInput: a step without a twin, and what the steps refuse about names and rate.
        """
        head = Signals(tuple(names), float(rate), (), where)
        self.where, self.input_rate, rows = where, head.rate, np.arange(len(names))
        self.guard, self.width = Held(head.rate), len(head.names)
        self.twins: list[Twin] = []
        self.left_out: list[str] = []
        self.scale: Scale | None = None
        for step in recipe:
            if step.step in LEFT_OUT:
                self.left_out.append(LEFT_OUT[step.step])
                continue
            if step.step not in CAUSAL:
                why = REFUSED.get(step.step, "it has no causal form")
                raise BadInput(where, "recipe", step.step, f"a recipe without it for causal use: {why}")
            twin, head = CAUSAL[step.step](head, window[0], **step.params)
            self.twins.append(twin)
            if isinstance(twin, Picked):
                rows = rows[twin.rows]
            if isinstance(twin, Scale):
                self.scale = twin
        self.names, self.rate, self.rows = head.names, head.rate, rows
        self.length, self.step = (round(seconds * head.rate) for seconds in window)
        self.wait = sum(twin.wait for twin in self.twins)
        self.kept = np.zeros((len(self.names), 0))
        self.first = self.start = self.scaled = 0
        """Samples of the result: the first that is kept, the next window's first, the first not yet scaled by."""

    @property
    def lag(self) -> float:
        """Group delay of its recursive filters at 10 Hz, seconds."""
        return sum(twin.lag for twin in self.twins)

    @property
    def notes(self) -> list[str]:
        """What was left out, and decided so far."""
        return [*self.left_out, *(twin.note for twin in self.twins if twin.note)]

    def restart(self) -> None:
        """The stream goes on after a gap: filters begin anew; unit, hum and scale stay as they were found."""
        for twin in (self.guard, *self.twins):
            twin.restart()
        self.kept = self.kept[:, :0]
        self.first = self.start = self.scaled = 0

    def __call__(self, chunk: Array) -> Iterator[Window]:
        """The windows that the next samples [channels of the stream, n] complete."""
        part = self.guard(np.asarray(chunk, dtype=np.float64))
        for twin in self.twins:
            part = twin(part)
        self.kept = np.concatenate([self.kept, part], axis=1)
        while self.first + self.kept.shape[1] >= (stop := self.start + self.length):
            fresh = self.kept[:, self.scaled - self.first : stop - self.first]
            moments = self.scale.see(fresh) if self.scale else (0.0, 1.0)
            yield self._window(self.kept[:, self.start - self.first : stop - self.first], *moments)
            self.start, self.scaled = self.start + self.step, stop
            drop = min(self.start, self.scaled) - self.first
            self.kept, self.first = self.kept[:, drop:], self.first + drop

    def needs(self, sample: int) -> int:
        """Number of the last sample in that sample `sample` of the result depends on."""
        for twin in reversed(self.twins):
            sample = twin.needs(sample)
        return sample

    def _window(self, data: Array, mean: float, spread: float) -> Window:
        start, stop = self.start / self.rate, (self.start + self.length) / self.rate
        replaced: set[str] = set()
        why = ""
        for twin in self.twins:
            if isinstance(twin, Mended):
                names, lost = twin.replaced(start, stop)
                replaced, why = replaced | names, why or lost
        share = self.guard.share(start, stop, self.width)[self.rows]
        missing = tuple(name for name, part in zip(self.names, share, strict=True) if part > HELD_SHARE)
        few = len(self.names) - len(missing) < LEAST_GOOD
        if missing and (few or len(missing) > MOST_BAD * len(self.names)):
            why = why or f"{len(missing)} of {len(self.names)} channels missing"
        elif missing:
            data = data.copy()
            data[[self.names.index(name) for name in missing]] = repair(self.names, missing, "auto") @ data
        if spread == 0:
            why = why or "nothing moves"
        scaled = None if why else ((data - mean) / spread).astype(np.float32)
        last = self.needs(self.start + self.length - 1)
        shown = tuple(name for name in self.names if name in replaced or name in missing)
        return Window(scaled, start, stop, last, shown, why)
