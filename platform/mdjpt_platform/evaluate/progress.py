"""A progress bar that appears only when the work turns out to be long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

PATIENCE = 5.0
"""Seconds before a bar appears."""


@contextmanager
def progress_bar(total: int, text: str, show: bool) -> Iterator[Callable[[int], None]]:
    """Yield `advance(count)`; after five seconds of work a bar is drawn on stderr, if `show`."""
    begun, done = time.monotonic(), 0
    bar: Progress | None = None
    task = None

    def advance(count: int = 1) -> None:
        nonlocal bar, task, done
        done += count
        if not show:
            return
        if bar is None and time.monotonic() - begun > PATIENCE and done < total:
            console = Console(stderr=True)
            bar = Progress(console=console, transient=True, disable=not console.is_terminal)
            bar.start()
            task = bar.add_task(text, total=total)
        if bar is not None and task is not None:
            bar.update(task, completed=done)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.stop()
