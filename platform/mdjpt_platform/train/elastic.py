"""How many workers a training goes on with where nodes are lost: at a fixed K their number changes time alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.operations.logs import event

T = TypeVar("T")
log = logging.getLogger(__name__)


def refuse_workers(config: Config) -> None:
    """Raises BadInput: `exec.workers_min` above `exec.workers`."""
    least = config.exec.workers_min
    if least is not None and least > config.exec.workers:
        raise BadInput("configuration", "exec.workers_min", least, f"at most exec.workers = {config.exec.workers}")


def widest(episodes: int, least: int, most: int, room: int) -> int | None:
    """The largest number of workers in [least, most] that divides K = `episodes` and for which there is room."""
    return next((n for n in range(min(most, room), least - 1, -1) if episodes % n == 0), None)


def persevere(
    fit: Callable[[int], T], config: Config, room: Callable[[], int], failures: tuple[type[Exception], ...]
) -> T:
    """`fit(workers)`, again with what is left of the nodes after one of `failures`, `exec.max_failures` times.

    `room`: workers for which the cluster has room now. Raises MdjptError: fewer than `exec.workers_min`; else what
    `fit` raised last.
    """
    execution, least = config.exec, config.exec.workers_min or config.exec.workers
    left, before = execution.max_failures, execution.workers
    while True:
        there = room()
        workers = widest(config.run.train.episodes, least, execution.workers, there)
        if workers is None:
            raise MdjptError(
                f"the cluster has room for {there} workers; exec.workers_min is {least}, and train.episodes = "
                f"{config.run.train.episodes} must be a multiple of their number; start again when nodes are back"
            )
        if workers != before:
            log.warning("the training goes on with %d workers instead of %d", workers, before)
            event("resized", workers=workers, before=before)
        try:
            return fit(workers)
        except failures:
            if left == 0:
                raise
            left, before = left - 1, workers


def start_again(fit: Callable[[], T], times: int, died: Callable[[Exception], bool], tidy: Callable[[], object]) -> T:
    """`fit()`, again up to `times` times where a worker `died` while it was started, each time after a `tidy()`.

    Ray Train starts a group anew where a worker dies before its function is sent to it, or while it runs; not in the
    second or so between, in which the function and all it imports are loaded. Raises what `fit` raised last.
    """
    while True:
        try:
            return fit()
        except Exception as error:
            if times == 0 or not died(error):
                raise
            times -= 1
            log.warning("a worker died while it was started; the workers are started again")
            event("started_again")
            tidy()
