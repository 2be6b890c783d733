"""The notice that a machine will be taken away: SIGTERM to the driver, told to other processes by a file."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STOP = "stop"
"""File in the folder of a run: end after the step that is running, with a checkpoint."""
POLL_SECONDS = 0.5
"""Between two looks at the file, which may lie on a shared disk."""


@contextmanager
def noticed(folder: Path) -> Iterator[threading.Event]:
    """While a training runs: the first SIGTERM sets the event and leaves the file, a second one ends as it always did.

    Elsewhere than in the main thread, where Python lets nobody listen to signals, SIGTERM stays what it was.
    """
    told = threading.Event()
    (folder / STOP).unlink(missing_ok=True)
    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    before = signal.getsignal(signal.SIGTERM)

    def heard(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
        told.set()
        with suppress(OSError):
            (folder / STOP).touch()

    signal.signal(signal.SIGTERM, heard)
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
        (folder / STOP).unlink(missing_ok=True)


def watching(folder: Path) -> Callable[[], bool]:
    """Whether the driver was told, as a training process sees it."""
    file, next_look, seen = folder / STOP, 0.0, False

    def told() -> bool:
        nonlocal next_look, seen
        now = time.monotonic()
        if not seen and now >= next_look:
            next_look, seen = now + POLL_SECONDS, file.exists()
        return seen

    return told
