"""The sinks of a training, from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mdjpt_platform.code import tags_of_code
from mdjpt_platform.config import Config
from mdjpt_platform.tracking.background import Background
from mdjpt_platform.tracking.mlflow import MlflowSink, tracking_uri
from mdjpt_platform.tracking.sink import JsonlSink, MetricSink, Tee


def open_sinks(
    config: Config,
    path: str | Path,
    identity: str,
    start: int,
    rank: int,
    *,
    run_name: str | None = None,
    parent_run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> MetricSink:
    """JSON lines at `path`, continued at step `start`, and MLflow unless it is off. Only rank 0 writes anything.

    `run_name` in MLflow: the run file's if absent.

    Raises MdjptError: the log cannot be written; BadInput: the log is damaged.
    """
    if rank != 0:
        return Tee()
    sinks: list[MetricSink] = [JsonlSink(path, resume_step=start)]
    uri = tracking_uri(config.exec)
    if uri is not None:
        name = run_name or config.run.name
        artifacts = Path(config.exec.runs).resolve() / "mlartifacts"
        mirror = MlflowSink(
            uri, config.exec.experiment, name, identity, parent_run_id=parent_run_id, artifacts=artifacts
        )
        sinks.append(Background(mirror))
    both = Tee(*sinks)
    both.params(config.run.model_dump(mode="json"))
    both.tags({"mdjpt.workers": str(config.exec.workers), **tags_of_code(), **(tags or {})})
    return both
