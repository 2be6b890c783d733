"""(R) What watches a training under Ray: gauges that Ray's agents export to Prometheus, and a log of restarts.

Series: `ray_mdjpt_steps_total`, `ray_mdjpt_step`, `ray_mdjpt_loss`, `ray_mdjpt_step_seconds`, `ray_mdjpt_wait_seconds`,
each with the labels `run` (identity) and `rank`. A process hands its values to the agent every ten seconds
(RAY_metrics_report_interval_ms), so a run that is over in less may leave none.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.train import UserCallback
from ray.util.metrics import Counter, Gauge

from mdjpt_platform.errors import brief
from mdjpt_platform.operations.logs import event, logged
from mdjpt_platform.tracking import Status

GAUGES = {
    "loss/total": ("mdjpt_loss", "loss of the last step"),
    "time/step": ("mdjpt_step_seconds", "seconds of the last step"),
    "time/wait": ("mdjpt_wait_seconds", "seconds that the last step waited for its windows"),
}


class RayGauges:
    """A MetricSink that keeps nothing: the newest values of one process, for whoever watches."""

    def __init__(self, run: str, rank: int) -> None:
        labels = {"run": run, "rank": str(rank)}
        names = tuple(labels)
        self._steps = Counter("mdjpt_steps", "steps that this process has taken", names)
        self._step = Gauge("mdjpt_step", "steps of the run that are done, those before a resume too", names)
        self._gauges = {key: Gauge(name, about, names) for key, (name, about) in GAUGES.items()}
        for one in (self._steps, self._step, *self._gauges.values()):
            one.set_default_tags(labels)

    def log(self, step: int, values: dict[str, float], *, epoch: int | None = None) -> None:
        """Show the values of a step."""
        self._steps.inc()
        self._step.set(step + 1)
        for key, gauge in self._gauges.items():
            if key in values:
                gauge.set(values[key])

    def params(self, values: Mapping[str, Any]) -> None:
        """Nothing to show."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Nothing to show."""

    def artifact(self, path: Path) -> None:
        """Nothing to show."""

    def close(self, status: Status = "FINISHED") -> None:
        """Nothing to end."""


class Restarts(UserCallback):
    """Writes failed workers into `logs/controller.jsonl`, and whether they are started again."""

    def __init__(self, folder: Path, run: str, most: int) -> None:
        self.folder, self.run, self.most, self.failures = folder, run, most, 0

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Ray Train's controller calls this before it decides; every failure of a group counts once."""
        self.failures += 1
        causes = {str(rank): brief(error).splitlines()[-1:] for rank, error in worker_exceptions.items()}
        again = self.failures <= self.most
        name, level = ("workers_restarted", logging.WARNING) if again else ("workers_failed", logging.ERROR)
        with logged(self.folder, self.run, "controller"):
            event(name, level, failure=self.failures, allowed=self.most, causes=causes)
