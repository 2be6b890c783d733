"""Episodes made before they are asked for, by a thread that fills a ring of reused buffers.

On CUDA the buffers are pinned and the thread copies them to the device on a stream of its own, so that neither cutting
nor copying holds up the training. Elsewhere the episodes are the buffers themselves.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from mdjpt_platform.data.episode import Episode

T = TypeVar("T")
CPU = torch.device("cpu")
_AHEAD = 2
"""Episodes ready before they are asked for."""


class _Sender:
    """Copies to a CUDA device beside what it computes. Each event says: this copy is done, its buffers are free."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)

    def send(self, episode: Episode) -> tuple[Episode, torch.cuda.Event]:
        """Called by the thread; returns before the copy is done."""
        with torch.cuda.stream(self.stream):
            there = episode.to(self.device)
            done = torch.cuda.Event()
            done.record(self.stream)
        return there, done

    def receive(self, episode: Episode, done: torch.cuda.Event) -> Episode:
        """Called by the consumer: what it launches from now on waits for the copy, and keeps the memory from reuse."""
        current = torch.cuda.current_stream(self.device)
        current.wait_event(done)
        for part in (episode.windows, episode.labels, episode.affect):
            for tensor in part.values():
                tensor.record_stream(current)
        return episode


def ahead(
    items: Iterable[T],
    make: Callable[[T, dict[str, Tensor]], Episode],
    shapes: Mapping[str, tuple[int, int, int]],
    held: int = 1,
    device: torch.device = CPU,
) -> Generator[Episode]:
    """Episodes of `items` in order, on `device`, each made by `make(item, buffers)`.

    `shapes` [windows, length, C] of the buffers by corpus, enough for any episode. The last `held` episodes handed out
    stay valid; on the CPU older ones are overwritten. An error on the thread is raised here; leaving the iterator early
    ends the thread.
    """
    cuda = device.type == "cuda"
    sender = _Sender(device) if cuda else None
    places = _AHEAD + held + 2
    ring = [{name: torch.empty(*shape, pin_memory=cuda) for name, shape in shapes.items()} for _ in range(places)]
    copied: list[torch.cuda.Event | None] = [None] * places
    ready: queue.Queue[tuple[Episode, torch.cuda.Event | None] | BaseException | None] = queue.Queue(maxsize=_AHEAD)
    stopped = threading.Event()

    def hand_over(item: tuple[Episode, torch.cuda.Event | None] | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for number, item in enumerate(items):
                place = number % places
                done = copied[place]
                if done is not None:
                    done.synchronize()  # the buffer's last copy must have left before it is filled again
                episode = make(item, ring[place])
                if sender is not None:
                    episode, copied[place] = sender.send(episode)
                if not hand_over((episode, copied[place])):
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
            episode, done = item
            yield episode if sender is None or done is None else sender.receive(episode, done)
    finally:
        stopped.set()
        thread.join()
