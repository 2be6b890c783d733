"""Rows of the plan -> windows, cut from the node's memory maps into reused memory on a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mdjpt_platform.data.plan import Draw, Row
from mdjpt_platform.store import Store

_AHEAD = 2
"""Episodes ready before they are asked for."""


@dataclass(frozen=True)
class Episode:
    """One draw from every corpus, as windows."""

    row: Row
    windows: dict[str, Tensor]
    """By corpus [B, C, T] float32. Where the plan draws pairs B = 2V: rows 0..V-1 one subject, V..2V-1 the other, i and
    i + V partners (the same moment, if the plan's positives are aligned). Views of time-major cuts."""
    labels: dict[str, Tensor]
    """By corpus [B] int64: class code of each window's trial in the corpus' own scheme, -1 where it has none."""
    affect: dict[str, Tensor]
    """By corpus [B, 2] float32: valence and arousal of each window's trial in [-1, 1], NaN where unknown."""

    def __post_init__(self) -> None:
        """Refuse windows that do not belong to the row: a torn pair must be impossible."""
        for name, draw in self.row.draws.items():
            expected, found = (
                len(draw.rows),
                tuple(len(part[name]) for part in (self.windows, self.labels, self.affect)),
            )
            if found != (expected,) * 3:
                raise ValueError(f"{name}: windows, labels, affect: {found} of them for a plan row of {expected}")

    def to(self, device: torch.device) -> Episode:
        """The same on a device."""
        parts = (self.windows, self.labels, self.affect)
        return Episode(self.row, *({name: x.to(device, non_blocking=True) for name, x in p.items()} for p in parts))


def cut(store: Store, draw: Draw, length: int, out: Tensor | None = None) -> Tensor:
    """Windows of one corpus, [B, length, C] time-major; written into the first B rows of `out` if given."""
    rows, starts = draw.rows, draw.starts
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
    labels = {name: torch.from_numpy(stores[name].codes[draw.rows]) for name, draw in row.draws.items()}
    affect = {name: torch.from_numpy(stores[name].affect[draw.rows]) for name, draw in row.draws.items()}
    return Episode(row, windows, labels, affect)


def prefetch(
    rows: Iterable[Row], stores: Mapping[str, Store], length: Mapping[str, int], most: Mapping[str, int], held: int = 1
) -> Generator[Episode]:
    """Episodes of `rows` in order, assembled ahead on a thread into a ring of buffers.

    `most` is windows per corpus and episode (`Plan.windows`). The last `held` episodes handed out stay valid; older ones are overwritten. An error on
    the thread is raised here; leaving the iterator early ends the thread.
    """
    ring = [
        {name: torch.empty(most[name], length[name], len(stores[name].channels)) for name in most}
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
