"""Samples as they come in, lines of answers out; no answer knows a sample that came after it.

The same object serves a live stream, a file replayed and a file as fast as it goes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdjpt_model.pretrained import Pretrained
from mdjpt_model.readout import Prediction
from mdjpt_platform.config import StepConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.predict.recording import enough
from mdjpt_platform.preprocess.causal_chain import Chain, Window

GAP_S = 0.5
"""A longer hole between two samples begins the filters anew; a shorter one is taken for none."""
AFFECT = ("valence", "arousal")
QUANTILES = {"p50": 50.0, "p95": 95.0, "max": 100.0}

Line = dict[str, Any]


@dataclass(frozen=True)
class Chunk:
    """Some samples."""

    data: NDArray[np.float64]
    """[channels, n], microvolts as far as the source knows."""
    times: NDArray[np.float64]
    """[n] seconds on the source's clock."""


@dataclass(frozen=True)
class Source:
    """A signal that comes in pieces."""

    where: str
    """For messages."""
    shown: str
    """In results: no path."""
    names: tuple[str, ...]
    """10-05 sites of the channels."""
    rate: float
    """Samples per second."""
    chunks: Iterator[Chunk]
    """Ends where the signal does; may be empty for a while, and then yields chunks of no sample."""
    now: Callable[[], float] | None = None
    """Seconds on the source's clock; None where it has no clock of its own."""
    left_out: tuple[str, ...] = ()
    """Channels that are no scalp site."""
    ended: Callable[[], str] = lambda: "end of the file"
    """Why the chunks ended."""


