"""(R) What a training process measures, for Prometheus: Ray's agent on every node exports it.

Series: `ray_mdjpt_steps_total`, `ray_mdjpt_step`, `ray_mdjpt_loss`, `ray_mdjpt_step_seconds`, `ray_mdjpt_wait_seconds`,
each with the labels `run` (identity) and `rank`. A process hands its values to the agent every ten seconds
(RAY_metrics_report_interval_ms), so a run that is over in less may leave none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.util.metrics import Counter, Gauge

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
