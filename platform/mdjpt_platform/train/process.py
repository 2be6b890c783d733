"""What every process that trains sets up, whoever started it: its context, its logs, what it knows of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from mdjpt_platform.config import Config
from mdjpt_platform.hardware import hardware
from mdjpt_platform.operations import manifest
from mdjpt_platform.tracking import MetricSink, open_sinks
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.prepared import Sizes

METRICS = "metrics.jsonl"


def describe_process(config: Config, folder: Path) -> None:
    """What only the process that trains knows of itself."""
    manifest.amend(folder, hardware=hardware(config.exec.gpu), threads=torch.get_num_threads())


def placed(context: Context, config: Config, device: torch.device) -> Context:
    """The context of a process that trains on a device."""
    chosen = config.exec
    return replace(
        context, device=device, activations=chosen.activations, compiled=chosen.compile,
        patience=chosen.collective_timeout, stop_above=chosen.stop_above,
    )  # fmt: skip


def opened_logs(
    config: Config, sizes: Sizes, folder: Path, identity: str, rank: int, parent: str | None
) -> Callable[[int], MetricSink]:
    """Opens the logs of a run, from a step on; `parent`: MLflow run that this one belongs under."""
    tags = {"mdjpt.kind": "pretraining", **{f"mdjpt.store.{n}": s for n, s in sizes.fingerprints.items()}}
    name = None if parent is None else f"{config.run.name}/pretraining/{identity}"
    path = folder / METRICS
    return lambda start: open_sinks(config, path, identity, start, rank, run_name=name, parent_run_id=parent, tags=tags)