class Online:
    """A model on one signal."""

    def __init__(
        self, model: Pretrained, recipe: Sequence[StepConfig], source: Source, step: float | None = None, least: int = 4
    ) -> None:
        """`step`: seconds from one window to the next, the model's own if None; `least`: sites that must be there.

        Raises BadInput: a recipe without causal form, another rate than the model's after it, too few sites, a model
        without read-out for the mode `causal`.
        """
        self.source, self.model = source, model
        where = source.where
        if "causal" not in model.modes:
            raise BadInput(where, "mode", "causal", f"one that the model has: {', '.join(model.modes) or 'none'}")
        self.chain = Chain(recipe, source.names, source.rate, where, (model.seconds, step or model.step))
        if self.chain.rate != model.rate:
            raise BadInput(where, "rate after the recipe", f"{self.chain.rate:g} Hz", f"{model.rate:g} Hz, the model's")
        if self.chain.step < 1:
            raise BadInput("command line", "--step", step, f"at least a sample, {1 / model.rate:g} s")
        self.channels = tuple(enough(where, model, self.chain.names, least))
        self.columns = [self.chain.names.index(name) for name in self.channels]
        self.stream = model.stream(self.channels)
        # the first call of all is slow, and must not be a person's
        model.stream(self.channels)(np.random.default_rng(0).standard_normal((len(self.channels), model.samples), "f4"))
        self.origin = self.last = 0.0
        """Times of the first sample since the stream began, or began again, and of the last."""
        self.count = self.answers = self.skipped = self.gaps = 0
        self.begun: float | None = None
        self.told: set[str] = set()
        self.compute: list[float] = []
        self.ages: list[float] = []

    def start(self) -> Line:
        """The first line: what is heard, and how."""
        source, chain, model = self.source, self.chain, self.model
        self.told |= set(chain.notes)
        return {
            "line": "start",
            "source": source.shown,
            "channels": list(self.channels),
            "not_used": [*source.left_out, *(name for name in source.names if name not in self.channels)],
            "coverage": model.coverage(self.channels),
            "rate": source.rate,
            "window": {"seconds": model.seconds, "step": chain.step / chain.rate},
            "labels": list(model.labels),
            "delay": self._delay(),
            "notes": chain.notes,
        }

    @property
    def heard(self) -> float:
        """Seconds on the source's clock since its first sample."""
        return 0.0 if self.begun is None else self.last - self.begun + 1 / self.source.rate

    def feed(self, chunk: Chunk) -> Iterator[Line]:
        """The lines that the next samples give rise to."""
        began = time.perf_counter()
        if not chunk.times.size:
            return
        known = chunk.times[0] - 1 / self.source.rate if self.begun is None else self.last
        holes = np.diff(chunk.times, prepend=known) - 1 / self.source.rate
        places = np.flatnonzero(np.abs(holes) > GAP_S)
        for start, stop in zip([0, *places], [*places, len(chunk.times)], strict=True):
            if start in places:
                yield self._gap(float(holes[start]), float(chunk.times[start]))
            part, times = chunk.data[:, start:stop], chunk.times[start:stop]
            if not times.size:
                continue
            if self.count == 0:
                self.origin = float(times[0])
            self.begun = float(times[0]) if self.begun is None else self.begun
            first = self.count
            self.count, self.last = self.count + times.size, float(times[-1])
            for window in self.chain(part):
                yield from self._notes()
                yield self._answered(window, float(times[window.last - first]), began)
                began = time.perf_counter()
        yield from self._notes()

    def end(self, why: str) -> Line:
        """The last line: how many answers, how long they took."""
        return {
            "line": "end",
            "why": why,
            "seconds": round(self.heard, 3),
            "answers": self.answers,
            "skipped": self.skipped,
            "gaps": self.gaps,
            "delay": self._delay(),
            "compute_ms": quantiles(self.compute),
            "age_s": quantiles(self.ages),
        }

    def _gap(self, hole: float, at: float) -> Line:
        self.chain.restart()
        self.gaps, self.count = self.gaps + 1, 0
        text = "filters and window begin anew; unit, scale and what the model has heard stay"
        return {"line": "gap", "time": round(at, 6), "seconds": round(hole, 6), "text": text}

    def _notes(self) -> Iterator[Line]:
        for text in self.chain.notes:
            if text not in self.told:
                self.told.add(text)
                yield {"line": "note", "time": round(self.last, 6), "text": text}

    def _answered(self, window: Window, at: float, began: float) -> Line:
        when = {"time": at, "start": self.origin + window.start, "stop": self.origin + window.stop}
        when = {name: round(value, 6) for name, value in when.items()}
        if window.data is None:
            self.skipped += 1
            return {"line": "skipped", **when, "why": window.why}
        found = self.stream(np.ascontiguousarray(window.data[self.columns]))
        self.compute.append(1e3 * (time.perf_counter() - began))
        latency = {"delay_s": self._delay()["total_s"], "compute_ms": round(self.compute[-1], 3)}
        if self.source.now is not None:
            self.ages.append(self.source.now() - at)
            latency["age_s"] = round(self.ages[-1], 4)
        line = {"line": "answer", "number": self.answers, **when, **said(found, self.model.labels)}
        self.answers += 1
        return line | {"replaced": list(window.replaced), "latency": latency}

    def _delay(self) -> dict[str, float]:
        wait, lag = self.chain.wait, self.chain.lag
        return {"wait_s": round(wait, 6), "lag_s": round(lag, 6), "total_s": round(wait + lag, 6)}


def said(found: Prediction, labels: Sequence[str]) -> Line:
    """What a model says of one window, as JSON values."""
    line: Line = {}
    if found.probabilities is not None:
        p = [float(value) for value in found.probabilities[0]]
        line["label"] = labels[int(np.argmax(p))]
        line["probabilities"] = {name: round(value, 6) for name, value in zip(labels, p, strict=True)}
    if found.affect is not None:
        for place, name in enumerate(AFFECT):
            line[name] = round(float(found.affect[0, place]), 6)
            if found.low is not None and found.high is not None:
                line[f"{name}_interval"] = [round(float(end[0, place]), 6) for end in (found.low, found.high)]
    return line


def quantiles(values: Sequence[float]) -> dict[str, float] | None:
    """Median, 95 % and most of some values; None of none."""
    if not values:
        return None
    return {name: round(float(np.percentile(values, share)), 4) for name, share in QUANTILES.items()}
