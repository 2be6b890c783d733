"""(R) The only TorchTrainer: a pre-training by several workers."""

from __future__ import annotations

import math
import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput, MdjptError, Preempted
from mdjpt_platform.objects import is_uri
from mdjpt_platform.operations.logs import logged
from mdjpt_platform.tracking.announce import announced
from mdjpt_platform.tracking.names import tracking_uri
from mdjpt_platform.train.elastic import persevere, start_again
from mdjpt_platform.train.loop import Trained
from mdjpt_platform.train.notice import noticed
from mdjpt_platform.train.prepared import Prepared
from mdjpt_platform.train.process import METRICS
from mdjpt_platform.train.worker import worker


def with_ray(config: Config, prepared: Prepared, folder: Path, identity: str, parent: str | None) -> Trained:
    """Train by `exec.workers` workers on a private Ray or a cluster; `parent`: MLflow run that it belongs under.

    Raises BadInput: more CPUs wanted than there are; MdjptError: the training failed; Preempted: told to end.
    """
    import ray
    import ray.exceptions

    from mdjpt_platform.runtime import connect, release, without_cleaner

    one = connect(config.exec, one_training=True, meanwhile=_load_train)

    import ray.train
    from ray.train.torch import TorchTrainer

    from mdjpt_platform.data.loader import episodes, whole
    from mdjpt_platform.data.stream import source
    from mdjpt_platform.train.group import Group
    from mdjpt_platform.train.observed import Restarts

    least = config.exec.workers_min or config.exec.workers
    need, there = least * config.exec.cpus_per_worker, ray.cluster_resources().get("CPU", 0)
    if need > there and config.exec.address is None and "RAY_ADDRESS" not in os.environ:
        raise BadInput("configuration", "exec.workers", f"{need:g} CPUs wanted", f"at most the {there:g} here")
    total = config.run.train.epochs * config.run.train.steps
    gpu = config.exec.gpu
    streamed = config.exec.fetch == "stream"
    parameters: dict[str, Any] = {
        "config": _absolute(config), "folder": str(folder), "identity": identity, "parent": parent,
        "stores": prepared.sizes.fingerprints,
        "stream": (source(prepared.plan, prepared.stores, prepared.length), prepared.sizes) if streamed else None,
    }  # fmt: skip
    each = {"CPU": config.exec.cpus_per_worker, **({"GPU": 1} if gpu else {})}
    # Ray's own elastic training takes any number of workers, also one that does not divide K
    elastic = config.exec.workers_min is not None
    retries = ray.train.FailureConfig(max_failures=config.exec.max_failures)
    if elastic:
        retries = cast(Any, ray.train.FailureConfig)(
            max_failures=0, controller_failure_limit=0, max_preemption_failures=0
        )

    def fit(workers: int) -> Any:
        trainer = TorchTrainer(
            cast(Any, worker),  # the stubs are those of Train V1
            train_loop_config=parameters,
            datasets=None if streamed else dict(episodes(prepared.plan, 0, total)),
            dataset_config=whole(),
            torch_config=Group(timeout_s=math.ceil(config.exec.collective_timeout)),
            scaling_config=ray.train.ScalingConfig(num_workers=workers, use_gpu=gpu, resources_per_worker=dict(each)),
            run_config=ray.train.RunConfig(
                # A name of its own each time: Ray would take a known name for a run to resume, our checkpoints do that.
                name=f"{identity}-{time.time_ns()}",
                storage_path=str(folder / "ray"),
                failure_config=retries,
                callbacks=cast(Any, [Restarts(folder, identity, retries.max_failures)]),
            ),
        )
        if one:
            without_cleaner(trainer)
        return trainer.fit()

    def room() -> int:
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return sum(int(min(node.get(name, 0) / amount for name, amount in each.items())) for node in alive)

    # a study has seen to MLflow before
    tracked = nullcontext() if parent is not None else announced(config.exec, folder / METRICS)
    try:
        with logged(folder, identity, "driver"), noticed(folder), tracked:
            failures = (ray.train.TrainingFailedError,)
            if elastic:
                outcome = persevere(fit, config, room, failures)
            else:
                workers, times = config.exec.workers, config.exec.max_failures
                tidy = release if one else lambda: None  # a cluster's cleaner does it (runtime.without_cleaner)
                outcome = start_again(lambda: fit(workers), times, _died_at_start, tidy)
    except ray.train.TrainingFailedError as error:
        raise MdjptError(f"training failed: {_cause(error)}; what was done is kept in {folder}") from error
    except (ray.exceptions.RayActorError, ray.exceptions.RaySystemError) as error:  # the controller's node died
        said = " ".join(str(error).split())[-300:]
        raise MdjptError(
            f"Ray has died: {said}; start the same command again, what was done is kept in {folder}"
        ) from error
    if not isinstance(outcome.return_value, dict):
        raise MdjptError(f"training ended without a result; what was done is kept in {folder}")
    if "preempted" in outcome.return_value:
        raise Preempted(outcome.return_value["preempted"])
    return Trained(**outcome.return_value)


def _load_train() -> None:
    """What the next lines import: a second and a half that Ray's first process needs to start anyway."""
    import ray.train.torch  # noqa: F401

    import mdjpt_platform.data.loader  # noqa: F401


def _died_at_start(error: Exception) -> bool:
    """Whether a training failed of a worker's death before its function ran: its own, or what it did to the others."""
    import ray.exceptions
    import ray.train

    return isinstance(error, ray.train.ControllerError) and isinstance(
        error.controller_failure, ray.exceptions.RayActorError | ray.exceptions.RayTaskError
    )


def _cause(error: BaseException) -> str:
    """The first line that says what happened: our own error if a worker raised one."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, MdjptError):
            return str(inner)
        failures = getattr(inner, "worker_failures", None) or {}
        for failure in failures.values():
            return _cause(failure)
        inner = getattr(inner, "cause", None) or inner.__cause__
    return (str(error).strip().splitlines() or [repr(error)])[-1]


def _absolute(config: Config) -> dict[str, Any]:
    """The configuration as a tree, with paths that mean the same in a worker's own working directory."""
    tree = config.run.model_dump(mode="json")
    execution = config.exec.model_dump(mode="json")
    for name in ("store", "runs"):
        execution[name] = execution[name] if is_uri(execution[name]) else str(Path(execution[name]).resolve())
    execution["mlflow"] = tracking_uri(config.exec) or "off"
    return {**tree, "exec": execution}
