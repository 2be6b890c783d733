"""The mirror in a thread of its own, so that training waits for it only at the very end."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mdjpt_platform.errors import masked
from mdjpt_platform.tracking.mlflow import MlflowSink
from mdjpt_platform.tracking.names import brief
from mdjpt_platform.tracking.sink import Status

log = logging.getLogger(__name__)


class Background:
    """Passes every call on to `mirror`, in order, from one thread; `close` returns when the last one is through.

    The thread begins with the first step, file or end, not with parameters and tags: what the mirror imports and, in
    a new folder, its database take seconds of processor, and the first step must not wait for them. Values keep the
    time at which they were measured. Only a mirror may stand behind this: it must hold nothing that is not in the
    JSON-lines log, for what still waits when the process is killed is lost to it until a replay.
    """

    def __init__(self, mirror: MlflowSink) -> None:
        self.mirror = mirror
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._follow, name="tracking", daemon=True)
        self._began = self._closed = False

    def log(self, step: int, values: dict[str, float], *, epoch: int | None = None) -> None:
        """Line up the values of a step."""
        kept, seconds = dict(values), time.time()
        self._calls.put(lambda: self.mirror.log(step, kept, epoch=epoch, seconds=seconds))
        self._begin()

    def params(self, values: Mapping[str, Any]) -> None:
        """Line up parameters."""
        self._calls.put(lambda: self.mirror.params(values))

    def tags(self, values: Mapping[str, str]) -> None:
        """Line up tags."""
        self._calls.put(lambda: self.mirror.tags(values))

    def artifact(self, path: Path) -> None:
        """Line up a file."""
        self._calls.put(lambda: self.mirror.artifact(path))
        self._begin()

    def close(self, status: Status = "FINISHED") -> None:
        """Wait until everything was tried; the mirror's own time-outs bound the wait. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._calls.put(lambda: self.mirror.close(status))
        self._calls.put(None)
        self._begin()
        self._thread.join()

    def _begin(self) -> None:
        if not self._began:
            self._began = True
            self._thread.start()

    def _follow(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except Exception as error:  # a mirror must not end a training
                log.warning("MLflow at %s: %s; replay the JSON-lines log", masked(self.mirror.uri), brief(error))
