"""Rows of the plan -> windows, cut from the node's memory maps into reused memory on a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mdjpt_platform.data.plan import Draw, Row
from mdjpt_platform.store import Store

_AHEAD = 2
"""Episodes ready before they are asked for."""


@dataclass(frozen=True)
class Episode:
    """One pair from every corpus, as windows."""

    row: Row
    windows: dict[str, Tensor]
    """By corpus [2V, C, T] float32: rows 0..V-1 one subject, V..2V-1 the other, i and i + V partners (the same moment,
    if the plan's positives are aligned). Channels vary slowest in memory last: these are views of time-major cuts."""
    labels: dict[str, Tensor]
    """By corpus [2V] int64: class code of each window's trial in the corpus' own scheme, -1 where it has none."""

    def __post_init__(self) -> None:
        """Refuse windows that do not belong to the row: a torn pair must be impossible."""
        for name, draw in self.row.draws.items():
            rows, labels, expected = len(self.windows[name]), len(self.labels[name]), 2 * len(draw.a)
            if (rows, labels) != (expected, expected):
                raise ValueError(f"{name}: episode of {rows} windows and {labels} labels for a plan row of {expected}")

    def to(self, device: torch.device) -> Episode:
        """The same on a device."""
        windows, labels = (
            {name: x.to(device, non_blocking=True) for name, x in part.items()} for part in (self.windows, self.labels)
        )
        return Episode(self.row, windows, labels)


def cut(store: Store, draw: Draw, length: int, out: Tensor | None = None) -> Tensor:
    """Windows of one corpus, [2V, length, C] time-major; written into the first 2V rows of `out` if given."""
    rows = np.concatenate([draw.a, draw.b])
    starts = np.concatenate([draw.start_a, draw.start_b])
    if out is None:
        out = torch.empty(len(rows), length, len(store.channels))
    target = out.numpy()
    for place, (row, start) in enumerate(zip(rows.tolist(), starts.tolist(), strict=True)):
        target[place] = store.signal(row)[start : start + length]
    return out[: len(rows)]


def assemble(
    row: Row, stores: Mapping[str, Store], length: Mapping[str, int], memory: Mapping[str, Tensor] | None = None
) -> Episode:
    """Cut all windows of an episode; `length` in samples by corpus."""
    windows = {
        name: cut(stores[name], draw, length[name], None if memory is None else memory[name]).transpose(1, 2)
        for name, draw in row.draws.items()
    }
    labels = {name: torch.from_numpy(stores[name].codes[np.concatenate([d.a, d.b])]) for name, d in row.draws.items()}
    return Episode(row, windows, labels)


def prefetch(
    rows: Iterable[Row], stores: Mapping[str, Store], length: Mapping[str, int], most: Mapping[str, int], held: int = 1
) -> Generator[Episode]:
    """Episodes of `rows` in order, assembled ahead on a thread into a ring of buffers.

    `most` is V per corpus. The last `held` episodes handed out stay valid; older ones are overwritten. An error on
    the thread is raised here; leaving the iterator early ends the thread.
    """
    ring = [
        {name: torch.empty(2 * most[name], length[name], len(stores[name].channels)) for name in most}
        for _ in range(_AHEAD + held + 2)
    ]
    ready: queue.Queue[Episode | BaseException | None] = queue.Queue(maxsize=_AHEAD)
    stopped = threading.Event()

    def hand_over(item: Episode | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for number, row in enumerate(rows):
                if not hand_over(assemble(row, stores, length, ring[number % len(ring)])):
                    return
            hand_over(None)
        except BaseException as error:  # handed to the consumer, who raises it
            hand_over(error)

    thread = threading.Thread(target=work, name="episodes", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
